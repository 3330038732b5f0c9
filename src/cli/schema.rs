//! `dlms2mqtt schema`: JSON Schemas of the configuration and of the payloads.

use clap::Args;

use super::CommandError;
use super::results::print_line;
use crate::bridge::{config, reading};

/// Which schema.
#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    /// `config`, or a payload: value, snapshot, profile, status, availability, event.
    #[arg(default_value = "config")]
    name: String,
}

/// Prints a schema.
pub(super) fn run(args: &SchemaArgs) -> Result<(), CommandError> {
    let text = match args.name.as_str() {
        "config" => config::schema::TEXT,
        name => reading::schema::text(name).ok_or_else(|| {
            CommandError::Usage(format!("no schema {name}: config, {}", reading::schema::SCHEMAS.join(", ")))
        })?,
    };
    print_line(text.trim_end())
}
