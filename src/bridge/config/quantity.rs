//! Plain quantities of the configuration: whole numbers, switches, durations and sizes.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::scalar::{Complaint, Scalar, deserialize_scalar, expected, inline_schema};

/// A whole number; its range is checked where its meaning is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Integer(pub i64);

/// On or off: `true`, `false`, `on`, `off`, `yes`, `no`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Flag(pub bool);

/// A duration: whole seconds, or a text like `15m`, `1h30m`, `500ms`, `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Period(pub Duration);

/// A size in bytes: a whole number, or a text like `64MiB`, `10kB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A text, where a number without quotes is taken for its digits: serial numbers, passwords never.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Text(pub String);

const PERIOD: &str = "a duration like 30, 15m, 1h30m or 500ms";
const SIZE: &str = "a size like 64MiB or 1048576";
const TOO_LONG: &str = "out of range: the duration is too long";
const TOO_LARGE: &str = "out of range: the size is too large";

/// Why a text is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Misread {
    /// It is not of the form of one.
    Malformed,
    /// It is one that nothing here can hold.
    OutOfRange,
}

impl Misread {
    fn complaint(self, expecting: &'static str, out_of_range: &'static str) -> Complaint {
        match self {
            Self::Malformed => expected(expecting),
            Self::OutOfRange => out_of_range.into(),
        }
    }
}

/// What is wrong with a number that is not from 0 to 2^64.
const fn beyond(number: i128, negative: &'static str, out_of_range: &'static str) -> Complaint {
    Complaint::Borrowed(if number < 0 { negative } else { out_of_range })
}

deserialize_scalar!(Integer, "a whole number", |scalar| match scalar {
    Scalar::Integer(value) => i64::try_from(value).map(Self).map_err(|_| {
        let how = if value < 0 { "small" } else { "large" };
        format!("out of range: the number is too {how}").into()
    }),
    Scalar::Text(_) | Scalar::Switch(_) => Err(expected("a whole number")),
});

deserialize_scalar!(Flag, "true or false", |scalar| match scalar {
    Scalar::Switch(value) => Ok(Self(value)),
    Scalar::Text("on" | "yes" | "true") => Ok(Self(true)),
    Scalar::Text("off" | "no" | "false") => Ok(Self(false)),
    Scalar::Text(_) | Scalar::Integer(_) => Err(expected("true or false")),
});

deserialize_scalar!(Period, "a duration like 30, 15m, 1h30m or 500ms", |scalar| match scalar {
    Scalar::Integer(seconds) => u64::try_from(seconds)
        .map(|seconds| Self(Duration::from_secs(seconds)))
        .map_err(|_| beyond(seconds, "a duration can't be negative", TOO_LONG)),
    Scalar::Text(text) => read_duration(text).map(Self).map_err(|why| why.complaint(PERIOD, TOO_LONG)),
    Scalar::Switch(_) => Err(expected(PERIOD)),
});

deserialize_scalar!(Size, "a size like 64MiB or 1048576", |scalar| match scalar {
    Scalar::Integer(bytes) => {
        u64::try_from(bytes).map(Self).map_err(|_| beyond(bytes, "a size can't be negative", TOO_LARGE))
    }
    Scalar::Text(text) => size(text).map(Self).map_err(|why| why.complaint(SIZE, TOO_LARGE)),
    Scalar::Switch(_) => Err(expected(SIZE)),
});

deserialize_scalar!(Text, "a text", |scalar| match scalar {
    Scalar::Text(text) => Ok(Self(text.to_owned())),
    Scalar::Integer(i128::MIN | i128::MAX) => Err("a number as long as this needs quotes".into()),
    Scalar::Integer(value) => Ok(Self(value.to_string())),
    Scalar::Switch(_) => Err(Complaint::Borrowed("a text is expected: put it in quotes")),
});

inline_schema!(Integer, { "type": "integer" });
inline_schema!(Flag, { "type": ["boolean", "string"], "enum": [true, false, "on", "off", "yes", "no"] });
inline_schema!(Period, {
    "type": ["integer", "string"],
    "minimum": 0,
    "pattern": "^([0-9]+(ms|s|m|h|d)?)+$",
    "description": "Seconds, or a text like 15m, 1h30m, 500ms, 7d."
});
inline_schema!(Size, {
    "type": ["integer", "string"],
    "minimum": 0,
    "pattern": "^[0-9]+ ?(B|[kKMG]i?B)?$",
    "description": "Bytes, or a text like 64MiB."
});
inline_schema!(Text, { "type": ["string", "integer"] });

/// Reads `1h30m`: numbers with falling units, or one number of seconds.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    read_duration(text).ok()
}

fn read_duration(text: &str) -> Result<Duration, Misread> {
    match digits(text) {
        Err(Misread::Malformed) => {}
        seconds => return seconds.map(Duration::from_secs),
    }
    let mut rest = text;
    let mut total = Some(Duration::ZERO);
    let mut last_unit = u64::MAX;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit()).ok_or(Misread::Malformed)?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let millis = match unit {
            "d" => 86_400_000,
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1_000,
            "ms" => 1,
            _ => return Err(Misread::Malformed),
        };
        // Falling units keep `30m1h` and `1m1m` from being read as something.
        if millis >= last_unit {
            return Err(Misread::Malformed);
        }
        last_unit = millis;
        let part = match digits(number) {
            Ok(number) => number.checked_mul(millis).map(Duration::from_millis),
            Err(Misread::OutOfRange) => None,
            Err(Misread::Malformed) => return Err(Misread::Malformed),
        };
        total = total.zip(part).and_then(|(total, part)| total.checked_add(part));
        rest = tail;
    }
    match total {
        _ if last_unit == u64::MAX => Err(Misread::Malformed),
        total => total.ok_or(Misread::OutOfRange),
    }
}

fn size(text: &str) -> Result<u64, Misread> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" | "kiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(Misread::Malformed),
    };
    digits(number)?.checked_mul(factor).ok_or(Misread::OutOfRange)
}

/// Digits alone: `parse` would take a sign too.
fn digits(text: &str) -> Result<u64, Misread> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().map_err(|_| Misread::OutOfRange)
    } else {
        Err(Misread::Malformed)
    }
}

impl fmt::Display for Period {
    /// The shortest text that reads back as the same duration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_zero() {
            return f.write_str("0s");
        }
        let mut millis = self.0.as_millis();
        for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
            if millis >= size {
                write!(f, "{}{unit}", millis / size)?;
                millis %= size;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
            if self.0 != 0 && self.0.trailing_zeros() >= shift {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}B", self.0)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_write() {
        for (text, millis) in [
            ("15m", 900_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("30s", 30_000),
            ("30", 30_000),
            ("7d", 604_800_000),
            ("1d2h3m4s5ms", 93_784_005),
            ("0s", 0),
        ] {
            let period = Period(duration(text).unwrap());
            assert_eq!(period.0, Duration::from_millis(millis), "{text}");
            assert_eq!(duration(&period.to_string()), Some(period.0));
        }
        for bad in [
            "",
            "m",
            "1x",
            "-1s",
            "1.5h",
            "30m1h",
            "1m1m",
            "1h30",
            " 1s",
            "1µs",
            "99999999999999999999x",
            "99999999999999999999d5",
        ] {
            assert_eq!(read_duration(bad), Err(Misread::Malformed), "{bad}");
        }
        for far in [
            "99999999999999999999",
            "99999999999999999999d",
            "18446744073709551615d",
            "18446744073709551615s",
        ] {
            assert_eq!(read_duration(far), Err(Misread::OutOfRange), "{far}");
        }
    }

    #[test]
    fn sizes_read_and_write() {
        for (text, bytes) in
            [("64MiB", 64 << 20), ("1024", 1024), ("10kB", 10_000), ("2 GiB", 2 << 30), ("0B", 0)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
            assert_eq!(size(&Size(bytes).to_string()), Ok(bytes));
        }
        for bad in ["", "MiB", "1.5MiB", "-1", "64mib"] {
            assert_eq!(size(bad), Err(Misread::Malformed), "{bad}");
        }
        for far in ["99999999999999999999", "99999999999GiB"] {
            assert_eq!(size(far), Err(Misread::OutOfRange), "{far}");
        }
    }
}
