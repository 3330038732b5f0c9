//! Wired M-Bus long frames (EN 13757-2), as some meters push APDUs on their customer interface.

use super::dialogue::Dialogue;
use super::node::{Fault, FaultKind, Node};
use super::walker::{Step, Walker};
use crate::wire::cursor::Reader;

const START: u8 = 0x68;
const STOP: u8 = 0x16;
/// Start, length twice, start.
const HEAD: usize = 4;
/// Checksum and stop.
const TAIL: usize = 2;
/// C, A, CI, STSAP and DTSAP.
const FIELDS: usize = 5;
/// Set in CI with the last segment.
const LAST: u8 = 0x10;

/// Whether a long frame begins here.
pub(super) fn is_frame(bytes: &[u8]) -> bool {
    matches!(bytes, [START, a, b, START, ..] if a == b)
}

/// Octets of the frame that begins `bytes`. Its length field has eight bits, and meters let it wrap around: the
/// checksum and the stop character tell how often.
pub(super) fn extent(bytes: &[u8]) -> Option<usize> {
    let short = usize::from(*bytes.get(1)?);
    let candidates = (0..8usize).map(|turns| short.saturating_add(turns.saturating_mul(256)));
    let mut candidates = candidates.filter(|&length| length >= FIELDS);
    candidates
        .find(|&length| {
            let covered = bytes.get(HEAD..HEAD.saturating_add(length));
            let tail = bytes.get(HEAD.saturating_add(length)..).and_then(|rest| rest.first_chunk::<TAIL>());
            matches!((covered, tail), (Some(covered), Some(&[sum, STOP])) if checksum(covered) == sum)
        })
        .map(|length| length.saturating_add(HEAD + TAIL))
}

fn checksum(covered: &[u8]) -> u8 {
    covered.iter().fold(0, |sum: u8, &octet| sum.wrapping_add(octet))
}

/// Reads one frame.
pub(super) fn frame(dialogue: &mut Dialogue, bytes: &[u8]) -> Node {
    Walker::new(bytes, 0).tree("m-bus", |walker| fields(dialogue, walker, bytes))
}

fn fields(dialogue: &mut Dialogue, walker: &mut Walker<'_>, bytes: &[u8]) -> Step {
    walker.read(Reader::u8)?;
    walker.u8("L")?;
    walker.read(Reader::u16)?;
    walker.u8("C")?;
    walker.u8("A")?;
    let control = walker.code("CI", |control| {
        let last = if control & LAST == 0 { "more segments follow" } else { "last segment" };
        format!("segment {}, {last}", control & 0x0F)
    })?;
    let source = walker.u8("STSAP")?;
    let destination = walker.u8("DTSAP")?;
    let length = walker.rest().len().saturating_sub(TAIL);
    let (part, at) = (walker.rest().get(..length).unwrap_or_default(), walker.offset());
    walker.read(|reader| reader.take(length))?;
    let is_last = control & LAST != 0;
    let channel = vec![START, source, destination];
    dialogue.channel.clone_from(&channel);
    let segments = dialogue.segments.entry(channel.clone()).or_default();
    if control & 0x0F == 0 {
        segments.bytes.clear();
        segments.count = 0;
    }
    segments.count = segments.count.saturating_add(1);
    segments.bytes.extend_from_slice(part);
    if segments.count == 1 && is_last {
        dialogue.segments.remove(&channel);
        walker.push(super::apdu::apdu(dialogue, part, at));
    } else {
        let text = format!("segment {}, {} bytes so far", segments.count, segments.bytes.len());
        walker.push(Node::new("segment", at, length).with_hex(part).with_text(text));
        if is_last && let Some(segments) = dialogue.segments.remove(&channel) {
            let apdu = super::apdu::apdu(dialogue, &segments.bytes, 0);
            let text = format!("{} bytes of {} segments", segments.bytes.len(), segments.count);
            let node = Node::new("reassembled", 0, segments.bytes.len()).with_text(text);
            walker.push(node.with_children(vec![apdu]));
        }
    }
    let covered = bytes.get(HEAD..bytes.len().saturating_sub(TAIL)).unwrap_or_default();
    let expected = checksum(covered);
    let found = walker.u8("checksum")?;
    if found == expected {
        walker.explain("ok");
    } else {
        let message = format!("the checksum does not match: {expected:02x} would");
        walker.amend(|node| node.error = Some(Fault::new(FaultKind::Checksum, node.offset, message)));
    }
    walker.u8("stop").map(drop)
}
