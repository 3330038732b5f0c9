//! What a meter needs of its line before it is spoken to: rest, speed and format, the sign-on of mode E.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::serial_line::line_format;
use super::traces::framing;
use crate::bridge::config::document::connection::ParityMode;
use crate::bridge::config::document::device::Interface;
use crate::bridge::config::model::{Connection, Device, Link};
use crate::client::{ClientError, MeterClient};
use crate::session::link::LinkParameters;
use crate::transport::line::Line;
use crate::transport::mode_e::{self, Effort, ParityMaker, SignOnSettings};
use crate::transport::serial::LineFormat;
use crate::transport::{Driver, TransportError};

/// After DISC meters take a moment to listen at 300 baud again.
const REST_AFTER_MODE_E: Duration = Duration::from_millis(1500);

/// A meter that stays silent is asked with full effort again each so many times: it may be one that must be woken.
const FULL_EFFORT_EACH: u32 = 8;

/// How one meter is approached.
#[derive(Debug)]
pub struct Approach {
    octet_time: Duration,
    rest_until: Option<Instant>,
    /// Attempts in a row that the meter did not answer.
    silences: u32,
}

impl Approach {
    /// For a meter that nobody has spoken to.
    #[must_use]
    pub fn new(connection: &Connection) -> Self {
        let octet_time = match &connection.link {
            Link::Serial(serial) => line_format(serial).octet_time(),
            Link::Tcp(_) | Link::Udp(_) | Link::Listen(_) => Duration::ZERO,
        };
        Self { octet_time, rest_until: None, silences: 0 }
    }

    /// How long one octet takes on the line; zero where that is unknown or negligible.
    #[must_use]
    pub const fn octet_time(&self) -> Duration {
        self.octet_time
    }

    /// Readies the line.
    ///
    /// # Errors
    /// The line's; `ModeE` where the meter does not sign on.
    pub async fn ready<L: Line>(
        &mut self,
        driver: &mut Driver<L>,
        device: &Device,
        connection: &Connection,
    ) -> Result<(), TransportError> {
        if let Some(until) = self.rest_until.take() {
            sleep_until(until).await;
        }
        let line = driver.stream_mut();
        line.trace().set_framing(framing(device.interface));
        match (device.interface, &connection.link) {
            (Interface::HdlcModeE, _) => {
                let settings = sign_on_settings(device, connection, self.effort());
                let signed_on = mode_e::sign_on(line, &settings).await;
                if let Err(TransportError::ModeE(_)) = &signed_on {
                    self.silences = self.silences.saturating_add(1);
                }
                let signed_on = signed_on?;
                tracing::debug!(device = %device.name, manufacturer = signed_on.manufacturer,
                    identification = signed_on.identification, baud = signed_on.baud, "the meter signed on");
                if !signed_on.announces_mode_e {
                    tracing::info!(device = %device.name, "the meter does not announce mode E: it is tried all the same");
                }
                self.octet_time = LineFormat::eight_n_one(signed_on.baud).octet_time();
                Ok(())
            }
            // Another meter of this line may have changed it.
            (_, Link::Serial(serial)) => line.set_format(line_format(serial)).await,
            _ => Ok(()),
        }
    }

    /// Opens the data link; with a single attempt where the meter did not answer the last time, so that a dead meter
    /// costs those that share its line no more than its time-out.
    ///
    /// # Errors
    /// The stream's or the link's.
    pub async fn open<L: Line>(
        &mut self,
        client: &mut MeterClient<'_, L>,
    ) -> Result<LinkParameters, ClientError> {
        let opened = if self.silences > 0 { client.probe().await } else { client.open().await };
        self.silences = match opened {
            Err(ClientError::Session(_)) => self.silences.saturating_add(1),
            _ => 0,
        };
        opened
    }

    /// How much a sign-on may cost those who share the line.
    const fn effort(&self) -> Effort {
        if self.silences.is_multiple_of(FULL_EFFORT_EACH) { Effort::Full } else { Effort::Single }
    }

    /// The meter was left: its line is at rest for a while.
    pub fn left(&mut self, device: &Device) {
        if device.interface == Interface::HdlcModeE {
            self.rest_until = Some(Instant::now() + device.disconnect_delay.max(REST_AFTER_MODE_E));
        }
    }
}

fn sign_on_settings(device: &Device, connection: &Connection, effort: Effort) -> SignOnSettings {
    SignOnSettings {
        address: device.mode_e.address.clone(),
        max_baud: device.mode_e.max_baud,
        parity: match connection.parity_mode {
            ParityMode::Native => ParityMaker::Port,
            ParityMode::Software7E1 => ParityMaker::Software,
        },
        timeout: device.timeout,
        effort,
    }
}
