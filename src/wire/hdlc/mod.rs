//! HDLC as IEC 62056-46 profiles it: frame format type 3, without byte stuffing.

pub mod address;
pub mod control;
pub mod deframer;
pub mod fcs;
pub mod frame;
pub mod negotiation;

pub use address::{AddressError, AddressSize, ClientAddress, RawAddress, ServerAddress};
pub use control::{Control, Sequence};
pub use deframer::{Deframer, DeframerCounters};
pub use frame::Frame;
pub use negotiation::Parameters;

/// The octet that opens and closes a frame. It may occur inside one as plain data.
pub const FLAG: u8 = 0x7E;

/// LLC header of what a client sends: it opens the first information field of each APDU.
pub const LLC_COMMAND: [u8; 3] = [0xE6, 0xE6, 0x00];

/// LLC header of what a server sends.
pub const LLC_RESPONSE: [u8; 3] = [0xE6, 0xE7, 0x00];

/// What follows the LLC header, of either direction; `None` where there is no header.
#[must_use]
pub fn strip_llc(information: &[u8]) -> Option<&[u8]> {
    information.strip_prefix(&LLC_COMMAND).or_else(|| information.strip_prefix(&LLC_RESPONSE))
}
