//! The IEC 62056-21 sign-on of mode E: request, identification, option select, and 7E1 on 8N1 ports.

use super::error::{WireError, WireErrorKind};

const START: u8 = b'/';
const CR_LF: [u8; 2] = *b"\r\n";
const ACK: u8 = 0x06;
const STX: u8 = 0x02;
/// Octets of the longest identification line: three letters, baud character, identification of 16
/// with escape sequences before it. Generous, so that odd meters fit.
const MAX_LINE: usize = 64;

/// Ends a running protocol of a meter, at the speed it runs with: SOH B 0 ETX BCC.
pub const BREAK: [u8; 5] = [0x01, 0x42, 0x30, 0x03, 0x71];

/// The character that names a speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BaudCharacter(u8);

impl BaudCharacter {
    const RATES: [u32; 10] = [300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115_200];

    /// From a message.
    ///
    /// # Errors
    /// `UnknownTag` for anything but 0 to 9 (letters mean modes A and B, which have no protocol selection).
    pub const fn new(character: u8) -> Result<Self, WireErrorKind> {
        if character.is_ascii_digit() {
            Ok(Self(character))
        } else {
            Err(WireErrorKind::UnknownTag(character))
        }
    }

    /// The fastest speed that is not over `baud`; `None` under 300.
    #[must_use]
    pub fn at_most(baud: u32) -> Option<Self> {
        let rate = Self::RATES.iter().rposition(|&rate| rate <= baud)?;
        u8::try_from(rate).ok().map(|index| Self(b'0' | index))
    }

    /// The character, `0` to `9`.
    #[must_use]
    pub const fn character(self) -> u8 {
        self.0
    }

    /// Bits per second. The last three are reserved in the standard, and used so in the field.
    #[must_use]
    pub fn baud(self) -> u32 {
        Self::RATES.get(usize::from(self.0 & 0x0F)).copied().unwrap_or(300)
    }
}

/// Appends the request `/? address ! CR LF`. An empty address asks whoever listens.
///
/// # Errors
/// `Invalid` for an address over 32 characters, or with other characters than letters, digits and spaces.
pub fn sign_on(address: &str, out: &mut Vec<u8>) -> Result<(), WireError> {
    let legal = |octet: u8| octet.is_ascii_alphanumeric() || octet == b' ';
    if address.len() > 32 || !address.bytes().all(legal) {
        return Err(WireErrorKind::Invalid("IEC 62056-21 device address").at(0));
    }
    out.extend_from_slice(b"/?");
    out.extend_from_slice(address.as_bytes());
    out.extend_from_slice(b"!\r\n");
    Ok(())
}

/// The acknowledgement that selects HDLC in binary mode at this speed.
#[must_use]
pub const fn select_mode_e(speed: BaudCharacter) -> [u8; 6] {
    [ACK, b'2', speed.0, b'2', b'\r', b'\n']
}

/// What a meter says of itself. Borrows from the received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identification<'a> {
    /// The FLAG manufacturer code in upper case.
    pub manufacturer: [u8; 3],
    /// The fastest speed that the meter offers.
    pub speed: BaudCharacter,
    /// Whether it offers mode E (the escape sequence `\2`).
    pub offers_mode_e: bool,
    /// Whether it reacts within 20 ms instead of 200 ms (a lower-case third letter).
    pub reacts_fast: bool,
    /// Model and version, without the escape sequences. Printable in good meters only.
    pub identification: &'a [u8],
}

/// What stands in the octets received after a sign-on request. Parity is stripped already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignOnAnswer<'a> {
    /// The line is not complete yet.
    Incomplete,
    /// The identification.
    Identification(Identification<'a>),
    /// A data readout: the meter is in mode C (or D) and does not speak HDLC here.
    Readout,
}

impl<'a> SignOnAnswer<'a> {
    /// Reads what has been received so far, noise and our own echo before it passed over.
    ///
    /// # Errors
    /// `Invalid` where a complete line is no identification, `Length` where none ends in time.
    pub fn parse(received: &'a [u8]) -> Result<Self, WireError> {
        let mut rest = received;
        while let Some(at) = rest.iter().position(|&octet| octet == START || octet == STX) {
            let offset = received.len().saturating_sub(rest.len()).saturating_add(at);
            let from = rest.get(at..).unwrap_or_default();
            let Some(line) = from.strip_prefix(&[START]) else { return Ok(Self::Readout) };
            let Some(end) = line.windows(2).position(|pair| pair == CR_LF) else {
                return if line.len() > MAX_LINE {
                    Err(WireErrorKind::Length.at(offset))
                } else {
                    Ok(Self::Incomplete)
                };
            };
            let (line, behind) = line.split_at_checked(end).unwrap_or_default();
            if line.first() == Some(&b'?') {
                // Our own request: many optical heads reflect it.
                rest = behind;
                continue;
            }
            return identification(line).map(Self::Identification).map_err(|kind| kind.at(offset));
        }
        Ok(Self::Incomplete)
    }
}

fn identification(line: &[u8]) -> Result<Identification<'_>, WireErrorKind> {
    let Some((&[a, b, c, speed], mut rest)) = line.split_first_chunk::<4>() else {
        return Err(WireErrorKind::Truncated);
    };
    if ![a, b, c].iter().all(u8::is_ascii_alphabetic) {
        return Err(WireErrorKind::Invalid("manufacturer code"));
    }
    let mut offers_mode_e = false;
    while let [b'\\', option, behind @ ..] = rest {
        offers_mode_e |= *option == b'2';
        rest = behind;
    }
    Ok(Identification {
        manufacturer: [a, b, c].map(|letter| letter.to_ascii_uppercase()),
        speed: BaudCharacter::new(speed)?,
        offers_mode_e,
        reacts_fast: c.is_ascii_lowercase(),
        identification: rest,
    })
}

/// A seven-bit character with even parity in bit 7, for ports that can only do 8N1.
#[must_use]
pub const fn with_even_parity(character: u8) -> u8 {
    let bits = character & 0x7F;
    if bits.count_ones() & 1 == 1 { bits | 0x80 } else { bits }
}

/// The character of an octet received with 8N1 from a 7E1 line; `None` where its parity is wrong.
#[must_use]
pub const fn without_parity(octet: u8) -> Option<u8> {
    if octet.count_ones() & 1 == 0 { Some(octet & 0x7F) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_selection() {
        let mut out = Vec::new();
        sign_on("", &mut out).unwrap();
        sign_on("12345678", &mut out).unwrap();
        assert_eq!(out, b"/?!\r\n/?12345678!\r\n");
        assert!(sign_on("a!\r\n", &mut out).is_err());
        assert!(sign_on(&"1".repeat(33), &mut out).is_err());
        assert_eq!(select_mode_e(BaudCharacter::at_most(9600).unwrap()), *b"\x06252\r\n");
    }

    #[test]
    fn speeds() {
        for (character, baud) in (b'0'..=b'9').zip(BaudCharacter::RATES) {
            let speed = BaudCharacter::new(character).unwrap();
            assert_eq!(speed.baud(), baud);
            assert_eq!(BaudCharacter::at_most(baud), Some(speed));
            assert_eq!(speed.character(), character);
        }
        assert_eq!(BaudCharacter::at_most(299), None);
        assert_eq!(BaudCharacter::at_most(u32::MAX).map(BaudCharacter::baud), Some(115_200));
        assert_eq!(BaudCharacter::new(b'A'), Err(WireErrorKind::UnknownTag(b'A')));
    }

    #[test]
    fn identifications() {
        let answer = SignOnAnswer::parse(b"\x00/?!\r\n/LGz5\\@\\2ZMD310.B32\r\n").unwrap();
        assert_eq!(
            answer,
            SignOnAnswer::Identification(Identification {
                manufacturer: *b"LGZ",
                speed: BaudCharacter::new(b'5').unwrap(),
                offers_mode_e: true,
                reacts_fast: true,
                identification: b"ZMD310.B32",
            })
        );
        let SignOnAnswer::Identification(plain) = SignOnAnswer::parse(b"/ISK5ME382-1003\r\n").unwrap() else {
            panic!("no identification");
        };
        assert!(!plain.offers_mode_e && !plain.reacts_fast);
    }

    #[test]
    fn incomplete_and_wrong() {
        let line = b"/?!\r\n/ISK5\\2ME382\r\n";
        for end in 0..line.len() {
            assert_eq!(SignOnAnswer::parse(&line[..end]), Ok(SignOnAnswer::Incomplete), "{end}");
        }
        assert_eq!(SignOnAnswer::parse(b"/?!\r\n\x02F.F(00)\r\n"), Ok(SignOnAnswer::Readout));
        assert!(SignOnAnswer::parse(b"/I5\r\n").is_err());
        assert!(SignOnAnswer::parse(b"/1SK5\r\n").is_err());
        assert!(SignOnAnswer::parse(b"/ISKA\r\n").is_err());
        assert!(SignOnAnswer::parse(&[b'/'; 100]).is_err());
    }

    #[test]
    fn parity() {
        let sent: Vec<u8> = b"/?!\r\n".iter().map(|&octet| with_even_parity(octet)).collect();
        assert_eq!(sent, [0xAF, 0x3F, 0x21, 0x8D, 0x0A]);
        let received: Option<Vec<u8>> = sent.iter().map(|&octet| without_parity(octet)).collect();
        assert_eq!(received.as_deref(), Some(&b"/?!\r\n"[..]));
        assert_eq!(without_parity(0x2F), None);
    }
}
