//! The command line: arguments, logs and exit codes. Each command has a file of its own.
//!
//! Results go to stdout, logs and progress to stderr. Exit codes: 0 done, 1 a failure that was reported,
//! 64 bad configuration or usage, 70 our own fault.

mod logging;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

pub use logging::{LogFormat, Logging};

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
}

/// Where the configuration is.
#[derive(Debug, Clone, Args)]
pub struct ConfigArgs {
    /// The configuration file.
    #[arg(long, env = "DLMS2MQTT_CONFIG", default_value = "/etc/dlms2mqtt/config.yaml", value_name = "FILE")]
    pub config: PathBuf,
}
