//! What the system's error numbers mean of a serial port.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::io::Errno;

use super::name;
use crate::transport::error::TransportError;

/// A failure to open `device`.
pub(super) fn opening(device: &Path, errno: Errno) -> TransportError {
    let reason = match errno {
        Errno::BUSY | Errno::WOULDBLOCK => return TransportError::SerialBusy { device: name(device) },
        Errno::ACCESS | Errno::PERM => {
            return TransportError::SerialPermission { device: name(device), group: owning_group(device) };
        }
        Errno::NOENT => "it does not exist".to_owned(),
        Errno::NXIO | Errno::NODEV => "there is no hardware behind it".to_owned(),
        Errno::NOTTY => "it is not a serial port".to_owned(),
        Errno::ISDIR => "it is a directory".to_owned(),
        other => std::io::Error::from(other).to_string(),
    };
    TransportError::SerialOpen { device: name(device), reason }
}

/// A failure of the open port `device`.
pub(super) fn using(device: &Path, errno: Errno) -> TransportError {
    if means_gone(errno) {
        TransportError::SerialGone { device: name(device) }
    } else {
        TransportError::Broken(std::io::Error::from(errno).kind())
    }
}

/// Whether an open terminal that fails so has hung up.
pub(super) const fn means_gone(errno: Errno) -> bool {
    matches!(errno, Errno::IO | Errno::NXIO | Errno::NODEV)
}

/// The group whose members may use the device; `None` where no group may, or its name is unknown.
fn owning_group(device: &Path) -> Option<String> {
    const GROUP_READS_AND_WRITES: u32 = 0o060;
    let metadata = std::fs::metadata(device).ok()?;
    if metadata.mode() & GROUP_READS_AND_WRITES != GROUP_READS_AND_WRITES {
        return None;
    }
    group_name(&std::fs::read_to_string("/etc/group").ok()?, metadata.gid())
}

/// The name of a group id in the format of group(5).
fn group_name(groups: &str, gid: u32) -> Option<String> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(gid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn error_numbers_have_codes() {
        let code = |errno| opening(Path::new("/dev/ttyUSB0"), errno).report().code;
        assert_eq!(code(Errno::NOENT), Code::SerialOpen);
        assert_eq!(code(Errno::NXIO), Code::SerialOpen);
        assert_eq!(code(Errno::NOTTY), Code::SerialOpen);
        assert_eq!(code(Errno::ACCESS), Code::SerialPermission);
        assert_eq!(code(Errno::BUSY), Code::SerialBusy);
        assert_eq!(code(Errno::WOULDBLOCK), Code::SerialBusy);
        let code = |errno| using(Path::new("/dev/ttyUSB0"), errno).report().code;
        assert_eq!(code(Errno::IO), Code::SerialGone);
        assert_eq!(code(Errno::NODEV), Code::SerialGone);
    }

    #[test]
    fn the_group_of_a_device_is_named() {
        let groups = "root:x:0:\ntty:x:5:\ndialout:x:20:alice,bob\nbroken\nother:x:y:\n";
        assert_eq!(group_name(groups, 20).as_deref(), Some("dialout"));
        assert_eq!(group_name(groups, 21), None);
        let error =
            TransportError::SerialPermission { device: "/dev/ttyUSB0".into(), group: Some("dialout".into()) };
        assert!(error.report().hint.contains("dialout"), "{:?}", error.report());
        assert_eq!(owning_group(Path::new("/dev/null/none")), None);
    }
}
