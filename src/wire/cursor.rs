//! Reading and writing of A-XDR primitives: integers, lengths and runs of bytes, always bounds-checked.

use super::error::{WireError, WireErrorKind};

/// A position in received bytes. Every read is checked; errors carry the offset.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Offset in bytes from the start.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// What has not been read yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.position..).unwrap_or_default()
    }

    /// Bytes left.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.bytes.len().saturating_sub(self.position)
    }

    /// Whether everything has been read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// An error of `kind` at the present offset.
    #[must_use]
    pub const fn error(&self, kind: WireErrorKind) -> WireError {
        kind.at(self.position)
    }

    /// The next byte, not consumed.
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// `Truncated` where fewer are left.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let taken = self.rest().get(..count).ok_or_else(|| self.error(WireErrorKind::Truncated))?;
        self.position = self.position.saturating_add(count);
        Ok(taken)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// `Truncated` where fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let taken = *self.rest().first_chunk::<N>().ok_or_else(|| self.error(WireErrorKind::Truncated))?;
        self.position = self.position.saturating_add(N);
        Ok(taken)
    }

    /// One byte.
    ///
    /// # Errors
    /// `Truncated` at the end.
    pub fn u8(&mut self) -> Result<u8, WireError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A signed byte.
    ///
    /// # Errors
    /// `Truncated` at the end.
    pub fn i8(&mut self) -> Result<i8, WireError> {
        self.array().map(i8::from_be_bytes)
    }

    /// Two bytes, big-endian.
    ///
    /// # Errors
    /// `Truncated` where fewer are left.
    pub fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_be_bytes)
    }

    /// Four bytes, big-endian.
    ///
    /// # Errors
    /// `Truncated` where fewer are left.
    pub fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    /// An A-XDR length or count: one byte under 0x80, else `8k` and k bytes; non-minimal forms are legal.
    ///
    /// # Errors
    /// `Truncated`, or `Length` where it takes more than four bytes.
    pub fn length(&mut self) -> Result<usize, WireError> {
        let start = self.position;
        let first = self.u8()?;
        if first < 0x80 {
            return Ok(usize::from(first));
        }
        let width = usize::from(first & 0x7F);
        if width == 0 || width > 4 {
            return Err(WireErrorKind::Length.at(start));
        }
        let value = self.take(width)?.iter().fold(0u32, |value, &byte| value << 8 | u32::from(byte));
        usize::try_from(value).map_err(|_| WireErrorKind::Length.at(start))
    }

    /// A length, and as many bytes.
    ///
    /// # Errors
    /// As [`Self::length`] and [`Self::take`].
    pub fn octets(&mut self) -> Result<&'a [u8], WireError> {
        let count = self.length()?;
        self.take(count)
    }

    /// A count of items that take a byte each at least.
    ///
    /// # Errors
    /// As [`Self::length`], and `Length` where more are announced than bytes are left.
    pub fn count(&mut self) -> Result<usize, WireError> {
        let start = self.position;
        let count = self.length()?;
        if count > self.remaining() { Err(WireErrorKind::Length.at(start)) } else { Ok(count) }
    }

    /// A reader that ends after the next `count` bytes, which are consumed here; its offsets go on from here.
    ///
    /// # Errors
    /// `Truncated` where fewer are left.
    pub fn sub_reader(&mut self, count: usize) -> Result<Self, WireError> {
        let position = self.position;
        self.take(count)?;
        Ok(Self { bytes: self.bytes.get(..self.position).unwrap_or_default(), position })
    }

    /// The presence byte of an OPTIONAL or DEFAULT field: 00 is absent, anything else present.
    ///
    /// # Errors
    /// `Truncated` at the end.
    pub fn is_present(&mut self) -> Result<bool, WireError> {
        self.u8().map(|byte| byte != 0)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// `TrailingBytes` where something is left.
    pub const fn finish(&self) -> Result<(), WireError> {
        if self.is_empty() { Ok(()) } else { Err(self.error(WireErrorKind::TrailingBytes)) }
    }
}

/// Appends an A-XDR (and BER definite) length in its shortest form.
pub fn put_length(out: &mut Vec<u8>, length: usize) {
    let bytes = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let [a, b, c, d] = bytes;
    match length {
        0..0x80 => out.push(d),
        0x80..0x100 => out.extend_from_slice(&[0x81, d]),
        0x100..0x1_0000 => out.extend_from_slice(&[0x82, c, d]),
        _ => out.extend_from_slice(&[0x84, a, b, c, d]),
    }
}

/// Appends a length and the bytes.
pub fn put_octets(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_both_ways() {
        for (length, bytes) in [
            (0usize, &[0x00u8][..]),
            (0x7F, &[0x7F]),
            (0x80, &[0x81, 0x80]),
            (0x1234, &[0x82, 0x12, 0x34]),
            (0x0001_0000, &[0x84, 0, 1, 0, 0]),
        ] {
            let mut out = vec![0xAA];
            put_length(&mut out, length);
            assert_eq!(&out[1..], bytes);
            let mut reader = Reader::new(bytes);
            assert_eq!(reader.length(), Ok(length));
            assert_eq!(reader.finish(), Ok(()));
        }
        assert_eq!(Reader::new(&[0x83, 0, 0, 5]).length(), Ok(5), "non-minimal");
        assert_eq!(Reader::new(&[0x85, 0, 0, 0, 0, 5]).length(), Err(WireErrorKind::Length.at(0)));
        assert_eq!(Reader::new(&[0x80]).length(), Err(WireErrorKind::Length.at(0)));
    }
}
