//! The tree that a dissection yields: what stands where, under the standard's name.

use std::borrow::Cow;
use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

use crate::wire::error::{WireError, WireErrorKind};

/// A name of the standard, or one made of it.
pub type Name = Cow<'static, str>;

/// One item of a frame or APDU.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Node {
    /// The standard's name.
    pub name: Name,
    /// Offset in bytes of its first byte: in the frame, or, below a `reassembled` node, in what was put together.
    pub offset: usize,
    /// Length in bytes.
    pub length: usize,
    /// Type of a COSEM value.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub data_type: Option<&'static str>,
    /// The value, where JSON has a form for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// The bytes, where they are the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hex: Option<String>,
    /// What it means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
    /// Its parts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Node>,
}

/// Why an item could not be decoded, or is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// What kind of fault.
    pub kind: FaultKind,
    /// Where, as [`Node::offset`].
    pub offset: usize,
    /// In words.
    pub message: String,
    /// What may help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'static str>,
}

/// The kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The input ends inside an item.
    Truncated,
    /// Bytes follow the end.
    TrailingBytes,
    /// A tag or choice that the standard does not define.
    UnknownTag,
    /// A length or count that cannot be.
    Length,
    /// Nested too deep.
    TooDeep,
    /// More elements than the bytes justify.
    TooManyElements,
    /// HCS, FCS or checksum.
    Checksum,
    /// A value outside of the range of its field.
    Invalid,
    /// Bytes between frames.
    Noise,
    /// A block or segment is missing or came twice.
    Sequence,
    /// The authentication tag does not match.
    CipherTag,
    /// The deciphered text makes no sense.
    CipherKey,
    /// The sender's system title is not known.
    CipherSystemTitle,
    /// A form that this decoder does not know.
    Unsupported,
}

impl From<WireErrorKind> for FaultKind {
    fn from(kind: WireErrorKind) -> Self {
        match kind {
            WireErrorKind::Truncated => Self::Truncated,
            WireErrorKind::TrailingBytes => Self::TrailingBytes,
            WireErrorKind::UnknownTag(_) => Self::UnknownTag,
            WireErrorKind::Length => Self::Length,
            WireErrorKind::TooDeep => Self::TooDeep,
            WireErrorKind::TooManyElements => Self::TooManyElements,
            WireErrorKind::Checksum => Self::Checksum,
            WireErrorKind::Invalid(_) => Self::Invalid,
        }
    }
}

impl Fault {
    pub(super) fn new(kind: FaultKind, offset: usize, message: impl Into<String>) -> Self {
        Self { kind, offset, message: message.into(), hint: None }
    }

    /// The fault for an error whose offset counts from `base`.
    pub(super) fn wire(error: WireError, base: usize) -> Self {
        let offset = base.saturating_add(error.offset);
        Self::new(error.kind.into(), offset, error.kind.to_string())
    }

    pub(super) fn with_hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }
}

impl Node {
    pub(super) fn new(name: impl Into<Name>, offset: usize, length: usize) -> Self {
        Self {
            name: name.into(),
            offset,
            length,
            data_type: None,
            value: None,
            hex: None,
            text: None,
            error: None,
            children: Vec::new(),
        }
    }

    pub(super) fn with_value(self, value: impl Into<Value>) -> Self {
        Self { value: Some(value.into()), ..self }
    }

    pub(super) fn with_text(self, text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..self }
    }

    pub(super) fn with_hex(self, bytes: &[u8]) -> Self {
        Self { hex: Some(hex(bytes)), ..self }
    }

    pub(super) fn with_error(self, error: Fault) -> Self {
        Self { error: Some(error), ..self }
    }

    pub(super) fn with_children(self, children: Vec<Self>) -> Self {
        Self { children, ..self }
    }

    /// Number of faults in the tree.
    #[must_use]
    pub fn faults(&self) -> usize {
        let below: usize = self.children.iter().map(Self::faults).sum();
        below.saturating_add(usize::from(self.error.is_some()))
    }

    /// Every node of the tree, parents before children.
    pub fn walk(&self) -> impl Iterator<Item = &Self> {
        let mut waiting = vec![self];
        std::iter::from_fn(move || {
            let node = waiting.pop()?;
            waiting.extend(node.children.iter().rev());
            Some(node)
        })
    }

    /// The first node of this name in the tree.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Self> {
        self.walk().find(|node| node.name == name)
    }
}

/// Lower-case digits without separators.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len().saturating_mul(2)), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
