//! What passes on a link, by layer: switchable while it runs, secrets masked, to the log and to a capture file.

mod hex;
mod scan;
mod secrets;
mod traced;

use std::fmt;
use std::io;
use std::ops::BitOr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::capture_file::CaptureFile;
use hex::Hex;
use scan::{Ended, Scanner};

pub use scan::Framing;
pub use traced::Traced;

/// Layers that are traced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Layers(u8);

impl Layers {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Octets as they pass. Target `dlms2mqtt::physical`.
    pub const PHYSICAL: Self = Self(1);
    /// Frames of HDLC, headers of the wrapper. Target `dlms2mqtt::frame`.
    pub const FRAME: Self = Self(2);
    /// APDUs, as the line has them. Target `dlms2mqtt::apdu`.
    pub const APDU: Self = Self(4);
    /// APDUs in words. Target `dlms2mqtt::decoded`.
    pub const DECODED: Self = Self(8);
    /// Everything.
    pub const ALL: Self = Self(15);

    /// Whether all of `other` are among these.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Layers {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Which way octets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// To the meter.
    Sent,
    /// From the meter.
    Received,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sent => "tx",
            Self::Received => "rx",
        })
    }
}

/// The trace of one link; clones share it. What is switched on here is logged at level info, whatever else is; beside it
/// the targets at level trace log the same of every link.
#[derive(Clone, Debug)]
pub struct Trace(Arc<Shared>);

struct Shared {
    link: String,
    decoder: Option<Decoder>,
    layers: AtomicU8,
    wrapper: AtomicBool,
    capturing: AtomicBool,
    capture: Mutex<Option<CaptureFile>>,
}

/// Puts an APDU into words, where it can.
pub type Decoder = fn(&[u8]) -> Option<String>;

/// The level is part of a call site, so both are.
macro_rules! log {
    ($on:expr, $target:literal, $($fields:tt)*) => {
        if $on {
            tracing::info!(target: $target, $($fields)*);
        } else {
            tracing::trace!(target: $target, $($fields)*);
        }
    };
}

impl Trace {
    /// The trace of a link: nothing is switched on.
    #[must_use]
    pub fn new(link: impl Into<String>) -> Self {
        Self::with_decoder(link, None)
    }

    /// The same with a decoder for the layer `DECODED`. It is given APDUs with secrets masked, and ciphered ones as they are.
    #[must_use]
    pub fn with_decoder(link: impl Into<String>, decoder: Option<Decoder>) -> Self {
        Self(Arc::new(Shared {
            link: link.into(),
            decoder,
            layers: AtomicU8::new(0),
            wrapper: AtomicBool::new(false),
            capturing: AtomicBool::new(false),
            capture: Mutex::new(None),
        }))
    }

    /// Traces these layers from now on, and no others.
    pub fn show(&self, layers: Layers) {
        self.0.layers.store(layers.0, Ordering::Relaxed);
    }

    /// The layers that are switched on.
    #[must_use]
    pub fn layers(&self) -> Layers {
        Layers(self.0.layers.load(Ordering::Relaxed))
    }

    /// Tells how APDUs are framed from now on. HDLC where nothing is told.
    pub fn set_framing(&self, framing: Framing) {
        self.0.wrapper.store(framing == Framing::Wrapper, Ordering::Relaxed);
    }

    fn framing(&self) -> Framing {
        if self.0.wrapper.load(Ordering::Relaxed) { Framing::Wrapper } else { Framing::Hdlc }
    }

    /// Writes what passes to a new file that Wireshark opens, up to `most` bytes. One that is being written is ended.
    ///
    /// # Errors
    /// The file exists already, or can't be made.
    pub fn start_capture(&self, path: &Path, most: u64) -> io::Result<()> {
        let capture = CaptureFile::create(path, &self.0.link, most)?;
        *self.capture() = Some(capture);
        self.0.capturing.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Ends the capture file, if there is one.
    pub fn stop_capture(&self) {
        self.0.capturing.store(false, Ordering::Relaxed);
        let ended = self.capture().take();
        drop(ended);
    }

    /// Says in words what passed, where the layer `DECODED` is on: what was deciphered, for one. It must hold no secret.
    pub fn decoded(&self, direction: Direction, words: &dyn fmt::Display) {
        log!(self.layers().contains(Layers::DECODED), "dlms2mqtt::decoded", link = self.0.link, %direction, "{words}");
    }

    fn capture(&self) -> MutexGuard<'_, Option<CaptureFile>> {
        self.0.capture.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shows_decoded(&self) -> bool {
        self.layers().contains(Layers::DECODED)
            || tracing::enabled!(target: "dlms2mqtt::decoded", tracing::Level::TRACE)
    }

    fn is_idle(&self) -> bool {
        let wanted = self.layers() != Layers::NONE
            || self.0.capturing.load(Ordering::Relaxed)
            || tracing::enabled!(target: "dlms2mqtt::physical", tracing::Level::TRACE)
            || tracing::enabled!(target: "dlms2mqtt::frame", tracing::Level::TRACE)
            || tracing::enabled!(target: "dlms2mqtt::apdu", tracing::Level::TRACE)
            || tracing::enabled!(target: "dlms2mqtt::decoded", tracing::Level::TRACE);
        !wanted
    }

    fn octets(&self, direction: Direction, octets: &[u8], scanner: &mut Scanner) {
        if octets.is_empty() || self.is_idle() {
            return;
        }
        let (mut shown, mut ended) = (Vec::with_capacity(octets.len()), Vec::new());
        scanner.scan(self.framing(), octets, &mut shown, &mut ended);
        let (link, layers) = (self.0.link.as_str(), self.layers());
        log!(layers.contains(Layers::PHYSICAL), "dlms2mqtt::physical", link, %direction, octets = %Hex(&shown));
        if self.0.capturing.load(Ordering::Relaxed)
            && let Some(capture) = self.capture().as_ref()
        {
            let masked = shown != octets;
            capture.write(direction, shown, masked);
        }
        for ended in ended {
            match ended {
                Ended::Frame(frame) => {
                    log!(layers.contains(Layers::FRAME), "dlms2mqtt::frame", link, %direction, "{frame}");
                }
                Ended::Apdu(apdu) => {
                    log!(layers.contains(Layers::APDU), "dlms2mqtt::apdu", link, %direction, octets = %Hex(&apdu));
                    if self.shows_decoded()
                        && let Some(words) = self.0.decoder.and_then(|decoder| decoder(&apdu))
                    {
                        self.decoded(direction, &words);
                    }
                }
            }
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace")
            .field("link", &self.link)
            .field("layers", &self.layers)
            .finish_non_exhaustive()
    }
}
