//! The command line of dlms2mqtt.

use std::process::ExitCode;

fn main() -> ExitCode {
    dlms2mqtt::cli::main()
}
