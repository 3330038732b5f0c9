//! Secrets of the configuration: where they stand, and what they are once resolved. Neither ever prints itself.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize, Zeroizing};

use super::scalar::inline_schema;
use crate::bridge::bounded;
use crate::error::{Code, Layer, Report};

/// Longest secret that is read from a file, in bytes: no password or key is longer.
const LONGEST_FILE: u64 = 4096;

/// Where a secret is found. Equality is that of the place, or of the text if it is given plainly.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// In an environment variable of this name.
    Env(String),
    /// In a file; one line end at its end doesn't count.
    File(PathBuf),
    /// In the configuration itself.
    Plain(Zeroizing<String>),
}

/// A resolved secret. Cleared from memory when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

/// Why a secret can't be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The environment has no such variable, or it isn't UTF-8.
    #[error("the environment variable {0} is not set")]
    Env(String),
    /// The file can't be read.
    #[error("{}: {}", path.display(), reason(*kind))]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        kind: io::ErrorKind,
    },
    /// The file is longer than any secret.
    #[error("{}: is too long for a secret", .0.display())]
    TooLong(PathBuf),
    /// Nothing stands there.
    #[error("the secret is empty")]
    Empty,
    /// A key or a `hex:` password has other characters than pairs of hex digits.
    #[error("not a text of hex digits, two for each byte")]
    NotHex,
    /// A key has another size than its security suite asks for; sizes in bytes.
    #[error("a key of {expected} bytes ({} hex digits) is expected, this one has {found}", expected * 2)]
    KeySize {
        /// What the suite asks for.
        expected: usize,
        /// What stands there.
        found: usize,
    },
    /// A secret that must be text is none.
    #[error("not a text in UTF-8")]
    NotText,
}

impl Secret {
    /// The secret as an octet string: its text, or the bytes after `hex:`.
    ///
    /// # Errors
    /// If it can't be found, is empty, or is no hex after `hex:`.
    pub fn password(&self) -> Result<SecretBytes, SecretError> {
        let text = self.text()?;
        match text.strip_prefix("hex:") {
            Some(digits) => hex(digits),
            None => Ok(SecretBytes(Zeroizing::new(text.as_bytes().to_vec()))),
        }
    }

    /// The secret as a key of `size` bytes, written in hex digits.
    ///
    /// # Errors
    /// If it can't be found, is no hex, or has another size.
    pub fn key(&self, size: usize) -> Result<SecretBytes, SecretError> {
        let text = self.text()?;
        let key = hex(text.trim())?;
        match key.0.len() {
            found if found == size => Ok(key),
            found => Err(SecretError::KeySize { expected: size, found }),
        }
    }

    /// The secret as text, not empty.
    ///
    /// # Errors
    /// If it can't be found, is empty or isn't UTF-8.
    pub fn text(&self) -> Result<Zeroizing<String>, SecretError> {
        let text = match self {
            Self::Env(name) => {
                Zeroizing::new(std::env::var(name).map_err(|_| SecretError::Env(name.clone()))?)
            }
            Self::File(path) => file(path)?,
            Self::Plain(text) => text.clone(),
        };
        if text.is_empty() { Err(SecretError::Empty) } else { Ok(text) }
    }

    /// The same with a relative file taken from `directory`.
    #[must_use]
    pub fn below(&self, directory: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(directory.join(path)),
            Self::Env(_) | Self::Plain(_) => self.clone(),
        }
    }

    /// Whether it stands in the configuration itself.
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}

impl SecretBytes {
    /// The bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl SecretError {
    /// The published form.
    #[must_use]
    pub fn report(&self) -> Report {
        let hint = match self {
            Self::Env(_) => "set the variable for the service, or use a file",
            Self::File { .. } => "check the path, and that the service's user may read the file",
            Self::TooLong(_) | Self::Empty | Self::NotText => "check what stands in the secret",
            Self::NotHex | Self::KeySize { .. } => {
                "write a key as hex digits: 32 in suites 0 and 1, 64 in suite 2"
            }
        };
        Report::new(Code::ConfigInvalid, Layer::Config, self.to_string()).with_hint(hint)
    }
}

fn file(path: &Path) -> Result<Zeroizing<String>, SecretError> {
    use std::io::Read;

    let failed = |error: io::Error| SecretError::File { path: path.to_owned(), kind: error.kind() };
    let mut bytes = Zeroizing::new(Vec::new());
    bounded::regular(path)
        .and_then(|file| file.take(LONGEST_FILE + 1).read_to_end(&mut bytes))
        .map_err(failed)?;
    if bytes.len() as u64 > LONGEST_FILE {
        return Err(SecretError::TooLong(path.to_owned()));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| SecretError::NotText)?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    Ok(Zeroizing::new(text.strip_suffix('\r').unwrap_or(text).to_owned()))
}

fn hex(digits: &str) -> Result<SecretBytes, SecretError> {
    let nibble = |digit: u8| (digit as char).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let mut bytes = Zeroizing::new(Vec::with_capacity(digits.len() / 2));
    for pair in digits.as_bytes().chunks(2) {
        let [high, low] = pair else { return Err(SecretError::NotHex) };
        match (nibble(*high), nibble(*low)) {
            (Some(high), Some(low)) => bytes.push(high << 4 | low),
            _ => return Err(SecretError::NotHex),
        }
    }
    if bytes.is_empty() { Err(SecretError::Empty) } else { Ok(SecretBytes(bytes)) }
}

fn reason(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::NotFound => "no such file",
        io::ErrorKind::PermissionDenied => "no permission to read it",
        io::ErrorKind::IsADirectory => "is a directory",
        _ => "can't be read",
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "Env({name})"),
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Plain(_) => f.write_str("***"),
        }
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Zeroize for SecretBytes {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

impl Serialize for Secret {
    /// Redacted: a plain secret becomes `{"redacted":true}`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Self::Env(name) => map.serialize_entry("env", name)?,
            Self::File(path) => map.serialize_entry("file", path)?,
            Self::Plain(_) => map.serialize_entry("redacted", &true)?,
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

/// Written by hand because the messages of a derived one would quote what stands there.
struct SecretVisitor;

impl SecretVisitor {
    const QUOTES: &'static str = "a secret that looks like a number needs quotes";
}

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret: { env: NAME }, { file: PATH } or a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
        Ok(Secret::Plain(Zeroizing::new(text.to_owned())))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Secret, E> {
        Ok(Secret::Plain(Zeroizing::new(text)))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Secret, E> {
        Err(E::custom(Self::QUOTES))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
        Err(E::custom(Self::QUOTES))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Secret, E> {
        Err(E::custom(Self::QUOTES))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
        Err(E::custom(Self::QUOTES))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
        let mut found = None;
        while let Some(place) = map.next_key::<String>()? {
            if found.is_some() {
                return Err(A::Error::custom("a secret is in one place: either env or file"));
            }
            found = Some(match place.as_str() {
                "env" => Secret::Env(map.next_value()?),
                "file" => Secret::File(map.next_value()?),
                "redacted" => {
                    return Err(A::Error::custom(
                        "a redacted secret stands for one that is configured already, and there is none here",
                    ));
                }
                unknown => return Err(A::Error::unknown_field(unknown, &["env", "file"])),
            });
        }
        found.ok_or_else(|| A::Error::custom("a secret needs env or file"))
    }
}

inline_schema!(Secret, {
    "description": "A secret: the name of an environment variable, a file, or the text itself.",
    "anyOf": [
        { "type": "string" },
        { "type": "object", "properties": { "env": { "type": "string" } }, "required": ["env"], "additionalProperties": false },
        { "type": "object", "properties": { "file": { "type": "string" } }, "required": ["file"], "additionalProperties": false }
    ]
});

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Secret {
        Secret::Plain(Zeroizing::new(text.to_owned()))
    }

    #[test]
    fn passwords_are_text_or_hex() {
        assert_eq!(plain("12345678").password().unwrap().expose(), b"12345678");
        assert_eq!(plain("hex:00fF").password().unwrap().expose(), [0, 0xFF]);
        assert_eq!(plain("hex:0").password(), Err(SecretError::NotHex));
        assert_eq!(plain("hex:").password(), Err(SecretError::Empty));
        assert_eq!(plain("").password(), Err(SecretError::Empty));
    }

    #[test]
    fn keys_have_the_size_of_their_suite() {
        assert_eq!(plain("000102030405060708090A0B0C0D0E0F").key(16).unwrap().expose()[15], 15);
        assert_eq!(plain("0001").key(16), Err(SecretError::KeySize { expected: 16, found: 2 }));
        assert_eq!(plain("zz").key(1), Err(SecretError::NotHex));
        assert_eq!(plain("é0").key(1), Err(SecretError::NotHex));
    }

    #[test]
    fn a_file_loses_one_line_end() {
        let directory = tempfile::tempdir().unwrap();
        for (written, read) in [("ab\n", "ab"), ("ab\r\n", "ab"), ("ab\n\n", "ab\n"), ("ab", "ab")] {
            let path = directory.path().join("secret");
            std::fs::write(&path, written).unwrap();
            assert_eq!(Secret::File(path).text().unwrap().as_str(), read);
        }
        let absent = Secret::File("absent".into()).below(directory.path());
        assert!(absent.text().unwrap_err().to_string().ends_with("no such file"));
        let long = directory.path().join("long");
        std::fs::write(&long, "x".repeat(5000)).unwrap();
        assert_eq!(Secret::File(long.clone()).text(), Err(SecretError::TooLong(long)));
    }

    #[test]
    fn nothing_prints_a_secret() {
        let secret = plain("hunter2");
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(format!("{:?}", secret.password()), "Ok(***)");
        assert_eq!(serde_json::to_string(&secret).unwrap(), r#"{"redacted":true}"#);
        for text in
            ["123", "1.5", "true", "[\"hunter2\"]", "{\"env\":\"A\",\"file\":\"hunter2\"}", "{\"hunter2\":1}"]
        {
            let error = serde_json::from_str::<Secret>(text).unwrap_err().to_string();
            assert!(!error.contains("123") && !error.contains("1.5"), "{error}");
        }
    }
}
