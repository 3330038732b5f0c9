//! Names of gateways, connections, devices, groups and values: what can stand in a topic level.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::scalar::{Complaint, Scalar, deserialize_scalar, expected, inline_schema};

/// A name: 1 to 64 of `A-Z a-z 0-9 _ -`, safe in topics, file names and metric labels.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

/// A text that is no [`Name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name is 1 to 64 letters, digits, _ or -, without spaces or dots; a free text goes into `title`")]
pub struct NameError;

impl Name {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if (1..=64).contains(&text.len()) && text.bytes().all(legal) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError)
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

deserialize_scalar!(Name, "a name", |scalar| match scalar {
    Scalar::Text(text) => text.parse().map_err(|error: NameError| Complaint::Owned(error.to_string())),
    Scalar::Integer(_) => Err("a name of digits needs quotes".into()),
    Scalar::Switch(_) => Err(expected("a name")),
});

inline_schema!(Name, { "type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$" });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_a_topic_level_can() {
        for good in ["a", "main-meter", "T1_x", &"x".repeat(64)] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a.b", "a/b", "+", "#", "é", &"x".repeat(65)] {
            assert_eq!(bad.parse::<Name>(), Err(NameError), "{bad}");
        }
    }
}
