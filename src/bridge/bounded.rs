//! Files and streams that others give us, read whole up to a length: one that never ends must not fill the memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use zeroize::Zeroizing;

/// Longest that is read, in bytes.
pub const LONGEST: usize = 16 << 20;

/// Reads a file of text.
///
/// # Errors
/// Those of the file; `FileTooLarge` beyond [`LONGEST`], `InvalidData` where it is no UTF-8.
pub fn text(path: &Path) -> io::Result<String> {
    utf8(stream(&mut File::open(path)?)?)
}

/// Reads a text of a [`regular`] file.
///
/// # Errors
/// As [`text`]; `InvalidInput` where it is no regular file.
pub fn regular_text(path: &Path) -> io::Result<String> {
    utf8(stream(&mut regular(path)?)?)
}

/// Reads a [`regular`] file that may be secret.
///
/// # Errors
/// As [`regular_text`], of any bytes.
pub fn regular_file(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    stream(&mut regular(path)?).map(Zeroizing::new)
}

/// Opens a file that is read while the bridge runs, which nothing in its place may hold up: to open a named pipe is to
/// wait for whoever writes to it.
///
/// # Errors
/// Those of the file; `InvalidInput` where it is no regular one.
pub fn regular(path: &Path) -> io::Result<File> {
    let found = std::fs::metadata(path)?;
    // To read a folder fails by itself, and says why.
    if found.is_file() || found.is_dir() {
        File::open(path)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"))
    }
}

fn utf8(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no text in UTF-8"))
}

/// Reads a stream to its end.
///
/// # Errors
/// As [`text`], of any bytes.
pub fn stream(from: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(LONGEST as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > LONGEST {
        let message = format!("it is longer than {} MiB", LONGEST >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_refused() {
        let error = text(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(error.to_string(), "it is longer than 16 MiB");
        assert_eq!(stream(&mut io::repeat(7).take(LONGEST as u64)).unwrap().len(), LONGEST);
        assert!(stream(&mut io::repeat(7).take(LONGEST as u64 + 1)).is_err());
        assert_eq!(text(Path::new("/dev/null")).unwrap(), "");
    }

    #[test]
    fn what_is_no_text_is_refused_as_text_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latin");
        std::fs::write(&path, [0x5A, 0xE4]).unwrap();
        assert_eq!(text(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(regular_file(&path).unwrap().as_slice(), [0x5A, 0xE4]);
    }
}
