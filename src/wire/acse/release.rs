//! The end of an association: RLRQ and RLRE.

use super::{RLRE, RLRQ, field, for_each_field, put_octets, user_information};
use crate::wire::ber;
use crate::wire::error::WireError;

const REASON: u8 = 0x80;

/// Why an association ends, or how the server takes it. Numbers that the standard does not name are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReleaseReason(pub u8);

impl ReleaseReason {
    /// normal, in both directions.
    pub const NORMAL: Self = Self(0);
    /// urgent, in an RLRQ.
    pub const URGENT: Self = Self(1);
    /// not-finished, in an RLRE.
    pub const NOT_FINISHED: Self = Self(1);
    /// user-defined, in both directions.
    pub const USER_DEFINED: Self = Self(30);
}

/// Asks for the end of the association (client to server).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlrq<'a> {
    /// Why.
    pub reason: Option<ReleaseReason>,
    /// The ciphered InitiateRequest once more, in a ciphered association: proves who releases.
    pub user_information: Option<&'a [u8]>,
}

impl<'a> Rlrq<'a> {
    /// Appends the APDU.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode(out, RLRQ, self.reason, self.user_information);
    }

    /// Reads an APDU; `62 00` has neither reason nor user information.
    ///
    /// # Errors
    /// `UnknownTag` for another APDU, `Truncated`, `Length`, `Invalid`.
    pub fn decode(apdu: &'a [u8]) -> Result<Self, WireError> {
        let (reason, user_information) = decode(apdu, RLRQ)?;
        Ok(Self { reason, user_information })
    }
}

/// Confirms the end of the association (server to client).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlre<'a> {
    /// How the server takes it.
    pub reason: Option<ReleaseReason>,
    /// An InitiateResponse, plain or ciphered; some meters send it unasked.
    pub user_information: Option<&'a [u8]>,
}

impl<'a> Rlre<'a> {
    /// Appends the APDU.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode(out, RLRE, self.reason, self.user_information);
    }

    /// Reads an APDU; `63 00` has neither reason nor user information.
    ///
    /// # Errors
    /// `UnknownTag` for another APDU, `Truncated`, `Length`, `Invalid`.
    pub fn decode(apdu: &'a [u8]) -> Result<Self, WireError> {
        let (reason, user_information) = decode(apdu, RLRE)?;
        Ok(Self { reason, user_information })
    }
}

fn encode(out: &mut Vec<u8>, tag: u8, reason: Option<ReleaseReason>, information: Option<&[u8]>) {
    ber::put_constructed(out, tag, |out| {
        if let Some(reason) = reason {
            ber::put(out, REASON, &[reason.0]);
        }
        put_octets(out, field::USER_INFORMATION, information);
    });
}

type Fields<'a> = (Option<ReleaseReason>, Option<&'a [u8]>);

fn decode(apdu: &[u8], tag: u8) -> Result<Fields<'_>, WireError> {
    let mut reason = None;
    let mut information = None;
    for_each_field(apdu, tag, |element, offset| {
        match (element.tag, element.content) {
            (REASON, [value]) => reason = Some(ReleaseReason(*value)),
            (field::USER_INFORMATION, content) => information = Some(user_information(content, offset)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok((reason, information))
}
