//! Takes frames and APDUs apart for people: a tree of names, offsets, values and errors. No I/O.
//!
//! Nothing aborts it: what cannot be decoded stands in the tree as it is, with the reason.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod acse;
mod apdu;
mod data;
mod dialogue;
mod framing;
mod hdlc;
mod initiate;
mod logical_name;
mod m_bus;
mod node;
mod notification;
mod paste;
mod protection;
mod short_name;
mod sign_on;
mod subject;
mod walker;

use serde::Serialize;

pub use node::{Fault, FaultKind, Name, Node};
pub use paste::{Direction, Ignored};

use crate::security::{Key, SystemTitle};
use dialogue::Dialogue;

/// APDUs in APDUs that are followed.
const MAX_NESTING: usize = 8;

/// What is known beforehand.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The block cipher key, global or dedicated.
    pub key: Option<Key>,
    /// The authentication key.
    pub authentication_key: Option<Key>,
    /// The system title of whoever sent ciphered APDUs that do not name it.
    pub system_title: Option<SystemTitle>,
    /// What to do with passwords and keys that are found.
    pub secrets: Secrets,
}

/// What to do with passwords and keys in what is decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Secrets {
    /// Show `***`.
    #[default]
    Hidden,
    /// Show them.
    Shown,
}

/// Everything that was found in a text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Dissection {
    /// Version of this form.
    pub v: u8,
    /// The frames and APDUs, in order.
    pub frames: Vec<Frame>,
    /// Lines without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<Ignored>,
    /// Number of errors in all frames.
    pub errors: usize,
}

/// One frame, or one APDU without a frame.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Frame {
    /// Number of the line on which it begins, from 1.
    pub line: usize,
    /// Who sent it, where the text says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// What stands before it in its line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What is in it.
    #[serde(flatten)]
    pub node: Node,
}

/// Decodes all frames in a text: hexadecimal in most forms that tools print, one frame or a whole dialogue.
///
/// Frames of one text are of one dialogue: segments and blocks are put together, system titles and the dedicated key
/// of an association serve for what follows.
#[must_use]
pub fn dissect_text(text: &str, settings: Settings) -> Dissection {
    let mut dialogue = Dialogue::new(settings);
    let (runs, mut ignored) = paste::read(text);
    let mut frames = Vec::new();
    for run in runs {
        let settings = &dialogue.settings;
        let keys = [&settings.key, &settings.authentication_key];
        if keys.into_iter().flatten().any(|key| key.expose() == run.bytes) {
            let text = run.label.unwrap_or_default();
            ignored.push(Ignored { line: run.line, text, reason: "a key that was given" });
            continue;
        }
        // Without addresses, the log's own word tells one direction from the other.
        dialogue.channel = run.direction.map_or(Vec::new(), |direction| vec![direction as u8]);
        frames.extend(framing::frames(&mut dialogue, &run.bytes).into_iter().map(|node| Frame {
            line: run.line,
            direction: run.direction,
            label: run.label.clone(),
            node,
        }));
    }
    Dissection::of(frames, ignored)
}

/// Decodes all frames in bytes.
#[must_use]
pub fn dissect_bytes(bytes: &[u8], settings: Settings) -> Dissection {
    let mut dialogue = Dialogue::new(settings);
    let frames = framing::frames(&mut dialogue, bytes);
    let frames =
        frames.into_iter().map(|node| Frame { line: 1, direction: None, label: None, node }).collect();
    Dissection::of(frames, Vec::new())
}

impl Dissection {
    fn of(frames: Vec<Frame>, ignored: Vec<Ignored>) -> Self {
        let errors = frames.iter().map(|frame| frame.node.faults()).sum();
        Self { v: 1, frames, ignored, errors }
    }
}
