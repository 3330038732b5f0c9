//! L2: sans-IO state machines that are told the time. No clock, no sockets, no entropy of their own.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod association;
pub mod client;
pub mod data_link;
pub mod error;
pub mod exchange;
mod general_block;
pub mod hdlc_link;
pub mod link;
mod reassembly;
mod send_window;
pub mod wrapper_link;

pub use data_link::DataLink;
pub use hdlc_link::{HdlcConfig, HdlcLink};
pub use link::{AddressCheck, LinkCounters, LinkError, LinkEvent, LinkParameters, LinkTiming, Reply};
pub use wrapper_link::{WrapperConfig, WrapperLink};
