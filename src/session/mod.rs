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
pub mod hdlc_server;
pub mod link;
mod patience;
pub mod push_listener;
mod reassembly;
mod send_window;
pub mod server_link;
pub mod wrapper_link;
pub mod wrapper_server;

pub use data_link::DataLink;
pub use hdlc_link::{HdlcConfig, HdlcLink};
pub use hdlc_server::{HdlcServer, HdlcServerConfig};
pub use link::{AddressCheck, LinkCounters, LinkError, LinkEvent, LinkParameters, LinkTiming, Reply};
pub use push_listener::PushListener;
pub use server_link::{Peers, ServerEvent, ServerLink};
pub use wrapper_link::{WrapperConfig, WrapperLink};
pub use wrapper_server::WrapperServer;
