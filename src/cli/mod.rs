//! The command line: arguments, logs and exit codes. Each command has a file of its own.
//!
//! Results go to stdout, logs and progress to stderr. Exit codes: 0 done, 1 a failure that was reported,
//! 64 bad configuration or usage, 70 our own fault.

mod check;
mod decode;
#[cfg(feature = "demo")]
mod demo;
mod healthcheck;
mod import;
mod json_lines;
mod logging;
mod notify;
mod one_device;
mod read;
mod results;
mod run;
mod running;
mod scan;
mod schema;
mod sim;
mod test;

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

pub use logging::{LogFormat, Logging};

use crate::bridge::config::{Config, load_file};
use crate::bridge::log_level::LogLevel;
use crate::error::Report;

/// Done.
pub const EXIT_OK: u8 = 0;
/// A failure that was reported.
pub const EXIT_FAILURE: u8 = 1;
/// Bad configuration or usage (`EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;
/// Our own fault (`EX_SOFTWARE`).
pub const EXIT_SOFTWARE: u8 = 70;

/// MQTT gateway bridge for DLMS/COSEM meters.
#[derive(Debug, Parser)]
#[command(name = "dlms2mqtt", version, about)]
pub struct Cli {
    #[command(flatten)]
    logging: Logging,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show everything at work: simulated meters, an embedded broker, the bridge, and what a subscriber sees.
    #[cfg(feature = "demo")]
    Demo(demo::DemoArgs),
    /// Run the bridge.
    Run(ConfigArgs),
    /// Validate a configuration and print every problem.
    Check(ConfigArgs),
    /// Read values now, without MQTT; one JSON value a line.
    Read(read::ReadArgs),
    /// Decode frames and APDUs in hexadecimal to a JSON tree of names, offsets and errors.
    Decode(decode::DecodeArgs),
    /// Simulate a meter for trials, with faults.
    Sim(Box<sim::SimArgs>),
    /// Make a configuration of another product's.
    Import(import::ImportArgs),
    /// Test a connection, a device or a group layer by layer.
    Test(test::TestArgs),
    /// List the objects of a meter.
    Scan(scan::ScanArgs),
    /// Ask the running bridge whether the broker has accepted it: exit 0 if so, else 1. For containers.
    Healthcheck(ConfigArgs),
    /// Print a JSON Schema: of the configuration, or of a payload.
    Schema(schema::SchemaArgs),
}

/// Where the configuration is.
#[derive(Debug, Clone, Args)]
pub struct ConfigArgs {
    /// The configuration file.
    #[arg(long, env = "DLMS2MQTT_CONFIG", default_value = "/etc/dlms2mqtt/config.yaml", value_name = "FILE")]
    pub config: PathBuf,
}

/// Why a command ended without success; already worded for a person.
#[derive(Debug)]
pub enum CommandError {
    /// The configuration cannot be used; its problems have been printed.
    Configuration,
    /// The arguments make no sense together.
    Usage(String),
    /// Something failed.
    Failed(Report),
    /// Our own fault.
    Fault(anyhow::Error),
}

impl From<Report> for CommandError {
    fn from(report: Report) -> Self {
        Self::Failed(report)
    }
}

impl From<anyhow::Error> for CommandError {
    fn from(error: anyhow::Error) -> Self {
        Self::Fault(error)
    }
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let is_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            let _ = error.print();
            return ExitCode::from(if is_help { EXIT_OK } else { EXIT_USAGE });
        }
    };
    let usual = match cli.command {
        Command::Run(_) => "info",
        #[cfg(feature = "demo")]
        // The embedded broker calls every client that leaves an error.
        Command::Demo(_) => "warn,rumqttd=off",
        _ => "warn",
    };
    let log_level = match cli.logging.start(usual) {
        Ok(log_level) => log_level,
        Err(error) => {
            results::say(format_args!("dlms2mqtt: {error}"));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    // A panic has said itself on stderr; its exit code is ours to choose.
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| perform(&cli.command, &log_level)));
    let outcome = outcome.unwrap_or_else(|_| Err(CommandError::Fault(anyhow::anyhow!("a panic: see above"))));
    exit_code(outcome)
}

fn perform(command: &Command, log_level: &LogLevel) -> Result<(), CommandError> {
    match command {
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo::run(args),
        Command::Run(args) => run::run(args, log_level),
        Command::Check(args) => check::run(args),
        Command::Read(args) => read::run(args),
        Command::Test(args) => test::run(args),
        Command::Scan(args) => scan::run(args),
        Command::Decode(args) => decode::run(args),
        Command::Sim(args) => sim::run(args),
        Command::Import(args) => import::run(args),
        Command::Healthcheck(args) => healthcheck::run(args),
        Command::Schema(args) => schema::run(args),
    }
}

fn exit_code(outcome: Result<(), CommandError>) -> ExitCode {
    ExitCode::from(match outcome {
        Ok(()) => EXIT_OK,
        Err(CommandError::Configuration) => EXIT_USAGE,
        Err(CommandError::Usage(message)) => {
            results::say(format_args!("dlms2mqtt: {message}"));
            EXIT_USAGE
        }
        Err(CommandError::Failed(report)) => {
            results::say(format_args!("dlms2mqtt: {report}\n  hint: {}", report.hint));
            EXIT_FAILURE
        }
        Err(CommandError::Fault(error)) => {
            results::say(format_args!("dlms2mqtt: {error:#}"));
            EXIT_SOFTWARE
        }
    })
}

impl ConfigArgs {
    /// Loads the configuration; prints its problems to stderr.
    fn load(&self) -> Result<Config, CommandError> {
        match load_file(&self.config) {
            Ok(loaded) => {
                loaded.warnings.iter().for_each(results::say);
                Ok(loaded.config)
            }
            Err(problems) => {
                problems.0.iter().for_each(results::say);
                Err(CommandError::Configuration)
            }
        }
    }
}

/// The runtime of commands that do I/O.
fn runtime() -> Result<tokio::runtime::Runtime, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|error| CommandError::Fault(error.into()))
}
