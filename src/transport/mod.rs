//! L3: byte streams (TCP, serial) and the one loop that joins them with a sans-IO session.

pub mod driver;
pub mod echo;
pub mod error;
pub mod line;
pub mod mode_e;
pub mod port;
pub mod rs485;
pub mod serial;
pub mod seven_e_one;
pub mod tcp;

pub use driver::{Driver, Session};
pub use error::TransportError;
pub use line::Line;
pub use port::Port;
pub use serial::{SerialPort, SerialSettings};
