//! Results on stdout. A reader like `head` that has seen enough is no failure.

use std::fmt::Display;
use std::io::{self, Write};

use serde::Serialize;

use super::CommandError;

/// Prints a result and ends its line.
pub(super) fn print_line(result: impl Display) -> Result<(), CommandError> {
    printed(writeln!(io::stdout(), "{result}"))
}

/// Prints a result as one line of JSON.
pub(super) fn print_json(result: &(impl Serialize + ?Sized)) -> Result<(), CommandError> {
    print_line(serde_json::to_string(result).map_err(anyhow::Error::from)?)
}

/// Says something to whoever watches. That nobody does, as where stderr is a pipe that was closed, is no failure.
pub(super) fn say(what: impl Display) {
    let _ = writeln!(io::stderr(), "{what}");
}

/// What printing came to.
pub(super) fn printed(outcome: io::Result<()>) -> Result<(), CommandError> {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::Fault(error.into())),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_no_failure_and_a_full_disk_is_one() {
        assert!(printed(Err(io::ErrorKind::BrokenPipe.into())).is_ok());
        assert!(matches!(printed(Err(io::ErrorKind::StorageFull.into())), Err(CommandError::Fault(_))));
    }
}
