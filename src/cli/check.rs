//! `dlms2mqtt check`: every problem of a configuration.

use super::{CommandError, ConfigArgs};
use crate::bridge::config::load_file;
use crate::bridge::link::port_check::port_warnings;

/// Validates; problems go to stdout, for they are the result.
pub(super) fn run(args: &ConfigArgs) -> Result<(), CommandError> {
    match load_file(&args.config) {
        Ok(loaded) => {
            loaded.warnings.iter().for_each(|problem| println!("{problem}"));
            let config = loaded.config;
            port_warnings(&config).iter().for_each(|problem| println!("{problem}"));
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
