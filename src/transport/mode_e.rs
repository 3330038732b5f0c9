//! The IEC 62056-21 sign-on of mode E: from 300 baud text to HDLC at the agreed speed.

mod error;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::error::TransportError;
use super::line::Line;
use super::serial::LineFormat;
use super::seven_e_one::SevenEvenOne;
use crate::wire::iec62056_21::{self, BaudCharacter, Identification, SignOnAnswer};

pub use error::SignOnError;

/// How often the request is sent with full effort.
const ATTEMPTS: u32 = 3;
/// The shortest time between two requests.
const ATTEMPT_PERIOD: Duration = Duration::from_secs(2);
/// The longest reaction time of a meter (1500 ms) with something for the way.
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest time for one answer, however slowly it trickles in.
const LONGEST_ANSWER: Duration = Duration::from_secs(10);
/// Reaction time that slow and fast meters are owed before we go on.
const REACTION: Duration = Duration::from_millis(200);
const FAST_REACTION: Duration = Duration::from_millis(20);
/// How long a confirmation is listened for before the switch, and again after it: meters disagree about its speed.
const CONFIRMATION: Duration = Duration::from_millis(300);
/// Wakes battery meters: so much of NULs, then a pause.
const WAKE_UP: Duration = Duration::from_millis(2200);
const WAKE_UP_PAUSE: Duration = Duration::from_millis(1600);

const STX: u8 = 0x02;
const NAK: u8 = 0x15;

/// How to sign on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignOnSettings {
    /// The meter's address of IEC 62056-21; empty asks whoever listens.
    pub address: String,
    /// Highest speed that we agree to. At least 300.
    pub max_baud: u32,
    /// Who makes the parity bit of 7E1.
    pub parity: ParityMaker,
    /// How long an answer may take, over what the line needs; two seconds at least.
    pub timeout: Duration,
    /// How much is done to be heard.
    pub effort: Effort,
}

/// How much is done to be heard by a meter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Effort {
    /// Three requests, the last of them after characters that wake battery meters.
    #[default]
    Full,
    /// One request: for a meter that was silent before and shares its line with others.
    Single,
}

/// Who makes the parity bit of 7E1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ParityMaker {
    /// The port.
    #[default]
    Port,
    /// We do, over a port set to 8N1.
    Software,
}

/// A meter that has signed on and waits for SNRM. The line is set to 8N1 at its speed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignOn {
    /// FLAG code of the manufacturer.
    pub manufacturer: String,
    /// Model and version, unprintable octets escaped.
    pub identification: String,
    /// The speed that the meter offered.
    pub offered_baud: u32,
    /// The speed agreed on.
    pub baud: u32,
    /// Whether the meter announced mode E. Some take the switch without a word; if HDLC finds no answer then, this is why.
    pub announces_mode_e: bool,
}

/// Signs on. The meter must not be in a session: after DISC it takes its inactivity time to listen at 300 baud again.
///
/// # Errors
/// `ModeE` with what was received instead; the line's own failures.
pub async fn sign_on<L: Line>(line: &mut L, settings: &SignOnSettings) -> Result<SignOn, TransportError> {
    let start = match settings.parity {
        ParityMaker::Port => LineFormat::SIGN_ON,
        ParityMaker::Software => LineFormat::eight_n_one(LineFormat::SIGN_ON.baud),
    };
    line.set_format(start).await?;
    let mut request = Vec::new();
    iec62056_21::sign_on(&settings.address, &mut request).map_err(|_| SignOnError::Address)?;

    let mut failure = SignOnError::Silent;
    let attempts = match settings.effort {
        Effort::Full => ATTEMPTS,
        Effort::Single => 1,
    };
    for attempt in 1..=attempts {
        let next = Instant::now() + ATTEMPT_PERIOD;
        if attempt == ATTEMPTS {
            wake_up(line).await?;
        }
        match ask(line, &request, settings).await? {
            Ok(offer) => return accept(line, offer, settings).await,
            Err(error) => failure = error.or(failure),
        }
        if attempt < attempts {
            sleep_until(next).await;
        }
    }
    Err(failure.into())
}

/// What a meter says it can do.
struct Offer {
    meter: SignOn,
    speed: BaudCharacter,
    reaction: Duration,
}

async fn wake_up<L: Line>(line: &mut L) -> Result<(), TransportError> {
    let octets = WAKE_UP.as_nanos() / LineFormat::SIGN_ON.octet_time().as_nanos();
    line.write_all(&vec![0; usize::try_from(octets).unwrap_or(0)]).await?;
    line.drain(WAKE_UP).await?;
    listen(line, WAKE_UP_PAUSE).await?;
    Ok(())
}

/// One request, and what comes of it.
async fn ask<L: Line>(
    line: &mut L,
    request: &[u8],
    settings: &SignOnSettings,
) -> Result<Result<Offer, SignOnError>, TransportError> {
    let longest = LineFormat::SIGN_ON.time_of(request.len()) + settings.timeout.max(SHORTEST_TIMEOUT);
    match settings.parity {
        ParityMaker::Port => {
            line.write_all(request).await?;
            let received = answer(line, longest).await?;
            Ok(understand(request, &received, 0))
        }
        ParityMaker::Software => {
            let mut line = SevenEvenOne::new(line);
            line.write_all(request).await?;
            let received = answer(&mut line, longest).await?;
            Ok(understand(request, &received, line.parity_errors()))
        }
    }
}

/// What arrives up to the end of an identification; if none comes, up to a silence of `longest`.
async fn answer<S: AsyncRead + Unpin>(stream: &mut S, longest: Duration) -> Result<Vec<u8>, TransportError> {
    let mut received = Vec::new();
    let deadline = Instant::now() + longest + LONGEST_ANSWER;
    while let Ok(outcome) = timeout_at(deadline, timeout(longest, stream.read_buf(&mut received))).await {
        match outcome {
            Err(_silence) => break,
            Ok(Ok(0)) => return Err(TransportError::Closed),
            Ok(Err(error)) => return Err(error.into()),
            Ok(Ok(_)) if matches!(SignOnAnswer::parse(&received), Ok(SignOnAnswer::Identification(_))) => {
                break;
            }
            Ok(Ok(_)) => {}
        }
    }
    Ok(received)
}

fn understand(request: &[u8], received: &[u8], parity_errors: u64) -> Result<Offer, SignOnError> {
    match SignOnAnswer::parse(received) {
        Ok(SignOnAnswer::Identification(meter)) => Ok(Offer::of(&meter)),
        Ok(SignOnAnswer::Readout) => Err(SignOnError::Readout),
        Ok(SignOnAnswer::Incomplete) if received.is_empty() => Err(SignOnError::Silent),
        Ok(SignOnAnswer::Incomplete) if received == request => Err(SignOnError::OnlyEcho),
        Ok(SignOnAnswer::Incomplete) | Err(_) => Err(SignOnError::unreadable(received, parity_errors)),
    }
}

impl Offer {
    fn of(meter: &Identification<'_>) -> Self {
        Self {
            meter: SignOn {
                manufacturer: meter.manufacturer.escape_ascii().to_string(),
                identification: meter.identification.escape_ascii().to_string(),
                offered_baud: meter.speed.baud(),
                baud: meter.speed.baud(),
                announces_mode_e: meter.offers_mode_e,
            },
            speed: meter.speed,
            reaction: if meter.reacts_fast { FAST_REACTION } else { REACTION },
        }
    }
}

/// Selects HDLC and changes over to it.
async fn accept<L: Line>(
    line: &mut L,
    offer: Offer,
    settings: &SignOnSettings,
) -> Result<SignOn, TransportError> {
    let Offer { mut meter, speed, reaction } = offer;
    let speed = BaudCharacter::at_most(settings.max_baud).map_or(speed, |highest| highest.min(speed));
    meter.baud = speed.baud();
    let selection = iec62056_21::select_mode_e(speed);
    let line_time = LineFormat::SIGN_ON.time_of(selection.len());
    sleep(reaction).await;

    let heard = match settings.parity {
        ParityMaker::Port => {
            line.write_all(&selection).await?;
            line.drain(line_time).await?;
            listen(line, CONFIRMATION).await?
        }
        ParityMaker::Software => {
            SevenEvenOne::new(&mut *line).write_all(&selection).await?;
            line.drain(line_time).await?;
            listen(&mut SevenEvenOne::new(&mut *line), CONFIRMATION).await?
        }
    };
    refusal(heard.strip_prefix(&selection).unwrap_or(&heard))?;

    line.set_format(LineFormat::eight_n_one(speed.baud())).await?;
    let heard = listen(line, CONFIRMATION).await?;
    // A meter that took another mode sends text: seven bits and even parity, seen here as eight bits.
    let text: Option<Vec<u8>> = heard.iter().map(|&octet| iec62056_21::without_parity(octet)).collect();
    refusal(&text.unwrap_or_default())?;
    Ok(meter)
}

fn refusal(heard: &[u8]) -> Result<(), SignOnError> {
    match heard.first() {
        Some(&NAK) => Err(SignOnError::Refused),
        Some(&STX) => Err(SignOnError::Readout),
        _ => Ok(()),
    }
}

/// What arrives within `time`.
async fn listen<S: AsyncRead + Unpin>(stream: &mut S, time: Duration) -> Result<Vec<u8>, TransportError> {
    let mut heard = Vec::new();
    let deadline = Instant::now() + time;
    while let Ok(count) = timeout_at(deadline, stream.read_buf(&mut heard)).await {
        if count? == 0 {
            return Err(TransportError::Closed);
        }
    }
    Ok(heard)
}
