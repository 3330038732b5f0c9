//! `dlms2mqtt check`: every problem of a configuration.

use super::{CommandError, ConfigArgs};
use crate::bridge::config::load_file;

/// Validates; problems go to stdout, for they are the result.
pub(super) fn run(args: &ConfigArgs) -> Result<(), CommandError> {
    match load_file(&args.config) {
        Ok(loaded) => {
            loaded.warnings.iter().for_each(|problem| println!("{problem}"));
            let config = loaded.config;
            println!(
                "{}: {} connections, {} devices, {} groups: valid",
                args.config.display(),
                config.connections.len(),
                config.devices.len(),
                config.groups.len()
            );
            Ok(())
        }
        Err(problems) => {
            problems.0.iter().for_each(|problem| println!("{problem}"));
            Err(CommandError::Configuration)
        }
    }
}
