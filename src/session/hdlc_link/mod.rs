//! The client's HDLC data link (IEC 62056-46, normal response mode), sans-IO.

mod addressing;
mod station;
mod turn;

use std::time::Instant;

use super::link::{AddressCheck, LinkCounters, LinkError, LinkEvent, LinkTiming, Reply};
use super::patience::Pace;
use crate::wire::hdlc::{ClientAddress, Deframer, Parameters, ServerAddress};
use station::{Line, Station, Tries};

/// Octets of the longest APDU that is put together from segments, unless configured otherwise.
pub const DEFAULT_MAX_APDU: usize = 4 * 1024 * 1024;

/// What a link must know.
#[derive(Clone, Copy, Debug)]
pub struct HdlcConfig {
    /// Our address.
    pub client: ClientAddress,
    /// The meter's address.
    pub server: ServerAddress,
    /// What we propose in SNRM. A meter that doesn't answer it is asked without at last.
    pub proposal: Parameters,
    /// The times.
    pub timing: LinkTiming,
    /// Whose frames count as answers.
    pub address_check: AddressCheck,
    /// Octets of the longest APDU that is put together from segments.
    pub max_apdu: usize,
}

impl HdlcConfig {
    /// With the defaults of the profile.
    #[must_use]
    pub fn new(client: ClientAddress, server: ServerAddress) -> Self {
        Self {
            client,
            server,
            proposal: Parameters::default(),
            timing: LinkTiming::default(),
            address_check: AddressCheck::default(),
            max_apdu: DEFAULT_MAX_APDU,
        }
    }
}

/// One link to one station.
///
/// It has the verbs of every sans-IO session, and those of [`super::DataLink`].
#[derive(Debug)]
pub struct HdlcLink {
    deframer: Deframer,
    /// When the line has been silent for so long that an incomplete frame never ends.
    gap: Option<Instant>,
    station: Station,
}

impl HdlcLink {
    /// A link that is down.
    #[must_use]
    pub fn new(config: HdlcConfig) -> Self {
        Self { deframer: Deframer::new(), gap: None, station: Station::new(config) }
    }

    /// Sends SNRM. Ends in `Connected` or `Failed`. A link that is up is set up anew.
    pub fn connect(&mut self, now: Instant) {
        self.station.connect(now, Tries::All);
    }

    /// The same with a single SNRM: for a station that was silent before and shares its line with others.
    pub fn probe(&mut self, now: Instant) {
        self.station.connect(now, Tries::One);
    }

    /// Sends an APDU, in segments where it is long. What of it was not acknowledged is sent again.
    ///
    /// # Errors
    /// `NotConnected`; `Busy` while an answer is due.
    pub fn send(&mut self, now: Instant, apdu: &[u8], reply: Reply) -> Result<(), LinkError> {
        self.station.send(now, apdu, reply)
    }

    /// Waits for an answer again, after one that turned out to be something else.
    pub fn await_reply(&mut self, now: Instant) {
        self.station.await_reply(now);
    }

    /// Asks an idle station whether it is there (RR), so that it keeps the link.
    pub fn keep_alive(&mut self, now: Instant) {
        self.station.keep_alive(now);
    }

    /// Sends DISC, whatever the state. Ends in `Disconnected`, with or without an answer.
    pub fn disconnect(&mut self, now: Instant) {
        self.station.disconnect(now);
    }

    /// Whether the link is up.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.station.is_up()
    }

    /// Whether the link is up and waits for nothing.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.station.is_idle()
    }

    /// How long it waits.
    pub(super) fn pace(&self) -> Pace {
        let timing = self.station.timing();
        let tries = timing.retries.saturating_add(1);
        Pace { silence: timing.response_timeout.saturating_mul(tries), octet_time: timing.octet_time }
    }

    /// What it has seen.
    #[must_use]
    pub fn counters(&self) -> LinkCounters {
        let line = self.deframer.counters();
        LinkCounters {
            frames: line.frames,
            checksum_failures: line.checksum_failures,
            cut_off: line.cut_off,
            noise_octets: line.noise_octets,
            ..self.station.counters()
        }
    }

    /// Takes received octets.
    pub fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        self.deframer.feed(bytes);
        self.drain(now);
        let timing = self.station.timing();
        self.gap = self.deframer.is_mid_frame().then(|| after(now, timing.inter_octet_timeout));
        self.station.handle_timeout(now, self.line());
    }

    /// Acts on what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.gap.is_some_and(|at| at <= now) {
            self.gap = None;
            self.deframer.gap();
            self.drain(now);
        }
        self.station.handle_timeout(now, self.line());
    }

    /// When [`Self::handle_timeout`] is due; `None` on an idle link.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        earliest([self.gap, self.station.poll_timeout(self.line())])
    }

    /// Appends octets to send; false where there are none.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        self.station.transmit(out)
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<LinkEvent> {
        self.station.poll_event()
    }

    fn line(&self) -> Line {
        if self.deframer.is_mid_frame() { Line::MidFrame } else { Line::Quiet }
    }

    fn drain(&mut self, now: Instant) {
        let before = self.deframer.counters().checksum_failures;
        while let Some(frame) = self.deframer.next() {
            self.station.handle_frame(now, &frame);
        }
        if self.deframer.counters().checksum_failures != before {
            self.station.handle_damage(now);
        }
    }
}

/// The earliest of some instants.
pub(super) fn earliest<const N: usize>(instants: [Option<Instant>; N]) -> Option<Instant> {
    instants.into_iter().flatten().min()
}

/// `now` and `delay`; far off where the clock can't say.
pub(super) fn after(now: Instant, delay: std::time::Duration) -> Instant {
    now.checked_add(delay).unwrap_or(now)
}
