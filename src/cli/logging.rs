//! Logs: to stderr, as text or JSON, at a level that can be changed while running.

use std::io::{self, IsTerminal};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, reload};

use crate::bridge::log_level::LogLevel;

use super::json_lines::JsonLines;

/// How to log.
#[derive(Debug, Clone, Args)]
pub struct Logging {
    /// How log lines look.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// error, warn, info, debug, trace, or directives like `dlms2mqtt::physical=trace`. RUST_LOG goes before it.
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log_level: Option<String>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Logging {
    /// Starts logging. `usual` is the level where nobody names one.
    ///
    /// # Errors
    /// Directives that cannot be read.
    pub(super) fn start(&self, usual: &str) -> anyhow::Result<LogLevel> {
        let from_environment = std::env::var("RUST_LOG").ok().filter(|directives| !directives.is_empty());
        let directives = from_environment.as_deref().or(self.log_level.as_deref()).unwrap_or(usual);
        let filter: Targets = directives.parse()?;
        let (filter, handle) = reload::Layer::new(filter);
        let lines = match self.log_format {
            LogFormat::Text => {
                fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal()).boxed()
            }
            LogFormat::Json => fmt::layer()
                .fmt_fields(JsonFields::new())
                .event_format(JsonLines)
                .with_writer(io::stderr)
                .boxed(),
        };
        tracing_subscriber::registry().with(filter).with(lines).try_init()?;
        let set = move |directives: &str| {
            let filter: Targets = directives.parse().map_err(|error: ParseError| error.to_string())?;
            handle.reload(filter).map_err(|error| error.to_string())
        };
        Ok(LogLevel::new(directives, Arc::new(set)))
    }
}
