//! The bit-string of COSEM Data.

use std::fmt;
use std::str::FromStr;

/// A bit-string: bits counted from the most significant of the first byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BitString {
    bits: usize,
    bytes: Vec<u8>,
}

impl BitString {
    /// The first `bits` bits of `bytes`; `None` where there are fewer. Padding bits are cleared.
    #[must_use]
    pub fn new(bits: usize, bytes: &[u8]) -> Option<Self> {
        let mut bytes = bytes.get(..bits.div_ceil(8))?.to_vec();
        let padding = bits.div_ceil(8).saturating_mul(8).saturating_sub(bits);
        if let Some(last) = bytes.last_mut() {
            *last = *last >> padding << padding;
        }
        Some(Self { bits, bytes })
    }

    /// Number of bits.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bits
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bits == 0
    }

    /// The bits, first first.
    pub fn iter(&self) -> impl Iterator<Item = bool> + '_ {
        self.bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).take(self.bits)
    }

    /// The bytes, padded with zero bits.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl FromIterator<bool> for BitString {
    fn from_iter<I: IntoIterator<Item = bool>>(bits: I) -> Self {
        let mut result = Self { bits: 0, bytes: Vec::new() };
        let mut mask = 0u8;
        for bit in bits {
            if mask == 0 {
                mask = 0x80;
                result.bytes.push(0);
            }
            if let (true, Some(last)) = (bit, result.bytes.last_mut()) {
                *last |= mask;
            }
            mask >>= 1;
            result.bits = result.bits.saturating_add(1);
        }
        result
    }
}

impl fmt::Display for BitString {
    /// Text of 0 and 1, first bit first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|bit| f.write_str(if bit { "1" } else { "0" }))
    }
}

/// A text with another character than 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a bit-string is written with 0 and 1 only")]
pub struct BitStringError;

impl FromStr for BitString {
    type Err = BitStringError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.bytes()
            .map(|byte| match byte {
                b'0' => Ok(false),
                b'1' => Ok(true),
                _ => Err(BitStringError),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_and_text() {
        let bits = BitString::new(9, &[0xB3, 0xFF]).unwrap();
        assert_eq!(bits.as_bytes(), [0xB3, 0x80], "padding is cleared");
        assert_eq!(bits.to_string(), "101100111");
        assert_eq!("101100111".parse(), Ok(bits.clone()));
        assert_eq!(bits.iter().collect::<BitString>(), bits);
        assert_eq!(BitString::new(9, &[0]), None);
        assert_eq!("".parse(), Ok(BitString::new(0, &[]).unwrap()));
        assert_eq!("012".parse::<BitString>(), Err(BitStringError));
    }
}
