//! Follows the octets of one direction of a line: where frames and APDUs begin and end, and which octets are secret.

use super::hex::Hex;
use super::secrets::Secrets;
use crate::wire::hdlc::{self, Control, Frame, Sequence};
use crate::wire::wrapper;

/// What a secret octet is shown as.
pub(super) const MASK: u8 = b'*';

/// How APDUs are framed on a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Framing {
    /// HDLC.
    #[default]
    Hdlc,
    /// The wrapper of IEC 62056-47.
    Wrapper,
}

/// What ended with the octets scanned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// A frame; what it is, in words.
    Frame(String),
    /// An APDU, secrets masked.
    Apdu(Vec<u8>),
}

/// Follows one direction of a line, however its octets are split.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    framing: Framing,
    place: Place,
    secrets: Secrets,
    /// The frame between its flags, or the wrapper's header, so far. Its secrets are not masked: it stays here.
    frame: Vec<u8>,
    /// The APDU so far, secrets masked.
    apdu: Vec<u8>,
    information: Information,
    /// As they were before the information field, to be taken up again where it is repeated.
    secrets_before: Secrets,
    /// N(S) of the last information frame.
    last_sent: Option<Sequence>,
    /// The last information frame said that more segments follow.
    continues: bool,
}

/// Where the next octet stands.
#[derive(Clone, Copy, Debug, Default)]
enum Place {
    /// In no frame.
    #[default]
    Outside,
    /// Behind a flag: a frame may begin.
    Flag,
    /// The second octet of the format.
    Format { high: u8 },
    /// In a frame, with so many to come before the closing flag.
    Hdlc { field: Field, left: usize },
    /// In the APDU behind a wrapper's header, with so many to come.
    WrapperApdu { left: usize },
    /// Behind what is no wrapper's header: the framing is lost for good.
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Destination,
    Source,
    Control,
    HeaderCheck { left: usize },
    Information,
    FrameCheck,
    ClosingFlag,
}

/// What the information field of the frame is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Information {
    /// Parameters of the link, or nothing.
    #[default]
    OfTheLink,
    /// The next segment of an APDU.
    Segment,
    /// A segment that was seen before.
    Repetition,
}

/// What an octet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Of the frame.
    Frame,
    /// Of an APDU.
    Apdu,
    /// The last of an APDU.
    LastOfApdu,
    /// Perhaps of an APDU: seen before, or out of frames.
    Stray,
}

/// Octets of a check sequence.
const CHECK: usize = 2;
/// Format, two addresses, control and check sequence, without the format.
const SHORTEST: usize = 5;
/// What is kept of an APDU at the most.
const MOST_KEPT: usize = 64 * 1024;

impl Scanner {
    /// Takes octets. Appends them to `shown`, secrets masked, and what ended with them to `ended`.
    pub(super) fn scan(
        &mut self,
        framing: Framing,
        octets: &[u8],
        shown: &mut Vec<u8>,
        ended: &mut Vec<Ended>,
    ) {
        if framing != self.framing {
            *self = Self { framing, ..Self::default() };
        }
        for &octet in octets {
            let role = match framing {
                Framing::Hdlc => self.hdlc(octet, ended),
                Framing::Wrapper => self.wrapper(octet, ended),
            };
            let is_secret = role != Role::Frame && self.secrets.is_secret(octet);
            let octet = if is_secret { MASK } else { octet };
            shown.push(octet);
            if matches!(role, Role::Apdu | Role::LastOfApdu) && self.apdu.len() < MOST_KEPT {
                self.apdu.push(octet);
            }
            if role == Role::LastOfApdu {
                ended.push(Ended::Apdu(std::mem::take(&mut self.apdu)));
            }
        }
    }

    fn hdlc(&mut self, octet: u8, ended: &mut Vec<Ended>) -> Role {
        let is_flag = octet == hdlc::FLAG;
        match self.place {
            Place::Outside | Place::Flag if is_flag => self.place = Place::Flag,
            Place::Flag if octet & 0xF0 == 0xA0 => {
                self.frame.clear();
                self.frame.push(octet);
                self.place = Place::Format { high: octet & 7 };
            }
            Place::Format { high } => {
                self.frame.push(octet);
                let length = usize::from(u16::from_be_bytes([high, octet]));
                self.place = match length.checked_sub(CHECK) {
                    Some(left) if left >= SHORTEST => Place::Hdlc { field: Field::Destination, left },
                    _ => Place::Outside,
                };
            }
            Place::Hdlc { field: Field::ClosingFlag, .. } => {
                self.place = if is_flag { Place::Flag } else { Place::Outside };
                self.end_of_frame(ended);
            }
            Place::Hdlc { field, left } => return self.in_frame(octet, field, left - 1),
            Place::Outside | Place::Flag | Place::WrapperApdu { .. } | Place::Lost => {
                self.place = Place::Outside;
                return Role::Stray;
            }
        }
        Role::Frame
    }

    /// An octet of a frame, with `left` to come behind it.
    fn in_frame(&mut self, octet: u8, field: Field, left: usize) -> Role {
        self.frame.push(octet);
        let ends_address = octet & 1 == 1;
        let behind_header = if left > CHECK { Field::Information } else { Field::FrameCheck };
        let next = match field {
            Field::Destination if ends_address => Field::Source,
            Field::Source if ends_address => Field::Control,
            Field::Control => {
                self.information = self.kind_of_information(octet);
                if left > CHECK { Field::HeaderCheck { left: CHECK } } else { Field::FrameCheck }
            }
            Field::HeaderCheck { left: 2.. } => Field::HeaderCheck { left: 1 },
            Field::HeaderCheck { .. } | Field::Information => behind_header,
            Field::FrameCheck if left == 0 => Field::ClosingFlag,
            other => other,
        };
        self.place = match next {
            // Addresses that fill the frame: it is none.
            Field::Destination | Field::Source | Field::Control if left <= CHECK => Place::Outside,
            field => Place::Hdlc { field, left },
        };
        match (field, self.information) {
            (Field::Information, Information::Segment) => Role::Apdu,
            (Field::Information, Information::Repetition) => Role::Stray,
            _ => Role::Frame,
        }
    }

    fn kind_of_information(&mut self, control: u8) -> Information {
        match Control::decode(control) {
            Ok(Control::Information { send, .. }) if self.last_sent == Some(send) => {
                self.secrets = self.secrets_before;
                Information::Repetition
            }
            Ok(Control::Information { .. } | Control::UnnumberedInformation { .. }) => {
                self.secrets_before = self.secrets;
                if !self.continues {
                    self.apdu.clear();
                }
                Information::Segment
            }
            Ok(Control::ReceiveReady { .. } | Control::ReceiveNotReady { .. }) | Err(_) => {
                self.secrets_before = self.secrets;
                Information::OfTheLink
            }
            Ok(_) => {
                self.secrets_before = self.secrets;
                self.last_sent = None;
                self.continues = false;
                Information::OfTheLink
            }
        }
    }

    fn end_of_frame(&mut self, ended: &mut Vec<Ended>) {
        let frame = match Frame::decode(&self.frame) {
            Ok(frame) => frame,
            Err(error) => {
                // It comes again, whole.
                self.secrets = self.secrets_before;
                return ended.push(Ended::Frame(format!("damaged: {error}")));
            }
        };
        let repetition = if self.information == Information::Repetition { ", repeated" } else { "" };
        ended.push(Ended::Frame(format!("{}{repetition}", in_words(&frame))));
        if self.information != Information::Segment {
            return;
        }
        if let Control::Information { send, .. } = frame.control {
            self.last_sent = Some(send);
        }
        self.continues = frame.segmented;
        if !self.continues {
            let apdu = std::mem::take(&mut self.apdu);
            ended.push(Ended::Apdu(hdlc::strip_llc(&apdu).map(<[u8]>::to_vec).unwrap_or(apdu)));
        }
    }

    fn wrapper(&mut self, octet: u8, ended: &mut Vec<Ended>) -> Role {
        match self.place {
            Place::Lost => Role::Stray,
            Place::WrapperApdu { left: 1 } => {
                self.place = Place::Outside;
                Role::LastOfApdu
            }
            Place::WrapperApdu { left } => {
                self.place = Place::WrapperApdu { left: left - 1 };
                Role::Apdu
            }
            _ => {
                self.frame.push(octet);
                self.place = Place::Flag;
                if let Ok(header) = <[u8; wrapper::HEADER]>::try_from(&*self.frame) {
                    self.end_of_header(header, ended);
                }
                Role::Frame
            }
        }
    }

    fn end_of_header(&mut self, header: [u8; wrapper::HEADER], ended: &mut Vec<Ended>) {
        let [v1, v0, s1, s0, d1, d0, l1, l0] = header;
        let [version, source, destination, length] =
            [[v1, v0], [s1, s0], [d1, d0], [l1, l0]].map(u16::from_be_bytes);
        self.frame.clear();
        self.apdu.clear();
        if version == 1 && length > 0 {
            self.place = Place::WrapperApdu { left: usize::from(length) };
            ended.push(Ended::Frame(format!("from wPort {source} to {destination}, {length} octets")));
        } else {
            self.place = Place::Lost;
            ended.push(Ended::Frame(format!("no wrapper header: version {version}, length {length}")));
        }
    }
}

fn in_words(frame: &Frame<'_>) -> String {
    let kind = match frame.control {
        Control::Information { send, receive, .. } => format!("I S{} R{}", send.value(), receive.value()),
        Control::ReceiveReady { receive, .. } => format!("RR R{}", receive.value()),
        Control::ReceiveNotReady { receive, .. } => format!("RNR R{}", receive.value()),
        Control::SetNormalResponseMode { .. } => "SNRM".to_owned(),
        Control::Disconnect { .. } => "DISC".to_owned(),
        Control::UnnumberedAcknowledge { .. } => "UA".to_owned(),
        Control::DisconnectedMode { .. } => "DM".to_owned(),
        Control::FrameReject { .. } => "FRMR".to_owned(),
        Control::UnnumberedInformation { .. } => "UI".to_owned(),
    };
    let poll = if frame.control.poll() { " P" } else { "" };
    let (from, to) = (Hex(frame.source.as_bytes()), Hex(frame.destination.as_bytes()));
    let segmented = if frame.segmented { ", segmented" } else { "" };
    format!("{kind}{poll} from {from} to {to}, {} octets{segmented}", frame.information.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::hdlc::{ClientAddress, ServerAddress};

    const AARQ: &[u8] = b"\xe6\xe6\x00\x60\x20\xa1\x09\x06\x07\x60\x85\x74\x05\x08\x01\x01\x8a\x02\x07\x80\xac\x0a\x80\x08secret!!\xbe\x01\x00";

    fn frame(control: Control, segmented: bool, information: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let destination = ServerAddress::new(1, None, None).unwrap().encode();
        let source = ClientAddress::new(16).unwrap().encode();
        Frame { segmented, destination, source, control, information }.encode(&mut out).unwrap();
        out
    }

    fn information(number: u8, segmented: bool, octets: &[u8]) -> Vec<u8> {
        let (send, receive) = (Sequence::new(number), Sequence::new(0));
        frame(Control::Information { send, receive, poll: true }, segmented, octets)
    }

    /// Scans in pieces of `piece` octets.
    fn scan(framing: Framing, octets: &[u8], piece: usize) -> (Vec<u8>, Vec<String>, Vec<Vec<u8>>) {
        let (mut scanner, mut shown, mut ended) = (Scanner::default(), Vec::new(), Vec::new());
        for piece in octets.chunks(piece) {
            scanner.scan(framing, piece, &mut shown, &mut ended);
        }
        assert_eq!(shown.len(), octets.len());
        let (mut frames, mut apdus) = (Vec::new(), Vec::new());
        for ended in ended {
            match ended {
                Ended::Frame(frame) => frames.push(frame),
                Ended::Apdu(apdu) => apdus.push(apdu),
            }
        }
        (shown, frames, apdus)
    }

    fn says_no_secret(octets: &[u8]) -> bool {
        !octets.windows(2).any(|pair| b"secret!!".windows(2).any(|part| part == pair))
    }

    #[test]
    fn frames_and_apdus_are_found_and_passwords_masked() {
        let line =
            [frame(Control::SNRM, false, b""), information(0, false, AARQ), frame(Control::DISC, false, b"")];
        for piece in [1, 7, 1000] {
            let (shown, frames, apdus) = scan(Framing::Hdlc, &line.concat(), piece);
            assert_eq!(
                frames,
                [
                    "SNRM P from 21 to 03, 0 octets",
                    "I S0 R0 P from 21 to 03, 35 octets",
                    "DISC P from 21 to 03, 0 octets"
                ]
            );
            assert!(says_no_secret(&shown));
            let expected = AARQ[3..].to_vec();
            let at = expected.windows(8).position(|window| window == b"secret!!").unwrap();
            assert_eq!(apdus, [[&expected[..at], b"********", &expected[at + 8..]].concat()]);
        }
    }

    #[test]
    fn a_password_in_segments_that_are_repeated_is_masked() {
        for cut in 1..AARQ.len() {
            let (first, second) = AARQ.split_at(cut);
            let line = [
                information(0, true, first),
                information(0, true, first),
                information(1, false, second),
                information(1, false, second),
            ];
            let (shown, frames, apdus) = scan(Framing::Hdlc, &line.concat(), 1000);
            assert!(says_no_secret(&shown), "cut at {cut}");
            assert_eq!(frames.iter().filter(|frame| frame.ends_with("repeated")).count(), 2);
            assert_eq!(apdus.len(), 1);
            assert!(apdus[0].len() == AARQ.len() - 3 && says_no_secret(&apdus[0]));
        }
    }

    #[test]
    fn noise_and_damage_are_passed_over() {
        let mut damaged = information(0, false, b"\xe6\xe6\x00\xc0\x01");
        damaged[10] ^= 1;
        let line = [b"\x00\x7e\x33\xff\x7e\xa0\x01".to_vec(), damaged, information(0, false, AARQ)];
        let (shown, frames, apdus) = scan(Framing::Hdlc, &line.concat(), 3);
        assert!(frames[0].starts_with("damaged: "), "{frames:?}");
        assert_eq!((frames.len(), apdus.len()), (2, 1));
        assert!(says_no_secret(&shown));
        // Out of frames altogether, passwords are masked all the same.
        assert!(says_no_secret(&scan(Framing::Hdlc, AARQ, 5).0));
    }

    #[test]
    fn the_wrapper_is_followed() {
        let apdu = &AARQ[3..];
        let header = [0, 1, 0, 16, 0, 1, 0, u8::try_from(apdu.len()).unwrap()];
        let line = [&header[..], apdu, &[0, 1, 0, 16, 0, 1, 0, 1, 0x63], b"\x00\x02rubbish"].concat();
        for piece in [1, 1000] {
            let (shown, frames, apdus) = scan(Framing::Wrapper, &line, piece);
            assert!(says_no_secret(&shown));
            assert_eq!(frames[..2], ["from wPort 16 to 1, 32 octets", "from wPort 16 to 1, 1 octets"]);
            assert!(frames[2].starts_with("no wrapper header: version 2"));
            assert_eq!((apdus[0].len(), &apdus[1][..]), (apdu.len(), &b"\x63"[..]));
        }
    }
}
