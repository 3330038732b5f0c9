//! InitiateRequest and InitiateResponse: the negotiation inside AARQ and AARE (IEC 62056-5-3, "xDLMS initiate").

use std::fmt;

use zeroize::Zeroizing;

use super::conformance::Conformance;
use super::{expect_tag, tag};
use crate::wire::cursor::{Reader, put_octets};
use crate::wire::error::{WireError, WireErrorKind};

/// The DLMS version of every meter in the field.
pub const DLMS_VERSION: u8 = 6;
/// vaa-name of an association with logical names.
pub const VAA_LOGICAL_NAME: u16 = 0x0007;
/// vaa-name of an association with short names: base name of the Association SN object.
pub const VAA_SHORT_NAME: u16 = 0xFA00;

/// [APPLICATION 31] IMPLICIT BIT STRING: the tag of the conformance block, in its first byte and its second.
const CONFORMANCE_TAG: [u8; 2] = [0x5F, 0x1F];

/// A key for one association, chosen by the client. Never printed, wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct DedicatedKey(Zeroizing<Vec<u8>>);

impl DedicatedKey {
    /// A key of these bytes: 16, or 32 in suite 2.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        Self(Zeroizing::new(key.to_vec()))
    }

    /// The key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for DedicatedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DedicatedKey({} bytes)", self.0.len())
    }
}

/// What the client proposes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitiateRequest {
    /// Key for this association; only where the request itself is encrypted.
    pub dedicated_key: Option<DedicatedKey>,
    /// Whether the client awaits a response; TRUE by default.
    pub response_allowed: bool,
    /// Proposed quality of service; unused in practice.
    pub quality_of_service: Option<i8>,
    /// DLMS version, 6.
    pub version: u8,
    /// Services that the client can use.
    pub conformance: Conformance,
    /// Largest APDU that the client can receive, bytes; 0 is no limit.
    pub max_pdu: u16,
}

impl InitiateRequest {
    /// A request without dedicated key and quality of service.
    #[must_use]
    pub const fn new(conformance: Conformance, max_pdu: u16) -> Self {
        Self {
            dedicated_key: None,
            response_allowed: true,
            quality_of_service: None,
            version: DLMS_VERSION,
            conformance,
            max_pdu,
        }
    }

    /// Appends the APDU.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(tag::INITIATE_REQUEST);
        match &self.dedicated_key {
            None => out.push(0),
            Some(key) => {
                out.push(1);
                put_octets(out, key.as_bytes());
            }
        }
        // BOOLEAN DEFAULT TRUE: 00 says "the default", so TRUE.
        match self.response_allowed {
            true => out.push(0),
            false => out.extend_from_slice(&[1, 0]),
        }
        put_quality_of_service(out, self.quality_of_service);
        out.push(self.version);
        put_conformance(out, self.conformance);
        out.extend_from_slice(&self.max_pdu.to_be_bytes());
    }

    /// Reads an APDU.
    ///
    /// # Errors
    /// `UnknownTag` for another APDU, `Truncated`, `TrailingBytes`, `Length`, `Invalid` for the conformance block.
    pub fn decode(apdu: &[u8]) -> Result<Self, WireError> {
        let mut reader = expect_tag(apdu, tag::INITIATE_REQUEST)?;
        let reader = &mut reader;
        let request = Self {
            dedicated_key: if reader.is_present()? {
                Some(DedicatedKey::new(reader.octets()?))
            } else {
                None
            },
            response_allowed: if reader.is_present()? { reader.u8()? != 0 } else { true },
            quality_of_service: quality_of_service(reader)?,
            version: reader.u8()?,
            conformance: conformance(reader)?,
            max_pdu: reader.u16()?,
        };
        reader.finish()?;
        Ok(request)
    }
}

/// What the server agrees to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InitiateResponse {
    /// Negotiated quality of service; unused in practice.
    pub quality_of_service: Option<i8>,
    /// DLMS version, 6.
    pub version: u8,
    /// Services that both can use.
    pub conformance: Conformance,
    /// Largest APDU that the server can receive, bytes; 0 is no limit.
    pub max_pdu: u16,
    /// 0x0007 with logical names, 0xFA00 with short names.
    pub vaa_name: u16,
}

impl InitiateResponse {
    /// Appends the APDU.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(tag::INITIATE_RESPONSE);
        put_quality_of_service(out, self.quality_of_service);
        out.push(self.version);
        put_conformance(out, self.conformance);
        out.extend_from_slice(&self.max_pdu.to_be_bytes());
        out.extend_from_slice(&self.vaa_name.to_be_bytes());
    }

    /// Reads an APDU.
    ///
    /// # Errors
    /// `UnknownTag` for another APDU, `Truncated`, `TrailingBytes`, `Length`, `Invalid` for the conformance block.
    pub fn decode(apdu: &[u8]) -> Result<Self, WireError> {
        let mut reader = expect_tag(apdu, tag::INITIATE_RESPONSE)?;
        let reader = &mut reader;
        let response = Self {
            quality_of_service: quality_of_service(reader)?,
            version: reader.u8()?,
            conformance: conformance(reader)?,
            max_pdu: reader.u16()?,
            vaa_name: reader.u16()?,
        };
        reader.finish()?;
        Ok(response)
    }
}

fn put_quality_of_service(out: &mut Vec<u8>, quality: Option<i8>) {
    match quality {
        None => out.push(0),
        Some(quality) => {
            out.push(1);
            out.extend_from_slice(&quality.to_be_bytes());
        }
    }
}

fn quality_of_service(reader: &mut Reader<'_>) -> Result<Option<i8>, WireError> {
    if reader.is_present()? { reader.i8().map(Some) } else { Ok(None) }
}

fn put_conformance(out: &mut Vec<u8>, conformance: Conformance) {
    out.extend_from_slice(&CONFORMANCE_TAG);
    out.extend_from_slice(&[4, 0]);
    out.extend_from_slice(&conformance.to_bytes());
}

/// The conformance block; old meters leave out the second tag byte.
fn conformance(reader: &mut Reader<'_>) -> Result<Conformance, WireError> {
    let start = reader.position();
    let invalid = || WireErrorKind::Invalid("conformance block").at(start);
    let [first, second] = CONFORMANCE_TAG;
    if reader.u8()? != first {
        return Err(invalid());
    }
    if reader.peek() == Some(second) {
        reader.u8()?;
    }
    match reader.octets()? {
        [_unused_bits, a, b, c] => Ok(Conformance::from_bytes([*a, *b, *c])),
        _ => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_both_ways() {
        let plain = [1, 0, 0, 0, 6, 0x5F, 0x1F, 4, 0, 0, 0x7E, 0x1F, 0x04, 0xB0];
        let request = InitiateRequest::new(Conformance::LN_PROPOSAL, 1200);
        let mut out = Vec::new();
        request.encode(&mut out);
        assert_eq!(out, plain);
        assert_eq!(InitiateRequest::decode(&plain), Ok(request.clone()));

        let full = InitiateRequest {
            dedicated_key: Some(DedicatedKey::new(&[0xAB; 16])),
            response_allowed: false,
            quality_of_service: Some(-1),
            ..request
        };
        let mut out = Vec::new();
        full.encode(&mut out);
        assert_eq!(out[..3], [1, 1, 16]);
        assert_eq!(out[19..24], [1, 0, 1, 0xFF, 6]);
        assert_eq!(InitiateRequest::decode(&out).as_ref(), Ok(&full));
        assert!(!format!("{full:?}").contains("171"), "the key is not printed");
    }

    #[test]
    fn response_allowed_may_be_explicit() {
        let explicit = [1, 0, 1, 0xFF, 0, 6, 0x5F, 0x1F, 4, 0, 0, 0x7E, 0x1F, 0x04, 0xB0];
        assert!(InitiateRequest::decode(&explicit).unwrap().response_allowed);
    }

    #[test]
    fn response_both_ways_and_old_conformance_tag() {
        let bytes = [8, 0, 6, 0x5F, 0x1F, 4, 0, 0, 0x50, 0x1F, 0x01, 0xF4, 0, 7];
        let response = InitiateResponse {
            quality_of_service: None,
            version: DLMS_VERSION,
            conformance: Conformance(0x50_1F),
            max_pdu: 500,
            vaa_name: VAA_LOGICAL_NAME,
        };
        let mut out = Vec::new();
        response.encode(&mut out);
        assert_eq!(out, bytes);
        assert_eq!(InitiateResponse::decode(&bytes), Ok(response));
        let old = [8, 0, 6, 0x5F, 4, 0, 0, 0x50, 0x1F, 0x01, 0xF4, 0, 7];
        assert_eq!(InitiateResponse::decode(&old), Ok(response));
        for end in 0..bytes.len() {
            assert!(InitiateResponse::decode(&bytes[..end]).is_err());
        }
    }
}
