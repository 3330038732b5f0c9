//! The Python interpreter that has the peer libraries of `tests/peers/requirements.txt`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A command that runs `script`: with the interpreter that `DLMS2MQTT_PYTHON` names, or with that of `.venv`.
pub(crate) fn python(script: &Path) -> Command {
    let interpreter = std::env::var_os("DLMS2MQTT_PYTHON")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python"), PathBuf::from);
    assert!(interpreter.exists(), "{} is missing: run scripts/test, which makes it", interpreter.display());
    let mut command = Command::new(interpreter);
    command.arg("-B").arg(script);
    command
}
