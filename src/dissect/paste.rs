//! From what someone pasted to runs of bytes: lines of logs and dumps, joined where a frame goes over several.

mod line;

use serde::Serialize;

use super::framing::{Extent, extent};
use line::{Form, Line};

/// Bytes that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Number of its first line, from 1.
    pub(super) line: usize,
    pub(super) direction: Option<Direction>,
    /// What stood before the bytes.
    pub(super) label: Option<String>,
    pub(super) bytes: Vec<u8>,
}

/// Who sent a frame, as the log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Client to server.
    Client,
    /// Server to client.
    Server,
}

/// Text in which there are no bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ignored {
    /// Number of the line, from 1.
    pub line: usize,
    /// The text, cut short, and without long hexadecimal numbers.
    pub text: String,
    /// Why it was ignored.
    pub reason: &'static str,
}

/// Bytes that may be spent on trying whether lines belong together.
const TRIALS: usize = 4 << 20;

/// The runs of bytes in a text, and what is none.
pub(super) fn read(text: &str) -> (Vec<Run>, Vec<Ignored>) {
    let mut ignored = Vec::new();
    let mut blocks: Vec<Vec<Run>> = vec![Vec::new()];
    let mut dump: Option<(Run, usize)> = None;
    for (index, raw) in text.lines().enumerate() {
        let number = index.saturating_add(1);
        let next_offset = dump.as_ref().map(|(run, start)| start.saturating_add(run.bytes.len()));
        let Line { form, label, direction, rest } = line::parse(raw, next_offset);
        if let Some((text, reason)) = rest {
            ignored.push(Ignored { line: number, text: scrubbed(&text), reason });
        }
        let label = label.map(|label| scrubbed(&label));
        match form {
            Form::Nothing => {
                // A blank line, or one of prose, ends what stands before it.
                blocks.push(dump.take().map(|(run, _)| run).into_iter().collect());
                blocks.push(Vec::new());
            }
            Form::Dump { offset, bytes } => match &mut dump {
                Some((run, _)) if next_offset == Some(offset) => run.bytes.extend_from_slice(&bytes),
                _ => {
                    let done = dump.replace((Run { line: number, direction, label, bytes }, offset));
                    blocks.push(done.map(|(run, _)| run).into_iter().collect());
                }
            },
            Form::Bytes(bytes) => {
                if let Some((run, _)) = dump.take() {
                    blocks.push(vec![run]);
                    blocks.push(Vec::new());
                }
                let run = Run { line: number, direction, label, bytes };
                match blocks.last_mut() {
                    Some(block) => block.push(run),
                    None => blocks.push(vec![run]),
                }
            }
        }
    }
    blocks.push(dump.map(|(run, _)| run).into_iter().collect());
    let mut trials = TRIALS;
    (blocks.iter().flat_map(|block| joined(block, &mut trials)).collect(), ignored)
}

/// Puts lines together that only together are a frame.
fn joined(block: &[Run], trials: &mut usize) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut at = 0usize;
    while let Some(first) = block.get(at) {
        let used = together(block.get(at..).unwrap_or_default(), trials);
        let mut run = first.clone();
        for more in block.iter().skip(at.saturating_add(1)).take(used.saturating_sub(1)) {
            run.bytes.extend_from_slice(&more.bytes);
        }
        runs.push(run);
        at = at.saturating_add(used);
    }
    runs
}

/// How many of the lines make one whole; 1 where none do.
fn together(lines: &[Run], trials: &mut usize) -> usize {
    let Some(first) = lines.first() else { return 1 };
    let mut bytes = first.bytes.clone();
    for used in 1..=lines.len() {
        if used > 1 {
            let Some(left) = trials.checked_sub(bytes.len()) else { return 1 };
            *trials = left;
        }
        match extent(&bytes) {
            Extent::Whole => return used,
            Extent::Strange => return 1,
            Extent::CutOff => {}
        }
        match lines.get(used) {
            // A line of a log with a label of its own is not the middle of a frame.
            Some(next) if next.label.is_none() && next.direction.is_none() => {
                bytes.extend_from_slice(&next.bytes);
            }
            _ => return 1,
        }
    }
    1
}

/// Longest text that is repeated.
const LONGEST: usize = 80;
/// Hexadecimal digits in a row that may be a key.
const KEY_LIKE: usize = 16;

/// Cut short, and without what may be a key.
fn scrubbed(text: &str) -> String {
    let mut result = String::new();
    let mut digits = String::new();
    let flush = |digits: &mut String, result: &mut String| {
        if digits.len() >= KEY_LIKE {
            result.push('…');
        } else {
            result.push_str(digits);
        }
        digits.clear();
    };
    for character in text.trim().chars().take(4 * LONGEST) {
        if character.is_ascii_hexdigit() {
            digits.push(character);
        } else {
            flush(&mut digits, &mut result);
            result.push(if character.is_control() { ' ' } else { character });
        }
    }
    flush(&mut digits, &mut result);
    if result.chars().count() > LONGEST {
        result = result.chars().take(LONGEST).chain(['…']).collect();
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(text: &str) -> Vec<(usize, String)> {
        read(text).0.iter().map(|run| (run.line, super::super::node::hex(&run.bytes))).collect()
    }

    const SNRM: &str = "7ea0070321930f017e";

    #[test]
    fn the_ways_to_write_bytes() {
        for text in [
            "7EA0070321930F017E",
            "7e a0 07 03 21 93 0f 01 7e",
            "7E:A0:07:03:21:93:0F:01:7E",
            "7E-A0-07-03-21-93-0F-01-7E",
            "0x7E,0xA0,0x07,0x03,0x21,0x93,0x0F,0x01,0x7E",
            "0x7E, 0xA0, 0x7, 0x3, 0x21, 0x93, 0xf, 0x1, 0x7E",
            "const uint8_t snrm[9] = { 0x7E, 0xA0, 0x07, 0x03, 0x21, 0x93, 0x0F, 0x01, 0x7E };",
            "[0x7E, 0xA0, 0x07, 0x03,\n 0x21, 0x93, 0x0F, 0x01, 0x7E]",
            "b'~\\xa0\\x07\\x03!\\x93\\x0f\\x01~'",
            "frame = b\"\\x7e\\xa0\\x07\\x03\\x21\\x93\\x0f\\x01\\x7e\"",
            "\\x7e\\xa0\\x07\\x03\\x21\\x93\\x0f\\x01\\x7e",
            "\"7EA0070321930F017E\"",
            "{\"frame\": \"7EA0070321930F017E\", \"n\": 1}",
            "7EA00703 21930F01 7E",
            "7E A0 07 03\n21 93 0F 01 7E",
            "7Eh A0h 07h 03h 21h 93h 0Fh 01h 7Eh",
            "TX: 7E A0 07 03 21 93 0F 01 7E",
            "TX: 12:34:56\t7E A0 07 03 21 93 0F 01 7E",
            "12:34:56 TX:\t7EA0070321930F017E",
            "2024-01-31 12:34:56.123 -> 7E A0 07 03 21 93 0F 01 7E",
            "2024-01-31T12:34:56,123456Z DEBUG hdlc: sending 7e a0 07 03 21 93 0f 01 7e (9 bytes)",
            "31.01.2024 12:34:56 >> 7E A0 07 03 21 93 0F 01 7E",
            "RX (24) 7E A0 07 03 21 93 0F 01 7E",
            "[12:34] send[9]: 7E A0 07 03 21 93 0F 01 7E",
            "0000   7e a0 07 03 21 93 0f 01 7e                        ~...!...~",
            "0000  7e a0 07 03 21 93 0f 01  7e                       ~...!... ~",
            "00000000  7e a0 07 03 21 93 0f 01  7e                       |~...!...~|\n00000009",
            "00000000: 7ea0 0703 2193 0f01 7e                   ~...!...~",
            "\t0x0000:  7ea0 0703 2193 0f01 7e",
            "7E A0 07 03 21 93 0F 01 7E   ~ ad be ef ~",
            "/* SNRM */ 0x7e, 0xa0, 0x07, 0x03, 0x21, 0x93, 0x0f, 0x01, 0x7e // be it",
        ] {
            assert_eq!(runs(text), [(1, SNRM.to_owned())], "{text}");
        }
    }

    #[test]
    fn dumps_of_several_lines() {
        let dump = "0000   c4 01 c1 00 09 14 00 01 02 03 04 05 06 07 08 09   ................\n\
                    0010   0a 0b 0c 0d 0e 0f 10 11 12 13                     .......... ad be";
        assert_eq!(runs(dump), [(1, "c401c1000914000102030405060708090a0b0c0d0e0f10111213".to_owned())]);
        let two = format!("{dump}\n\n0000   c0 02 c1 00 00 00 01   .......");
        assert_eq!(runs(&two).len(), 2);
    }

    #[test]
    fn directions_and_labels() {
        let (runs, _) =
            read("TX: 12:00:01\tC0 01 C1 00 08 00 00 01 00 00 FF 02 00\nRX: 12:00:02\tC4 01 C1 00 00");
        let seen: Vec<_> = runs.iter().map(|run| (run.direction, run.label.as_deref())).collect();
        assert_eq!(
            seen,
            [
                (Some(Direction::Client), Some("TX: 12:00:01")),
                (Some(Direction::Server), Some("RX: 12:00:02"))
            ]
        );
    }

    #[test]
    fn prose_is_no_bytes() {
        let text = "Connecting to 10.0.0.1:4059\nserial 12345678 added, face it\n2024-01-31 12:34:56\nbe\n\
                    C4 01 C1 00 00\nkey 000102030405060708090A0B0C0D0E0F";
        let (runs, ignored) = read(text);
        assert_eq!(runs.len(), 1, "{runs:?}");
        assert_eq!(runs[0].line, 5);
        let lines: Vec<_> = ignored.iter().map(|ignored| ignored.line).collect();
        assert_eq!(lines, [1, 2, 3, 4, 6]);
        assert!(ignored.iter().all(|ignored| !ignored.text.contains("0A0B0C")), "{ignored:?}");
    }

    #[test]
    fn one_frame_a_line_stays_apart() {
        assert_eq!(runs("C0 02 C1 00 00 00 01\nC0 02 C1 00 00 00 02").len(), 2);
        assert_eq!(runs(&format!("{SNRM}\n{SNRM}")).len(), 2);
        // The first is cut off, and no line after it completes it.
        assert_eq!(runs("C4 01 C1 00 09 0C 07 E8\nC0 02 C1 00 00 00 02").len(), 2);
    }
}
