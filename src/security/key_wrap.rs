//! AES key wrap (RFC 3394), by which security setup transfers new global keys.

use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes256, Block};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::error::SecurityError;
use super::key::Key;

const INITIAL: [u8; 8] = [0xA6; 8];
const ROUNDS: u64 = 6;

/// Wraps `key` under the key-encrypting key: 8 bytes longer than the key.
///
/// # Errors
/// None for a [`Key`], which has one of the two lengths.
pub fn wrap(kek: &Key, key: &Key) -> Result<Vec<u8>, SecurityError> {
    let cipher = Kek::new(kek)?;
    let mut blocks = Zeroizing::new(key.expose().as_chunks::<8>().0.to_vec());
    let mut check = INITIAL;
    let mut step = 0u64;
    for _ in 0..ROUNDS {
        for block in blocks.iter_mut() {
            step = step.saturating_add(1);
            (check, *block) = cipher.encrypt(check, *block);
            check = xor(check, step);
        }
    }
    let mut wrapped = check.to_vec();
    blocks.iter().for_each(|block| wrapped.extend_from_slice(block));
    Ok(wrapped)
}

/// Unwraps what [`wrap`] made.
///
/// # Errors
/// `KeyUnwrap` where the length is no key's or the key-encrypting key is another.
pub fn unwrap(kek: &Key, wrapped: &[u8]) -> Result<Key, SecurityError> {
    let (Some((check, text)), 24 | 40) = (wrapped.split_first_chunk::<8>(), wrapped.len()) else {
        return Err(SecurityError::KeyUnwrap);
    };
    let cipher = Kek::new(kek)?;
    let mut blocks = Zeroizing::new(text.as_chunks::<8>().0.to_vec());
    let mut check = *check;
    let mut step = u64::try_from(blocks.len()).unwrap_or_default().saturating_mul(ROUNDS);
    for _ in 0..ROUNDS {
        for block in blocks.iter_mut().rev() {
            (check, *block) = cipher.decrypt(xor(check, step), *block);
            step = step.saturating_sub(1);
        }
    }
    if !bool::from(check.ct_eq(&INITIAL)) {
        return Err(SecurityError::KeyUnwrap);
    }
    Key::from_bytes(blocks.as_flattened()).map_err(|_| SecurityError::KeyUnwrap)
}

enum Kek {
    Aes128(Box<Aes128>),
    Aes256(Box<Aes256>),
}

impl Kek {
    fn new(key: &Key) -> Result<Self, SecurityError> {
        if key.len() == 16 {
            Aes128::new_from_slice(key.expose()).map(|aes| Self::Aes128(Box::new(aes)))
        } else {
            Aes256::new_from_slice(key.expose()).map(|aes| Self::Aes256(Box::new(aes)))
        }
        .map_err(|_| SecurityError::KeyUnwrap)
    }

    fn encrypt(&self, high: [u8; 8], low: [u8; 8]) -> ([u8; 8], [u8; 8]) {
        let mut block = join(high, low);
        match self {
            Self::Aes128(aes) => aes.encrypt_block(&mut block),
            Self::Aes256(aes) => aes.encrypt_block(&mut block),
        }
        split(block)
    }

    fn decrypt(&self, high: [u8; 8], low: [u8; 8]) -> ([u8; 8], [u8; 8]) {
        let mut block = join(high, low);
        match self {
            Self::Aes128(aes) => aes.decrypt_block(&mut block),
            Self::Aes256(aes) => aes.decrypt_block(&mut block),
        }
        split(block)
    }
}

fn join(high: [u8; 8], low: [u8; 8]) -> Block {
    let joined = u128::from(u64::from_be_bytes(high)) << 64 | u128::from(u64::from_be_bytes(low));
    Array(joined.to_be_bytes())
}

fn split(block: Block) -> ([u8; 8], [u8; 8]) {
    let joined = u128::from_be_bytes(block.0);
    let low = u64::try_from(joined & u128::from(u64::MAX)).unwrap_or_default();
    let high = u64::try_from(joined >> 64).unwrap_or_default();
    (high.to_be_bytes(), low.to_be_bytes())
}

fn xor(check: [u8; 8], step: u64) -> [u8; 8] {
    (u64::from_be_bytes(check) ^ step).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02X}")).collect()
    }

    /// RFC 3394, sections 4.1, 4.3 and 4.6.
    #[test]
    fn rfc_3394_examples_both_ways() {
        let long = "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F";
        let short = "00112233445566778899AABBCCDDEEFF";
        for (kek, key, wrapped) in [
            (&long[..32], short, "1FA68B0A8112B447AEF34BD8FB5A7B829D3E862371D2CFE5"),
            (long, short, "64E8C3F9CE0F5BA263E9777905818A2A93C8191E7D6E8AE7"),
            (
                long,
                "00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F",
                "28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21",
            ),
        ] {
            let (kek, key) = (Key::from_hex(kek).unwrap(), Key::from_hex(key).unwrap());
            let bytes = wrap(&kek, &key).unwrap();
            assert_eq!(hex(&bytes), wrapped);
            assert_eq!(unwrap(&kek, &bytes), Ok(key));
        }
    }

    #[test]
    fn damage_is_refused() {
        let kek = Key::from_bytes(&[1; 16]).unwrap();
        let wrapped = wrap(&kek, &Key::from_bytes(&[2; 16]).unwrap()).unwrap();
        for bit in 0..wrapped.len() * 8 {
            let mut damaged = wrapped.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unwrap(&kek, &damaged), Err(SecurityError::KeyUnwrap));
        }
        for length in 0..wrapped.len() {
            assert_eq!(unwrap(&kek, &wrapped[..length]), Err(SecurityError::KeyUnwrap));
        }
        assert_eq!(unwrap(&Key::from_bytes(&[3; 16]).unwrap(), &wrapped), Err(SecurityError::KeyUnwrap));
    }
}
