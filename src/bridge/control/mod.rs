//! The control plane: what may be asked of the bridge while it runs, over MQTT and over the socket, and the one
//! final answer that each request gets.
//!
//! ```text
//! bridge/request/# ─┐                       ┌→ verbs → hub, links, configuration
//! control.sock ─────┴→ examined, remembered ┴→ answer → response topics | line
//! ```

pub mod answer;
pub mod dispatch;
mod jobs;
mod memory;
mod mqtt;
pub mod request;
mod response_topic;
mod socket;
mod verbs;

pub use answer::{Answer, Status};
pub use dispatch::{Arrived, Caller, ControlPlane, ReplyTo};
pub use mqtt::serve_mqtt;
pub use request::{Refusal, Request};
pub use socket::{ControlSocket, socket_path};
pub use verbs::Verb;
