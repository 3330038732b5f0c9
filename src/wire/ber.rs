//! BER tag-length-value elements (ITU-T X.690, definite lengths), as far as ACSE needs them.

use super::cursor::{Reader, put_length, put_octets};
use super::error::WireError;

/// One element. Only the first byte of a tag is kept: ACSE has none longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// Identifier octet: class, constructed bit and number.
    pub tag: u8,
    /// Content.
    pub content: &'a [u8],
}

impl<'a> Element<'a> {
    /// Reads one element; long-form lengths of small values are legal.
    ///
    /// # Errors
    /// `Truncated`, or `Length` for the indefinite form and for more than four length bytes.
    pub fn decode(reader: &mut Reader<'a>) -> Result<Self, WireError> {
        let tag = reader.u8()?;
        // Number 31 says that the number follows in base 128: passed over, so that the element can be skipped.
        if tag & 0x1F == 0x1F {
            while reader.u8()? & 0x80 != 0 {}
        }
        Ok(Self { tag, content: reader.octets()? })
    }

    /// The only element inside, if it has `tag`; bytes after it are ignored.
    #[must_use]
    pub fn inner(&self, tag: u8) -> Option<&'a [u8]> {
        let inner = Self::decode(&mut Reader::new(self.content)).ok()?;
        (inner.tag == tag).then_some(inner.content)
    }
}

/// Appends an element with content of known bytes.
pub fn put(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    put_octets(out, content);
}

/// Appends `outer` around one `inner` element, the shape of every EXPLICIT tag.
pub fn put_nested(out: &mut Vec<u8>, outer: u8, inner: u8, content: &[u8]) {
    out.push(outer);
    put_length(out, content.len().saturating_add(header_len(content.len())));
    put(out, inner, content);
}

/// Appends an element whose content `fill` appends.
pub fn put_constructed(out: &mut Vec<u8>, tag: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let start = out.len();
    fill(out);
    let mut length = Vec::with_capacity(5);
    put_length(&mut length, out.len().saturating_sub(start));
    out.splice(start..start, length);
}

/// Bytes of a one-byte tag and the length field for `length` bytes.
const fn header_len(length: usize) -> usize {
    match length {
        0..0x80 => 2,
        0x80..0x100 => 3,
        0x100..0x1_0000 => 4,
        _ => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::error::WireErrorKind;

    #[test]
    fn elements_both_ways() {
        for length in [0usize, 1, 0x7D, 0x7E, 0x7F, 0x80, 0xFD, 0xFE, 0x100, 0xFFFC, 0x1_0000] {
            let content = vec![0x5A; length];
            let mut nested = Vec::new();
            put_nested(&mut nested, 0xA6, 0x04, &content);
            let mut constructed = Vec::new();
            put_constructed(&mut constructed, 0xA6, |out| put(out, 0x04, &content));
            assert_eq!(nested, constructed, "{length}");
            let mut reader = Reader::new(&nested);
            let element = Element::decode(&mut reader).unwrap();
            assert_eq!((element.tag, element.inner(0x04)), (0xA6, Some(&content[..])));
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn foreign_forms() {
        let long_form = [0xA2, 0x82, 0x00, 0x03, 0x02, 0x01, 0x01];
        assert_eq!(Element::decode(&mut Reader::new(&long_form)).unwrap().inner(0x02), Some(&[1u8][..]));
        let high_tag = [0xBF, 0x81, 0x05, 0x01, 0xEE];
        assert_eq!(Element::decode(&mut Reader::new(&high_tag)).unwrap().content, [0xEE]);
        let indefinite = [0x60, 0x80, 0x00, 0x00];
        assert_eq!(Element::decode(&mut Reader::new(&indefinite)), Err(WireErrorKind::Length.at(1)));
    }
}
