//! HDLC frames, good or bad, and the APDUs that their segments carry.

use super::dialogue::Dialogue;
use super::node::{Fault, FaultKind, Node, hex};
use super::walker::{Step, Walker};
use crate::wire::acse::AARQ;
use crate::wire::cursor::Reader;
use crate::wire::error::WireErrorKind;
use crate::wire::hdlc::fcs::Fcs;
use crate::wire::hdlc::{
    AddressSize, Control, FLAG, LLC_COMMAND, LLC_RESPONSE, RawAddress, ServerAddress, strip_llc,
};

/// Octets of a check sequence.
const CHECK: usize = 2;

/// Octets of the frame whose flag or format opens `bytes`, both flags included; `None` where this is no frame.
pub(super) fn extent(bytes: &[u8]) -> Option<usize> {
    let opening = usize::from(bytes.first() == Some(&FLAG));
    let &[high, low] = bytes.get(opening..)?.first_chunk::<2>()?;
    if high >> 4 != 0xA {
        return None;
    }
    let length = usize::from(u16::from_be_bytes([high, low]) & 0x7FF);
    let end = opening.saturating_add(length);
    match bytes.get(end) {
        Some(&FLAG) => Some(end.saturating_add(1)),
        None if end == bytes.len() => Some(end),
        _ => {
            // The length is wrong, or the frame is cut off: it ends where another begins.
            let after = bytes.iter().enumerate().skip(opening.saturating_add(2));
            let mut flags = after.filter(|&(_, &octet)| octet == FLAG).map(|(at, _)| at.saturating_add(1));
            let is_end = |&at: &usize| matches!(bytes.get(at..), Some([] | [FLAG, ..] | [0xA0..=0xAF, ..]));
            Some(flags.find(is_end).unwrap_or(bytes.len()))
        }
    }
}

/// Whether `bytes` end inside a frame that begins there.
pub(super) fn is_cut_off(bytes: &[u8]) -> bool {
    let opening = usize::from(bytes.first() == Some(&FLAG));
    match bytes.get(opening..) {
        Some(&[high, low, ..]) => {
            let length = usize::from(u16::from_be_bytes([high, low]) & 0x7FF);
            high >> 4 == 0xA && bytes.len() < length.saturating_add(opening.saturating_mul(2))
        }
        Some([] | [0xA0..=0xAF]) => true,
        _ => false,
    }
}

/// Reads one frame, flags included where they are there.
pub(super) fn frame(dialogue: &mut Dialogue, bytes: &[u8]) -> Node {
    Walker::new(bytes, 0).tree("hdlc", |walker| fields(dialogue, walker))
}

/// What stands before the information.
struct Header {
    segmented: bool,
    /// Octets between the flags, as announced.
    length: usize,
    destination: RawAddress,
    source: RawAddress,
    control: Option<Control>,
    control_octet: u8,
}

fn fields(dialogue: &mut Dialogue, walker: &mut Walker<'_>) -> Step {
    if walker.peek() == Some(FLAG) {
        walker.read(Reader::u8)?;
    }
    let all = walker.rest();
    let header = header(walker, information_of(all))?;
    let read = all.len().saturating_sub(walker.rest().len());
    let has_information = header.length > read.saturating_add(CHECK);
    check(walker, if has_information { "HCS" } else { "FCS" }, all.get(..read).unwrap_or_default())?;
    if has_information {
        let read = read.saturating_add(CHECK);
        // A frame that is cut off, or longer than its length says, is read as far as it goes.
        let here = all.strip_suffix(&[FLAG]).filter(|_| all.len() != header.length).unwrap_or(all);
        let is_whole = here.len() >= header.length;
        let end = if is_whole { header.length.saturating_sub(CHECK) } else { here.len() };
        let length = end.saturating_sub(read);
        walker.bounded("information", length, |walker| information(dialogue, walker, &header))?;
        if is_whole {
            check(walker, "FCS", all.get(..end).unwrap_or_default())?;
        }
    }
    let closing = usize::from(all.last() == Some(&FLAG) && all.len() != header.length);
    let here = all.len().saturating_sub(closing);
    if here != header.length {
        let message = format!("the length field says {}, there are {here} octets", header.length);
        let kind = if here < header.length { FaultKind::Truncated } else { FaultKind::Length };
        let node = Node::new("end", walker.offset(), 0);
        walker.push(node.with_error(Fault::new(kind, walker.offset(), message)));
    }
    if walker.rest() == [FLAG] {
        walker.read(Reader::u8)?;
    }
    Ok(())
}

/// The information field of a good frame, to see from its LLC header who speaks.
fn information_of(bytes: &[u8]) -> &[u8] {
    let mut reader = Reader::new(bytes);
    let mut skip = || {
        reader.u16().ok()?;
        for _ in 0..2 {
            let address = RawAddress::parse(reader.rest()).ok()?;
            reader.take(address.len()).ok()?;
        }
        reader.take(1 + CHECK).ok()
    };
    skip().map(|_| reader.rest()).unwrap_or_default()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Client,
    Server,
    Unknown,
}

fn header(walker: &mut Walker<'_>, information: &[u8]) -> Step<Header> {
    let show = |node: Node, &format: &u16| {
        let segmented = if format & 0x800 == 0 { "last or only segment" } else { "more segments follow" };
        // Format type 3 is written 1010.
        let kind = if format >> 12 == 0xA { "type 3" } else { "unknown type" };
        let text = format!("{format:04X} {kind}, {segmented}, length {}", format & 0x7FF);
        node.with_value(format).with_text(text)
    };
    let format = walker.field("frame-format", Reader::u16, show)?;
    if format >> 12 != 0xA {
        walker.amend(|node| {
            node.error = Some(Fault::new(FaultKind::Invalid, node.offset, "not frame format type 3"));
        });
    }
    // The sender is known from what follows the addresses only, so they are read first and named afterwards.
    let destination_at = walker.offset();
    let destination = walker.read(address)?;
    let source_at = walker.offset();
    let source = walker.read(address)?;
    let octet = walker.peek().unwrap_or_default();
    let control = Control::decode(octet).ok();
    let sender = sender(control, information, destination, source);
    let receiver = match sender {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
        Role::Unknown => Role::Unknown,
    };
    walker.push(address_node("destination-address", destination_at, destination, receiver));
    walker.push(address_node("source-address", source_at, source, sender));
    walker.code("control", |octet| match Control::decode(octet) {
        Ok(control) => control_text(control),
        Err(kind) => kind.to_string(),
    })?;
    if control.is_none() {
        walker.amend(|node| {
            let kind = WireErrorKind::UnknownTag(octet);
            node.error = Some(Fault::new(FaultKind::UnknownTag, node.offset, kind.to_string()));
        });
    }
    Ok(Header {
        segmented: format & 0x800 != 0,
        length: usize::from(format & 0x7FF),
        destination,
        source,
        control,
        control_octet: octet,
    })
}

fn address(reader: &mut Reader<'_>) -> Result<RawAddress, crate::wire::error::WireError> {
    let address = RawAddress::parse(reader.rest())
        .map_err(|error| error.kind.at(reader.position().saturating_add(error.offset)))?;
    reader.take(address.len())?;
    Ok(address)
}

fn sender(control: Option<Control>, information: &[u8], destination: RawAddress, source: RawAddress) -> Role {
    match control {
        Some(Control::SetNormalResponseMode { .. } | Control::Disconnect { .. }) => Role::Client,
        Some(
            Control::UnnumberedAcknowledge { .. }
            | Control::DisconnectedMode { .. }
            | Control::FrameReject { .. },
        ) => Role::Server,
        _ if information.starts_with(&LLC_COMMAND) => Role::Client,
        _ if information.starts_with(&LLC_RESPONSE) => Role::Server,
        // A client's address has one octet.
        _ => match (destination.len(), source.len()) {
            (2.., 1) => Role::Client,
            (1, 2..) => Role::Server,
            _ => Role::Unknown,
        },
    }
}

fn address_node(name: &'static str, at: usize, address: RawAddress, role: Role) -> Node {
    let server = ServerAddress::decode(address);
    let upper = server.upper();
    let text = match (role, server.lower()) {
        (Role::Client, None) => format!("client {upper}{}", client_meaning(upper)),
        (Role::Unknown, None) => format!("client or logical device {upper}"),
        (_, lower) => {
            let logical = format!("logical device {upper}{}", logical_meaning(upper, server.size()));
            match lower {
                Some(_) if server.is_calling_device() => format!("{logical}, the calling physical device"),
                Some(lower) => {
                    format!("{logical}, physical device {lower}{}", physical_meaning(lower, server.size()))
                }
                None => logical,
            }
        }
    };
    Node::new(name, at, address.len()).with_hex(address.as_bytes()).with_text(text)
}

const fn client_meaning(sap: u16) -> &'static str {
    match sap {
        0 => " (no station)",
        1 => " (management)",
        16 => " (public client)",
        0x7F => " (all stations)",
        _ => "",
    }
}

const fn logical_meaning(upper: u16, size: AddressSize) -> &'static str {
    match (upper, size) {
        (0, _) => " (no station)",
        (1, _) => " (management)",
        (2..=15, _) => " (reserved)",
        (0x7F, AddressSize::One | AddressSize::Two) | (0x3FFF, AddressSize::Four) => " (all stations)",
        _ => "",
    }
}

const fn physical_meaning(lower: u16, size: AddressSize) -> &'static str {
    match (lower, size) {
        (0, _) => " (no station)",
        (1..=15, _) => " (reserved)",
        (0x7F, AddressSize::Two) | (0x3FFF, AddressSize::Four) => " (all stations)",
        _ => "",
    }
}

fn control_text(control: Control) -> String {
    let kind = match control {
        Control::Information { send, receive, .. } => {
            format!("I, N(S) {}, N(R) {}", send.value(), receive.value())
        }
        Control::ReceiveReady { receive, .. } => format!("RR, N(R) {}", receive.value()),
        Control::ReceiveNotReady { receive, .. } => format!("RNR, N(R) {}", receive.value()),
        Control::SetNormalResponseMode { .. } => "SNRM".to_owned(),
        Control::Disconnect { .. } => "DISC".to_owned(),
        Control::UnnumberedAcknowledge { .. } => "UA".to_owned(),
        Control::DisconnectedMode { .. } => "DM".to_owned(),
        Control::FrameReject { .. } => "FRMR".to_owned(),
        Control::UnnumberedInformation { .. } => "UI".to_owned(),
    };
    format!("{kind}, P/F {}", u8::from(control.poll()))
}

/// A check sequence over `covered`.
fn check(walker: &mut Walker<'_>, name: &'static str, covered: &[u8]) -> Step {
    let expected = Fcs::START.update(covered).octets();
    let show = |node: Node, found: &[u8; CHECK]| {
        let node = node.with_hex(found);
        if *found == expected {
            node.with_text("ok")
        } else {
            let message = format!("{name} does not match: {} would", hex(&expected));
            let offset = node.offset;
            node.with_error(Fault::new(FaultKind::Checksum, offset, message))
        }
    };
    walker.field(name, Reader::array, show).map(drop)
}

fn information(dialogue: &mut Dialogue, walker: &mut Walker<'_>, header: &Header) -> Step {
    match header.control {
        Some(Control::SetNormalResponseMode { .. }) => {
            dialogue.segments.clear();
            parameters(walker)
        }
        Some(Control::UnnumberedAcknowledge { .. }) => parameters(walker),
        Some(Control::FrameReject { .. }) => rejection(walker),
        Some(Control::Information { .. } | Control::UnnumberedInformation { .. }) => {
            segment(dialogue, walker, header)
        }
        _ => walker.bytes("user-data", walker.rest().len()).map(drop),
    }
}

/// Part of an APDU, or all of one.
fn segment(dialogue: &mut Dialogue, walker: &mut Walker<'_>, header: &Header) -> Step {
    let information = walker.rest();
    if strip_llc(information).is_some() {
        let text = if information.starts_with(&LLC_COMMAND) { "command" } else { "response" };
        walker.bytes("LLC", LLC_COMMAND.len())?;
        walker.explain(text);
    }
    let (part, at) = (walker.rest(), walker.offset());
    walker.read(|reader| reader.take(part.len()))?;
    let channel = [header.destination.as_bytes(), header.source.as_bytes()].concat();
    dialogue.channel.clone_from(&channel);
    let segments = dialogue.segments.entry(channel.clone()).or_default();
    let is_alone = segments.count == 0 && !header.segmented;
    let identity = [&[header.control_octet], information].concat();
    if !is_alone && segments.previous == identity {
        walker.push(Node::new("segment", at, part.len()).with_text("the segment before once more"));
        return Ok(());
    }
    segments.previous = identity;
    if is_alone {
        walker.push(super::apdu::apdu(dialogue, part, at));
        return Ok(());
    }
    segments.count = segments.count.saturating_add(1);
    segments.bytes.extend_from_slice(part);
    let text = format!("segment {}, {} bytes so far", segments.count, segments.bytes.len());
    let mut node = Node::new("segment", at, part.len()).with_text(text);
    // There may be a password in it.
    if segments.bytes.first() != Some(&AARQ) {
        node = node.with_hex(part);
    }
    walker.push(node);
    if header.segmented {
        return Ok(());
    }
    let Some(segments) = dialogue.segments.remove(&channel) else { return Ok(()) };
    let text = format!("{} bytes of {} segments", segments.bytes.len(), segments.count);
    let apdu = super::apdu::apdu(dialogue, &segments.bytes, 0);
    let node = Node::new("reassembled", 0, segments.bytes.len()).with_text(text);
    walker.push(node.with_children(vec![apdu]));
    Ok(())
}

/// The negotiation field of SNRM and UA.
fn parameters(walker: &mut Walker<'_>) -> Step {
    walker.code("format-identifier", |identifier| {
        if identifier == 0x81 { "parameter negotiation" } else { "unknown" }.to_owned()
    })?;
    while !walker.is_empty() {
        let group = walker.code("group-identifier", |group| match group {
            0x80 => "HDLC parameters".to_owned(),
            0xF0 => "user data".to_owned(),
            _ => "unknown group".to_owned(),
        })?;
        let length = usize::from(walker.u8("group-length")?).min(walker.rest().len());
        if group != 0x80 {
            walker.bytes("group", length)?;
            continue;
        }
        walker.bounded("parameters", length, |walker| {
            while !walker.is_empty() {
                parameter(walker)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn parameter(walker: &mut Walker<'_>) -> Step {
    let name = match walker.peek() {
        Some(5) => "max-info-field-length-transmit",
        Some(6) => "max-info-field-length-receive",
        Some(7) => "window-size-transmit",
        Some(8) => "window-size-receive",
        _ => "unknown parameter",
    };
    let read = |reader: &mut Reader<'_>| {
        reader.u8()?;
        let width = reader.u8()?;
        let value = reader.take(usize::from(width))?;
        Ok(value.iter().fold(0u64, |value, &octet| value << 8 | u64::from(octet)))
    };
    walker.field(name, read, |node: Node, &value: &u64| node.with_value(value)).map(drop)
}

/// What FRMR says. The bits of its last two octets stand in another order in other stacks.
fn rejection(walker: &mut Walker<'_>) -> Step {
    walker.code("rejected-control", |octet| match Control::decode(octet) {
        Ok(control) => control_text(control),
        Err(kind) => kind.to_string(),
    })?;
    walker.u8("state-variables")?;
    walker
        .code("reason", |reason| {
            let named = [
                (0x80, "undefined control"),
                (0x40, "information not allowed"),
                (0x20, "information too long"),
                (0x10, "invalid N(R)"),
            ];
            let reasons: Vec<_> =
                named.iter().filter(|(bit, _)| reason & bit != 0).map(|(_, text)| *text).collect();
            reasons.join(", ")
        })
        .map(drop)
}
