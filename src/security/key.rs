//! Secrets and the names of their owners: symmetric keys and system titles.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A symmetric key of 16 bytes (suites 0 and 1) or 32 bytes (suite 2). Zeroised on drop; `Debug` shows no byte of it.
#[derive(Clone)]
pub struct Key(Zeroizing<Box<[u8]>>);

/// Why a text or bytes are not a key or a system title. Never holds any part of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A character that is no hexadecimal digit, or an odd number of digits.
    #[error("not hexadecimal: an even number of the digits 0-9 and A-F is needed")]
    NotHex,
    /// Another length than the one needed; the number is the length found, in bytes.
    #[error("{0} bytes: a key has 16 or 32 bytes, a system title 8")]
    Length(usize),
}

impl Key {
    /// A key of 16 or 32 bytes.
    ///
    /// # Errors
    /// [`KeyError::Length`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        match bytes.len() {
            16 | 32 => Ok(Self(Zeroizing::new(bytes.into()))),
            other => Err(KeyError::Length(other)),
        }
    }

    /// A key written as 32 or 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        Self::from_bytes(&hex_bytes(text)?)
    }

    /// The bytes, for ciphers and for the InitiateRequest that proposes a dedicated key.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Length in bytes: 16 or 32.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a key is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// In constant time.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

/// The name of a DLMS/COSEM system: three letters of the manufacturer and five bytes of its choice. Not a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SystemTitle(pub [u8; 8]);

impl SystemTitle {
    /// A title written as 16 hexadecimal digits.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        Self::try_from(hex_bytes(text)?.as_slice())
    }

    /// The manufacturer's letters (FLAG), where the first three bytes are letters.
    #[must_use]
    pub fn manufacturer(&self) -> Option<&str> {
        let letters = self.0.first_chunk::<3>()?;
        letters.iter().all(u8::is_ascii_alphabetic).then(|| std::str::from_utf8(letters).ok()).flatten()
    }
}

impl TryFrom<&[u8]> for SystemTitle {
    type Error = KeyError;

    fn try_from(bytes: &[u8]) -> Result<Self, KeyError> {
        bytes.try_into().map(Self).map_err(|_| KeyError::Length(bytes.len()))
    }
}

impl fmt::Display for SystemTitle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl fmt::Debug for SystemTitle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SystemTitle({self})")
    }
}

fn hex_bytes(text: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return Err(KeyError::NotHex) };
    // The capacity is exact, so that no reallocation leaves a copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(pairs.len()));
    for [high, low] in pairs {
        bytes.push(nibble(*high)? << 4 | nibble(*low)?);
    }
    Ok(bytes)
}

fn nibble(digit: u8) -> Result<u8, KeyError> {
    let value = char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    value.ok_or(KeyError::NotHex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_16_or_32_bytes() {
        assert_eq!(Key::from_hex("000102030405060708090a0B0C0D0E0F").unwrap().expose()[10..12], [10, 11]);
        assert_eq!(Key::from_hex(&"ab".repeat(32)).unwrap().len(), 32);
        assert_eq!(Key::from_hex(&"ab".repeat(24)), Err(KeyError::Length(24)));
        assert_eq!(Key::from_hex(""), Err(KeyError::Length(0)));
        assert_eq!(Key::from_hex("abc"), Err(KeyError::NotHex));
        assert_eq!(Key::from_hex("é0"), Err(KeyError::NotHex));
        assert_eq!(Key::from_hex("+1"), Err(KeyError::NotHex));
        assert_eq!(Key::from_bytes(&[0; 15]), Err(KeyError::Length(15)));
        assert_ne!(Key::from_bytes(&[0; 16]), Key::from_bytes(&[0; 32]));
    }

    #[test]
    fn keys_do_not_print() {
        assert_eq!(format!("{:?}", Key::from_bytes(&[0xAB; 16]).unwrap()), "Key(***)");
    }

    #[test]
    fn titles() {
        let title = SystemTitle::from_hex("4b414d4501349083").unwrap();
        assert_eq!(title.to_string(), "4B414D4501349083");
        assert_eq!(title.manufacturer(), Some("KAM"));
        assert_eq!(SystemTitle([0x2F, 0x19, 0x22, 0, 0, 0, 0, 0]).manufacturer(), None);
        assert_eq!(SystemTitle::from_hex("4b41"), Err(KeyError::Length(2)));
    }
}
