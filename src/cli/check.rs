//! `dlms2mqtt check`: every problem of a configuration.

use super::results::print_line;
use super::{CommandError, ConfigArgs};
use crate::bridge::config::load_file;
use crate::bridge::link::port_check::port_warnings;

/// Validates; problems go to stdout, for they are the result.
pub(super) fn run(args: &ConfigArgs) -> Result<(), CommandError> {
    match load_file(&args.config) {
        Ok(loaded) => {
            loaded.warnings.iter().try_for_each(print_line)?;
            let config = loaded.config;
            port_warnings(&config).iter().try_for_each(print_line)?;
            print_line(format_args!(
                "{}: {} connections, {} devices, {} groups: valid",
                args.config.display(),
                config.connections.len(),
                config.devices.len(),
                config.groups.len()
            ))
        }
        Err(problems) => {
            problems.0.iter().try_for_each(print_line)?;
            Err(CommandError::Configuration)
        }
    }
}
