//! Speed and character format of a serial line, and the time that octets take on it.

use std::fmt;
use std::time::Duration;

/// Speed and character format. All of it is set on a port in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LineFormat {
    /// Bits per second. 300 to 115 200 are usual; what else works is up to the driver.
    pub baud: u32,
    /// Data bits of a character.
    pub data_bits: DataBits,
    /// Parity bit.
    pub parity: Parity,
    /// Stop bits.
    pub stop_bits: StopBits,
}

/// Data bits of a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataBits {
    /// 5
    Five,
    /// 6
    Six,
    /// 7
    Seven,
    /// 8, which HDLC needs.
    Eight,
}

/// The parity bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Parity {
    /// There is none.
    None,
    /// An even number of ones.
    Even,
    /// An odd number of ones.
    Odd,
    /// Always 1.
    Mark,
    /// Always 0.
    Space,
}

/// Stop bits of a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StopBits {
    /// 1
    One,
    /// 2
    Two,
}

impl LineFormat {
    /// How IEC 62056-21 begins on every line: 300 baud, 7E1.
    pub const SIGN_ON: Self = Self::seven_e_one(300);

    /// Eight bits, no parity, one stop bit: HDLC.
    #[must_use]
    pub const fn eight_n_one(baud: u32) -> Self {
        Self { baud, data_bits: DataBits::Eight, parity: Parity::None, stop_bits: StopBits::One }
    }

    /// Seven bits, even parity, one stop bit: IEC 62056-21.
    #[must_use]
    pub const fn seven_e_one(baud: u32) -> Self {
        Self { baud, data_bits: DataBits::Seven, parity: Parity::Even, stop_bits: StopBits::One }
    }

    /// Bits that one character takes on the line, its start bit among them.
    #[must_use]
    pub const fn bits_per_character(self) -> u32 {
        let parity = match self.parity {
            Parity::None => 0,
            Parity::Even | Parity::Odd | Parity::Mark | Parity::Space => 1,
        };
        1 + self.data_bits.count() as u32 + parity + self.stop_bits.count() as u32
    }

    /// How long one octet takes on the line.
    #[must_use]
    pub fn octet_time(self) -> Duration {
        self.time_of(1)
    }

    /// How long this many octets take on the line.
    #[must_use]
    pub fn time_of(self, octets: usize) -> Duration {
        let bits = u128::from(self.bits_per_character()).saturating_mul(octets as u128);
        let nanos = bits.saturating_mul(1_000_000_000).div_ceil(u128::from(self.baud.max(1)));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl DataBits {
    /// From a number, 5 to 8.
    #[must_use]
    pub const fn new(count: u8) -> Option<Self> {
        match count {
            5 => Some(Self::Five),
            6 => Some(Self::Six),
            7 => Some(Self::Seven),
            8 => Some(Self::Eight),
            _ => None,
        }
    }

    /// As a number.
    #[must_use]
    pub const fn count(self) -> u8 {
        match self {
            Self::Five => 5,
            Self::Six => 6,
            Self::Seven => 7,
            Self::Eight => 8,
        }
    }
}

impl StopBits {
    /// From a number, 1 or 2.
    #[must_use]
    pub const fn new(count: u8) -> Option<Self> {
        match count {
            1 => Some(Self::One),
            2 => Some(Self::Two),
            _ => None,
        }
    }

    /// As a number.
    #[must_use]
    pub const fn count(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }
}

impl fmt::Display for Parity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Even => "even",
            Self::Odd => "odd",
            Self::Mark => "mark",
            Self::Space => "space",
        })
    }
}

/// `9600 8N1`
impl fmt::Display for LineFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parity = match self.parity {
            Parity::None => 'N',
            Parity::Even => 'E',
            Parity::Odd => 'O',
            Parity::Mark => 'M',
            Parity::Space => 'S',
        };
        write!(f, "{} {}{parity}{}", self.baud, self.data_bits.count(), self.stop_bits.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_take_their_bits() {
        // Start, 7 data, parity, stop: ten bits at 300 baud are a thirtieth of a second.
        assert_eq!(LineFormat::SIGN_ON.octet_time(), Duration::from_nanos(33_333_334));
        assert_eq!(LineFormat::SIGN_ON.time_of(6), Duration::from_millis(200));
        assert_eq!(LineFormat::eight_n_one(9600).time_of(960), Duration::from_secs(1));
        let widest =
            LineFormat { parity: Parity::Mark, stop_bits: StopBits::Two, ..LineFormat::eight_n_one(1200) };
        assert_eq!(widest.bits_per_character(), 12);
        assert_eq!(widest.octet_time(), Duration::from_millis(10));
        let narrowest = LineFormat { data_bits: DataBits::Five, ..LineFormat::eight_n_one(700) };
        assert_eq!(narrowest.octet_time(), Duration::from_millis(10));
        assert!(
            LineFormat::eight_n_one(0).time_of(usize::MAX) > Duration::from_secs(1),
            "no division by zero"
        );
    }

    #[test]
    fn formats_are_written_as_technicians_write_them() {
        assert_eq!(LineFormat::SIGN_ON.to_string(), "300 7E1");
        assert_eq!(LineFormat::eight_n_one(115_200).to_string(), "115200 8N1");
        let odd =
            LineFormat { parity: Parity::Space, stop_bits: StopBits::Two, ..LineFormat::eight_n_one(50) };
        assert_eq!(odd.to_string(), "50 8S2");
    }

    #[test]
    fn numbers_become_bits() {
        assert_eq!((4..=9).filter_map(DataBits::new).map(DataBits::count).collect::<Vec<_>>(), [5, 6, 7, 8]);
        assert_eq!((0..=3).filter_map(StopBits::new).map(StopBits::count).collect::<Vec<_>>(), [1, 2]);
    }
}
