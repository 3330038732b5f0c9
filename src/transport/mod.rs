//! L3: byte streams (TCP both ways, UDP, serial) and the one loop that joins them with a sans-IO session.

pub mod attempts;
mod capture_file;
pub mod driver;
pub mod echo;
pub mod error;
pub mod line;
pub mod listener;
pub mod mode_e;
pub mod port;
pub mod rs485;
pub mod serial;
pub mod seven_e_one;
pub mod tcp;
pub mod trace;
pub mod udp;

pub use driver::{Driver, Session};
pub use echo::{EchoFilter, EchoMode};
pub use error::TransportError;
pub use line::Line;
pub use listener::{Caller, Listener};
pub use port::Port;
pub use serial::{SerialPort, SerialSettings};
pub use trace::{Trace, Traced};
pub use udp::UdpPort;
