//! The record of checks that a run could not make for want of material kept outside the repository.

use std::fs::File;
use std::io::Write as _;

/// Says that `count` checks of `what` were not run. Test runners hide what passing tests print, so `scripts/test`
/// names a file in `DLMS2MQTT_NOT_RUN`, which it shows at its end.
pub(crate) fn not_run(count: usize, what: &str) {
    let line = format!("NOT RUN: {count} checks of {what}");
    eprintln!("{line}");
    if let Some(file) = std::env::var_os("DLMS2MQTT_NOT_RUN") {
        let mut file =
            File::options().create(true).append(true).open(file).expect("the record can be written");
        // One write, so that lines of tests that run at once don't mix.
        file.write_all(format!("{line}\n").as_bytes()).expect("the record can be written");
    }
}
