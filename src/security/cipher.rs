//! AES-GCM as DLMS uses it: tags of 12 bytes, the authentication key in the associated data (Green Book 9.2.3.3.7).

use std::fmt;

use aes_gcm::aead::consts::U12;
use aes_gcm::aes::{Aes128, Aes256};
use aes_gcm::{AeadInOut, AesGcm, KeyInit};
use zeroize::Zeroizing;

use super::error::SecurityError;
use super::key::{Key, SystemTitle};

/// Length in bytes of an authentication tag.
pub const TAG_LENGTH: usize = 12;

/// An initialisation vector: the sender's system title and the invocation counter.
pub type Nonce = [u8; 12];

/// The initialisation vector of one APDU.
#[must_use]
pub const fn nonce(sender: SystemTitle, counter: u32) -> Nonce {
    let [t0, t1, t2, t3, t4, t5, t6, t7] = sender.0;
    let [c0, c1, c2, c3] = counter.to_be_bytes();
    [t0, t1, t2, t3, t4, t5, t6, t7, c0, c1, c2, c3]
}

/// A block cipher key made ready: its key schedule is computed once. Zeroised on drop.
///
/// Boxed, so that a move copies no key material.
pub struct Gcm(Schedule);

enum Schedule {
    Aes128(Box<AesGcm<Aes128, U12, U12>>),
    Aes256(Box<AesGcm<Aes256, U12, U12>>),
}

impl Gcm {
    /// Computes the key schedule.
    ///
    /// # Errors
    /// None for a [`Key`], which has one of the two lengths.
    pub fn new(key: &Key) -> Result<Self, SecurityError> {
        let schedule = if key.len() == 16 {
            AesGcm::new_from_slice(key.expose()).map(|gcm| Schedule::Aes128(Box::new(gcm)))
        } else {
            AesGcm::new_from_slice(key.expose()).map(|gcm| Schedule::Aes256(Box::new(gcm)))
        };
        schedule.map(Self).map_err(|_| SecurityError::TooLong)
    }

    /// Enciphers in place and returns the tag over `associated` and the text.
    ///
    /// # Errors
    /// `TooLong` above 64 GiB.
    pub fn seal(
        &self,
        nonce: &Nonce,
        associated: &[u8],
        text: &mut [u8],
    ) -> Result<[u8; TAG_LENGTH], SecurityError> {
        let tag = match &self.0 {
            Schedule::Aes128(gcm) => gcm.encrypt_inout_detached(nonce.into(), associated, text.into()),
            Schedule::Aes256(gcm) => gcm.encrypt_inout_detached(nonce.into(), associated, text.into()),
        };
        tag.map(Into::into).map_err(|_| SecurityError::TooLong)
    }

    /// Checks the tag in constant time, and only then deciphers in place.
    ///
    /// # Errors
    /// `TagMismatch`; the text is untouched then.
    pub fn open(
        &self,
        nonce: &Nonce,
        associated: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LENGTH],
    ) -> Result<(), SecurityError> {
        match &self.0 {
            Schedule::Aes128(gcm) => {
                gcm.decrypt_inout_detached(nonce.into(), associated, text.into(), tag.into())
            }
            Schedule::Aes256(gcm) => {
                gcm.decrypt_inout_detached(nonce.into(), associated, text.into(), tag.into())
            }
        }
        .map_err(|_| SecurityError::TagMismatch)
    }

    /// Deciphers in place what carries no tag, or none that can be checked. Its own inverse.
    ///
    /// # Errors
    /// As [`Self::seal`].
    pub fn apply_key_stream(&self, nonce: &Nonce, text: &mut [u8]) -> Result<(), SecurityError> {
        self.seal(nonce, &[], text).map(|_| ())
    }
}

impl fmt::Debug for Gcm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gcm(***)")
    }
}

/// The associated data SC ‖ AK ‖ text in one buffer that is kept from APDU to APDU. Zeroised on drop.
pub struct AssociatedData {
    bytes: Zeroizing<Vec<u8>>,
    prefix: usize,
}

impl AssociatedData {
    /// For an authentication key.
    #[must_use]
    pub fn new(authentication_key: &Key) -> Self {
        let prefix = authentication_key.len().saturating_add(1);
        let mut bytes = Zeroizing::new(Vec::with_capacity(prefix));
        bytes.push(0);
        bytes.extend_from_slice(authentication_key.expose());
        Self { bytes, prefix }
    }

    /// SC ‖ AK ‖ text.
    pub fn of(&mut self, control: u8, text: &[u8]) -> &[u8] {
        self.bytes.truncate(self.prefix);
        let needed = self.prefix.saturating_add(text.len());
        if self.bytes.capacity() < needed {
            // A Vec that grows by itself would leave a copy of the key behind.
            let mut larger = Vec::with_capacity(needed.next_power_of_two());
            larger.extend_from_slice(&self.bytes);
            self.bytes = Zeroizing::new(larger);
        }
        self.bytes.extend_from_slice(text);
        if let Some(first) = self.bytes.first_mut() {
            *first = control;
        }
        &self.bytes
    }
}

impl fmt::Debug for AssociatedData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AssociatedData(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: [u8; 13] = [0xC0, 1, 0, 0, 8, 0, 0, 1, 0, 0, 0xFF, 2, 0];
    const CIPHERED: [u8; 13] = [0x41, 0x13, 0x12, 0xFF, 0x93, 0x5A, 0x47, 0x56, 0x68, 0x27, 0xC4, 0x67, 0xBC];
    const BOTH: [u8; 12] = [0x7D, 0x82, 0x5C, 0x3B, 0xE4, 0xA7, 0x7C, 0x3F, 0xCC, 0x05, 0x6B, 0x6B];
    const AUTHENTICATED: [u8; 12] = [0x06, 0x72, 0x5D, 0x91, 0x0F, 0x92, 0x21, 0xD2, 0x63, 0x87, 0x75, 0x16];

    fn example() -> (Gcm, AssociatedData, Nonce) {
        let key = Key::from_hex("000102030405060708090A0B0C0D0E0F").unwrap();
        let authentication_key = Key::from_hex("D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF").unwrap();
        let title = SystemTitle::from_hex("4D4D4D0000BC614E").unwrap();
        (Gcm::new(&key).unwrap(), AssociatedData::new(&authentication_key), nonce(title, 0x0123_4567))
    }

    #[test]
    fn the_green_book_example_both_ways() {
        let (gcm, mut associated, nonce) = example();
        let mut text = PLAIN;
        assert_eq!(gcm.seal(&nonce, associated.of(0x30, &[]), &mut text), Ok(BOTH));
        assert_eq!(text, CIPHERED);
        assert_eq!(gcm.open(&nonce, associated.of(0x30, &[]), &mut text, &BOTH), Ok(()));
        assert_eq!(text, PLAIN);
        gcm.apply_key_stream(&nonce, &mut text).unwrap();
        assert_eq!(text, CIPHERED);
        assert_eq!(gcm.seal(&nonce, associated.of(0x10, &PLAIN), &mut []), Ok(AUTHENTICATED));
        assert_eq!(gcm.open(&nonce, associated.of(0x10, &PLAIN), &mut [], &AUTHENTICATED), Ok(()));
    }

    #[test]
    fn a_wrong_tag_leaves_the_text_untouched() {
        let (gcm, mut associated, nonce) = example();
        for bit in 0..96 {
            let mut tag = BOTH;
            tag[bit / 8] ^= 1 << (bit % 8);
            let mut text = CIPHERED;
            let opened = gcm.open(&nonce, associated.of(0x30, &[]), &mut text, &tag);
            assert_eq!(opened, Err(SecurityError::TagMismatch));
            assert_eq!(text, CIPHERED);
        }
    }

    #[test]
    fn associated_data_shrinks_and_grows() {
        let (_, mut associated, _) = example();
        assert_eq!(associated.of(0x10, &[7; 1000]).len(), 1017);
        assert_eq!(associated.of(0x30, &[]).len(), 17);
        assert_eq!(associated.of(0x10, &[1, 2])[15..], [0xDE, 0xDF, 1, 2]);
    }
}
