//! OBIS codes (IEC 62056-61): six groups A-B:C.D.E*F that name a COSEM object.

use std::fmt;
use std::str::FromStr;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An OBIS code, as the six octets of a COSEM logical name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Obis(pub [u8; 6]);

impl Obis {
    /// The code with these groups.
    #[must_use]
    pub const fn new(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8) -> Self {
        Self([a, b, c, d, e, f])
    }

    /// For display as `1.0.1.8.0.255`, the form that topics and file names can carry.
    #[must_use]
    pub const fn dotted(self) -> Dotted {
        Dotted(self)
    }
}

impl fmt::Display for Obis {
    /// `1-0:1.8.0*255`, the form of every payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a}-{b}:{c}.{d}.{e}*{g}")
    }
}

/// An OBIS code displayed as six dotted numbers.
#[derive(Clone, Copy, Debug)]
pub struct Dotted(Obis);

impl fmt::Display for Dotted {
    /// `1.0.1.8.0.255`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0.0;
        write!(f, "{a}.{b}.{c}.{d}.{e}.{g}")
    }
}

/// A text that is no full OBIS code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObisError {
    /// A reduced form (`1.8.0`, `F.F`): medium and channel would have to be guessed.
    #[error("reduced OBIS form: write all groups, like 1-0:1.8.0*255")]
    Reduced,
    /// Neither `1.0.1.8.0.255`, `1-0:1.8.0*255` nor `1-0:1.8.0`.
    #[error("not an OBIS code: write it like 1-0:1.8.0*255 or 1.0.1.8.0.255")]
    Malformed,
    /// A group over 255.
    #[error("an OBIS group is over 255")]
    GroupRange,
}

/// One group as written: decimal digits, without a sign.
fn group(text: &str) -> Result<u8, ObisError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ObisError::Malformed);
    }
    text.parse().map_err(|_| ObisError::GroupRange)
}

/// Groups C, D, E and, where it is written, F.
fn value_groups(text: &str) -> Result<([u8; 3], Option<u8>), ObisError> {
    let mut parts = text.splitn(3, '.');
    let (Some(c), Some(d), Some(e)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(ObisError::Malformed);
    };
    // `&` instead of `*` marks a billing period that was closed by hand.
    let (e, f) = match e.split_once(['*', '&', '.']) {
        Some((e, f)) => (e, Some(group(f)?)),
        None => (e, None),
    };
    Ok(([group(c)?, group(d)?, group(e)?], f))
}

/// Six octets in hexadecimal: without separators, or separated by spaces or colons.
fn octets(text: &str) -> Option<[u8; 6]> {
    let bytes = text.as_bytes();
    let step = match (bytes.len(), bytes.get(2)) {
        (12, _) => 2,
        (17, Some(separator @ (b' ' | b':'))) => {
            bytes.iter().skip(2).step_by(3).all(|byte| byte == separator).then_some(3)?
        }
        _ => return None,
    };
    let mut octets = [0; 6];
    for (octet, pair) in octets.iter_mut().zip(bytes.chunks(step)) {
        let digits = pair.get(..2)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        *octet = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(octets)
}

/// Whether `text` is what a display shows: C.D or C.D.E, perhaps with F, where C, F, L and P stand for 96 to 99.
fn is_reduced(text: &str) -> bool {
    let (value, billing) = match text.split_once(['*', '&']) {
        Some((value, billing)) => (value, Some(billing)),
        None => (text, None),
    };
    let is_group = |part: &str| group(part).is_ok() || matches!(part, "C" | "F" | "L" | "P");
    (2..=3).contains(&value.split('.').count())
        && value.split('.').all(is_group)
        && billing.is_none_or(|billing| group(billing).is_ok())
}

impl FromStr for Obis {
    type Err = ObisError;

    /// Reads `1-0:1.8.0*255` (also with `.` or `&` before F, or without F, which is then 255), `1.0.1.8.0.255`,
    /// or the six octets in hexadecimal.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(octets) = octets(text) {
            return Ok(Self(octets));
        }
        if is_reduced(text) {
            return Err(ObisError::Reduced);
        }
        if let Some((medium, rest)) = text.split_once('-') {
            let (channel, value) = rest.split_once(':').ok_or(ObisError::Malformed)?;
            let ([c, d, e], f) = value_groups(value)?;
            return Ok(Self([group(medium)?, group(channel)?, c, d, e, f.unwrap_or(255)]));
        }
        let mut groups = [0; 6];
        let mut parts = text.split('.');
        for slot in &mut groups {
            *slot = group(parts.next().ok_or(ObisError::Malformed)?)?;
        }
        if parts.next().is_some() { Err(ObisError::Malformed) } else { Ok(Self(groups)) }
    }
}

impl Serialize for Obis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Obis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Obis;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an OBIS code like 1-0:1.8.0*255")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Obis, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_forms_are_read() {
        let energy = Obis::new(1, 0, 1, 8, 0, 255);
        for text in [
            "1-0:1.8.0*255",
            "1-0:1.8.0.255",
            "1-0:1.8.0&255",
            "1-0:1.8.0",
            "1-0:01.08.00",
            "1.0.1.8.0.255",
            "0100010800FF",
            "01 00 01 08 00 ff",
            "01:00:01:08:00:FF",
        ] {
            assert_eq!(text.parse(), Ok(energy), "{text}");
        }
        assert_eq!("1-1:1.8.0&01".parse(), Ok(Obis::new(1, 1, 1, 8, 0, 1)));
    }

    #[test]
    fn reduced_forms_are_refused_by_name() {
        for text in ["1.8.0", "1.8.0*01", "1.8.0&3", "1.8", "F.F", "C.1.0", "L.1", "P.01"] {
            assert_eq!(text.parse::<Obis>(), Err(ObisError::Reduced), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "1",
            "1.0.1.8",
            "1.0.1.8.0",
            "1.0.1.8.0.255.1",
            "1-0:1.8.0*255*1",
            "1-0:1.8.0.255.1",
            "1-0:1.8",
            "1-0:1.8.0*",
            "1-0:",
            "1-0",
            "-0:1.8.0",
            "1-:1.8.0",
            "1:0-1.8.0",
            "+1-0:1.8.0",
            "1-0:1.8.-0",
            " 1-0:1.8.0",
            "1.0.1.8.0.255 ",
            "1..1.8.0.255",
            "a.b.c.d.e.f",
            "010001080g00",
            "0100010800f",
            "01 00:01 08 00 ff",
            "+1+1+1+1+1+1",
            "é1-0:1.8.0",
            "1.8.0*x",
            "1-0:F.F",
        ] {
            assert_eq!(text.parse::<Obis>(), Err(ObisError::Malformed), "{text}");
        }
        for text in ["1.0.1.8.256.255", "1-0:1.8.0*256", "999999999999999999999-0:1.8.0"] {
            assert_eq!(text.parse::<Obis>(), Err(ObisError::GroupRange), "{text}");
        }
    }

    #[test]
    fn texts_written() {
        let clock = Obis::new(0, 0, 1, 0, 0, 255);
        assert_eq!(clock.to_string(), "0-0:1.0.0*255");
        assert_eq!(clock.dotted().to_string(), "0.0.1.0.0.255");
        assert_eq!(serde_json::to_string(&clock).unwrap(), "\"0-0:1.0.0*255\"");
        assert_eq!(serde_json::from_str::<Obis>("\"0.0.1.0.0.255\"").unwrap(), clock);
        let refusal = serde_json::from_str::<Obis>("\"1.8.0\"").unwrap_err().to_string();
        assert!(refusal.contains("reduced"), "{refusal}");
        assert!(serde_json::from_str::<Obis>("7").is_err());
    }
}
