//! What is wrong with configured serial ports here and now, without opening them.

use std::io;
use std::path::Path as FilePath;

use rustix::fs::{Access, access};
use rustix::io::Errno;

use crate::bridge::config::Config;
use crate::bridge::config::model::Link;
use crate::bridge::config::path::Path;
use crate::bridge::config::problem::Problem;

/// Warnings about serial ports of enabled connections: absent, or not permitted. Whether a port is in use shows only when
/// it is opened.
#[must_use]
pub fn port_warnings(config: &Config) -> Vec<Problem> {
    let connections = config.connections.values().enumerate();
    let enabled = connections.filter(|(_, connection)| connection.enabled);
    let warnings = enabled.filter_map(|(index, connection)| {
        let Link::Serial(serial) = &connection.link else { return None };
        let at = Path::root().key("connections").index(index).key("device");
        let (message, hint) = trouble(&serial.device)?;
        Some(Problem::warning(at, message).with_hint(hint))
    });
    warnings.collect()
}

fn trouble(device: &FilePath) -> Option<(String, &'static str)> {
    let shown = device.display();
    match access(device, Access::READ_OK | Access::WRITE_OK) {
        Ok(()) => None,
        Err(Errno::NOENT) => Some((
            format!("{shown} does not exist on this machine now"),
            "plug the adapter in, or check the path; the port is waited for",
        )),
        Err(Errno::ACCESS | Errno::PERM) => Some((
            format!("no permission to open {shown} as this user"),
            "add the user that runs dlms2mqtt to the group of the device, often dialout",
        )),
        Err(errno) => Some((
            format!("{shown} cannot be used: {}", io::Error::from(errno)),
            "check the path of the port",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_port_is_said_and_a_present_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let port = folder.path().join("port");
        assert!(trouble(&port).unwrap().0.contains("does not exist"));
        std::fs::write(&port, "").unwrap();
        assert_eq!(trouble(&port), None);
        assert!(trouble(&port.join("below")).unwrap().0.contains("cannot be used"));
    }
}
