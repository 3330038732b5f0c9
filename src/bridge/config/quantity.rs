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

deserialize_scalar!(Integer, "a whole number", |scalar| match scalar {
    Scalar::Integer(value) => i64::try_from(value).map(Self).map_err(|_| "the number is too large".into()),
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
        .map_err(|_| "a duration can't be negative".into()),
    Scalar::Text(text) => duration(text).map(Self).ok_or_else(|| expected(PERIOD)),
    Scalar::Switch(_) => Err(expected(PERIOD)),
});

deserialize_scalar!(Size, "a size like 64MiB or 1048576", |scalar| match scalar {
    Scalar::Integer(bytes) => u64::try_from(bytes).map(Self).map_err(|_| "a size can't be negative".into()),
    Scalar::Text(text) => size(text).map(Self).ok_or_else(|| expected(SIZE)),
    Scalar::Switch(_) => Err(expected(SIZE)),
});

deserialize_scalar!(Text, "a text", |scalar| match scalar {
    Scalar::Text(text) => Ok(Self(text.to_owned())),
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
    if let Ok(seconds) = digits(text) {
        return Some(Duration::from_secs(seconds));
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    let mut last_unit = u64::MAX;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let millis = match unit {
            "d" => 86_400_000,
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1_000,
            "ms" => 1,
            _ => return None,
        };
        // Falling units keep `30m1h` and `1m1m` from being read as something.
        if millis >= last_unit {
            return None;
        }
        last_unit = millis;
        total = total.checked_add(Duration::from_millis(digits(number).ok()?.checked_mul(millis)?))?;
        rest = tail;
    }
    (last_unit != u64::MAX).then_some(total)
}

fn size(text: &str) -> Option<u64> {
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
        _ => return None,
    };
    digits(number).ok()?.checked_mul(factor)
}

/// Digits alone: `parse` would take a sign too.
fn digits(text: &str) -> Result<u64, ()> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().map_err(|_| ())
    } else {
        Err(())
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
        for bad in
            ["", "m", "1x", "-1s", "1.5h", "30m1h", "1m1m", "1h30", " 1s", "99999999999999999999d", "1µs"]
        {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_read_and_write() {
        for (text, bytes) in
            [("64MiB", 64 << 20), ("1024", 1024), ("10kB", 10_000), ("2 GiB", 2 << 30), ("0B", 0)]
        {
            assert_eq!(size(text), Some(bytes), "{text}");
            assert_eq!(size(&Size(bytes).to_string()), Some(bytes));
        }
        for bad in ["", "MiB", "1.5MiB", "-1", "64mib", "99999999999999999999"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }
}
