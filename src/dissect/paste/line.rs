//! One line: which of its words are bytes, and what the others say.

use super::Direction;
use crate::wire::xdlms::tag;

/// A line taken apart.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) form: Form,
    /// What stands before the bytes.
    pub(super) label: Option<String>,
    pub(super) direction: Option<Direction>,
    /// What was not used, and why.
    pub(super) rest: Option<(String, &'static str)>,
}

#[derive(Debug)]
pub(super) enum Form {
    Nothing,
    Bytes(Vec<u8>),
    /// A line of a hex dump.
    Dump {
        offset: usize,
        bytes: Vec<u8>,
    },
}

const NO_BYTES: &str = "no bytes in hexadecimal";

/// Takes a line apart. A dump before it would go on at `next_offset`.
pub(super) fn parse(raw: &str, next_offset: Option<usize>) -> Line {
    if raw.trim().is_empty() {
        return Line { form: Form::Nothing, label: None, direction: None, rest: None };
    }
    if let Some((prefix, bytes)) = literal(raw) {
        return labelled(prefix, Form::Bytes(bytes), None);
    }
    let unescaped = raw.replace("\\x", " ");
    if let Some(at) = text_message(&unescaped) {
        let (prefix, message) = unescaped.split_at(at);
        let bytes = [message.trim_end().as_bytes(), b"\r\n"].concat();
        return labelled(prefix, Form::Bytes(bytes), None);
    }
    let words = words(&unescaped);
    if let Some(dump) = dump(&unescaped, &words, next_offset) {
        return Line { form: dump, label: None, direction: None, rest: None };
    }
    bytes_among(&unescaped, &words)
}

fn labelled(prefix: &str, form: Form, rest: Option<(String, &'static str)>) -> Line {
    let label = prefix.trim_matches(|c: char| c.is_whitespace() || "([{\"'=".contains(c));
    let label = (!label.is_empty()).then(|| label.to_owned());
    Line { form, direction: label.as_deref().and_then(direction), label, rest }
}

/// The first word that says who speaks.
fn direction(label: &str) -> Option<Direction> {
    let arrows = [
        ("->", Direction::Client),
        (">>", Direction::Client),
        ("<-", Direction::Server),
        ("<<", Direction::Server),
    ];
    let arrow = arrows.iter().filter_map(|(arrow, who)| Some((label.find(arrow)?, *who)));
    let mut at = 0usize;
    let words = label.split(|c: char| !c.is_ascii_alphabetic()).filter_map(|word| {
        let start = at;
        at = at.saturating_add(word.len()).saturating_add(1);
        let who = match word.to_ascii_lowercase().as_str() {
            "tx" | "send" | "sending" | "sent" | "request" | "client" | "out" | "write" => Direction::Client,
            "rx" | "recv" | "receive" | "received" | "receiving" | "response" | "reply" | "server"
            | "meter" | "in" | "read" | "answer" => Direction::Server,
            _ => return None,
        };
        Some((start, who))
    });
    words.chain(arrow).min_by_key(|(at, _)| *at).map(|(_, who)| who)
}

/// A literal of Python or C with escapes: its bytes, and what stands before it.
fn literal(raw: &str) -> Option<(&str, Vec<u8>)> {
    let starts = raw.match_indices(['"', '\'']).filter(|(at, _)| {
        let after = raw.get(at.saturating_add(1)..).unwrap_or_default();
        let before = raw.get(..*at).unwrap_or_default();
        let is_bytes =
            before.ends_with('b') && !before.trim_end_matches('b').ends_with(char::is_alphanumeric);
        is_bytes || after.starts_with("\\x")
    });
    for (at, quote) in starts {
        let prefix = raw.get(..at)?;
        let prefix = prefix.strip_suffix('b').unwrap_or(prefix);
        let body = raw.get(at.saturating_add(1)..)?;
        if let Some(bytes) = unescape(body, quote.chars().next()?) {
            return Some((prefix.trim_end_matches("bytearray(").trim_end_matches("bytes("), bytes));
        }
    }
    None
}

/// The bytes up to the closing quote; `None` where there is none, or nothing before it.
fn unescape(body: &str, quote: char) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut characters = body.chars();
    loop {
        match characters.next()? {
            c if c == quote => return (!bytes.is_empty()).then_some(bytes),
            '\\' => match characters.next()? {
                'x' => {
                    let high = characters.next()?.to_digit(16)?;
                    let low = characters.next()?.to_digit(16)?;
                    bytes.push(u8::try_from(high << 4 | low).ok()?);
                }
                'n' => bytes.push(b'\n'),
                'r' => bytes.push(b'\r'),
                't' => bytes.push(b'\t'),
                '0' => bytes.push(0),
                'a' => bytes.push(7),
                'b' => bytes.push(8),
                'v' => bytes.push(11),
                'f' => bytes.push(12),
                c => bytes.push(u8::try_from(c).ok()?),
            },
            c => bytes.push(u8::try_from(c).ok().filter(u8::is_ascii)?),
        }
    }
}

/// Where a sign-on message of IEC 62056-21 begins that was logged as text.
fn text_message(line: &str) -> Option<usize> {
    let at = line.find('/')?;
    let before = line.get(..at)?;
    let message = line.get(at..)?.trim_end();
    let is_request = message.starts_with("/?") && message.ends_with('!');
    let is_identification = matches!(
        message.as_bytes(),
        [b'/', a, b, c, b'0'..=b'9', _, ..] if [a, b, c].iter().all(|letter| letter.is_ascii_alphabetic())
    );
    let is_start = before.is_empty() || before.ends_with(char::is_whitespace);
    (is_start && (is_request || is_identification)).then_some(at)
}

/// A word of a line, with what it is.
#[derive(Debug)]
struct Word<'a> {
    text: &'a str,
    start: usize,
    end: usize,
    kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Hex(Vec<u8>),
    Other,
}

/// Characters that separate words and mean nothing else.
fn is_separator(c: char) -> bool {
    c.is_whitespace() || ",;{}[]()\"'`=|<>*".contains(c)
}

fn words(line: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut at = 0usize;
    while let Some(rest) = line.get(at..).filter(|rest| !rest.is_empty()) {
        if let Some(c) = rest.chars().next().filter(|&c| is_separator(c)) {
            at = at.saturating_add(c.len_utf8());
            continue;
        }
        let length = match stamp(rest) {
            Some(length) => length,
            None => rest.find(is_separator).unwrap_or(rest.len()),
        };
        let text = rest.get(..length).unwrap_or(rest);
        let end = at.saturating_add(text.len());
        if stamp(rest).is_some() {
            words.push(Word { text, start: at, end, kind: Kind::Other });
        } else {
            push_word(&mut words, text, at);
        }
        at = end.max(at.saturating_add(1));
    }
    words
}

/// A word, or two where a label stands before bytes without a space.
fn push_word<'a>(words: &mut Vec<Word<'a>>, text: &'a str, start: usize) {
    let end = start.saturating_add(text.len());
    if let Some(bytes) = hex_bytes(text) {
        words.push(Word { text, start, end, kind: Kind::Hex(bytes) });
        return;
    }
    if let Some((label, rest)) = text.rsplit_once(':')
        && let Some(bytes) = hex_bytes(rest)
    {
        let middle = start.saturating_add(label.len()).saturating_add(1);
        let label = text.get(..label.len().saturating_add(1)).unwrap_or(label);
        words.push(Word { text: label, start, end: middle, kind: Kind::Other });
        words.push(Word { text: rest, start: middle, end, kind: Kind::Hex(bytes) });
        return;
    }
    words.push(Word { text, start, end, kind: Kind::Other });
}

/// Length of a date, a time or both at the start of `text`: they look much like bytes.
fn stamp(text: &str) -> Option<usize> {
    let digits = |text: &str, pattern: &str| {
        // In a pattern, 9 is a digit; anything else is itself.
        let matches = text.len() >= pattern.len()
            && text.bytes().zip(pattern.bytes()).all(|(found, wanted)| match wanted {
                b'9' => found.is_ascii_digit(),
                _ => found == wanted,
            });
        matches.then_some(pattern.len())
    };
    let first = |patterns: &[&str]| patterns.iter().find_map(|pattern| digits(text, pattern));
    let date = first(&["9999-99-99", "9999/99/99", "9999.99.99", "99.99.9999", "99/99/9999", "99-99-9999"]);
    let after_date = date.unwrap_or(0);
    let between = match text.as_bytes().get(after_date) {
        Some(b'T' | b' ' | b'_') if date.is_some() => 1,
        _ => 0,
    };
    let time_at = after_date.saturating_add(between);
    let time = text.get(time_at..).and_then(|text| {
        let length =
            ["99:99:99", "9:99:99", "99:99", "9:99"].iter().find_map(|pattern| digits(text, pattern))?;
        let rest = text.get(length..)?;
        let fraction = match rest.as_bytes() {
            [b'.' | b',', b'0'..=b'9', ..] => {
                rest.bytes().skip(1).take_while(u8::is_ascii_digit).count().saturating_add(1)
            }
            _ => 0,
        };
        let zone = rest.get(fraction..).map_or(0, |zone| {
            ["Z", "+99:99", "-99:99", "+9999", "-9999"]
                .iter()
                .find_map(|pattern| digits(zone, pattern))
                .unwrap_or(0)
        });
        Some(length.saturating_add(fraction).saturating_add(zone))
    });
    let length = match (date, time) {
        (_, Some(time)) => time_at.saturating_add(time),
        (Some(date), None) => date,
        (None, None) => return None,
    };
    // Bytes with colons between them go on.
    let goes_on =
        text.get(length..)?.starts_with(|c: char| c.is_ascii_alphanumeric() || c == ':' || c == '-');
    (!goes_on && is_time_of_day(text.get(time_at..length)?)).then_some(length)
}

fn is_time_of_day(time: &str) -> bool {
    let part =
        |index| time.split([':', '.', ',', 'Z', '+']).nth(index).and_then(|part| part.parse::<u8>().ok());
    time.is_empty() || part(0).is_some_and(|hour| hour < 24) && part(1).is_some_and(|minute| minute < 60)
}

/// The bytes that a word writes.
fn hex_bytes(word: &str) -> Option<Vec<u8>> {
    if let Some(digits) = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        let padded = if digits.len() == 1 { format!("0{digits}") } else { digits.to_owned() };
        return pairs(&padded);
    }
    if let Some(digits) = word.strip_suffix(['h', 'H']).filter(|digits| digits.len() == 2) {
        return pairs(digits);
    }
    for separator in [':', '-', '.'] {
        let trimmed = word.trim_matches(separator);
        if trimmed.contains(separator) {
            let parts = trimmed.split(separator).map(|part| if part.len() == 2 { pairs(part) } else { None });
            return parts.collect::<Option<Vec<_>>>().map(|parts| parts.concat());
        }
    }
    pairs(word)
}

fn pairs(digits: &str) -> Option<Vec<u8>> {
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return None;
    }
    let digits: Option<Vec<u8>> =
        digits.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    Some(digits?.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

/// The longest line of a dump in bytes.
const DUMP_WIDTH: usize = 32;

/// A line with its offset before the bytes, and perhaps text behind them.
fn dump(line: &str, words: &[Word<'_>], next_offset: Option<usize>) -> Option<Form> {
    let (first, rest) = words.split_first()?;
    let has_colon = first.text.ends_with(':');
    let digits = first.text.trim_end_matches(':');
    let digits = digits.strip_prefix("0x").unwrap_or(digits);
    if !matches!(digits.len(), 4..=8) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let offset = usize::from_str_radix(digits, 16).ok()?;
    // The last line of a dump says where it ends.
    let is_end = rest.is_empty() && next_offset == Some(offset);
    if is_end {
        return Some(Form::Dump { offset, bytes: Vec::new() });
    }
    let second = rest.first()?;
    let gap = |from: &Word<'_>, to: &Word<'_>| line.get(from.end..to.start).map_or(0, str::len);
    let is_apart = has_colon || gap(first, second) >= 2 || line.get(first.end..second.start)? == "\t";
    let is_continued = next_offset == Some(offset);
    if !(is_continued || offset % 16 == 0 && (is_apart || second.text.len() == 2 && offset == 0)) {
        return None;
    }
    let mut bytes: Vec<u8> = Vec::new();
    let mut last = first;
    for word in rest {
        let Kind::Hex(more) = &word.kind else { break };
        let wide = !bytes.is_empty() && gap(last, word) >= 2 && !(bytes.len() == 8 && gap(last, word) == 2);
        let is_text = line.get(last.end..word.start).is_some_and(|between| between.contains('|'));
        if wide || is_text || bytes.len().saturating_add(more.len()) > DUMP_WIDTH {
            break;
        }
        bytes.extend_from_slice(more);
        last = word;
    }
    (!bytes.is_empty()).then_some(Form::Dump { offset, bytes })
}

/// The longest stretch of bytes in a line of anything.
fn bytes_among(line: &str, words: &[Word<'_>]) -> Line {
    let nothing = |reason| Line {
        form: Form::Nothing,
        label: None,
        direction: None,
        rest: Some((line.to_owned(), reason)),
    };
    let prefixed = words.iter().filter(|word| is_prefixed(word)).count() >= 2;
    let stretches = stretches(line, words, prefixed);
    let Some(best) = stretches.iter().max_by_key(|stretch| stretch.bytes.len()) else {
        let is_odd = words
            .iter()
            .any(|word| word.text.len() >= 7 && word.text.bytes().all(|digit| digit.is_ascii_hexdigit()));
        return nothing(if is_odd { "an odd number of hexadecimal digits" } else { NO_BYTES });
    };
    let is_alone = words.iter().all(|word| word.kind != Kind::Other || is_prose_free(word.text));
    let prefix = line.get(..best.start).unwrap_or_default();
    let has_marker = direction(prefix).is_some();
    let believable = if is_alone {
        // `be`, `added`: words, not bytes.
        best.bytes.len() > 1 || line.bytes().any(|c| c.is_ascii_digit())
    } else {
        prefixed || has_marker && best.bytes.len() >= 2 || opens_frame(&best.bytes)
    };
    if !believable {
        return nothing(NO_BYTES);
    }
    let behind = line.get(best.end..).unwrap_or_default().trim();
    let unused = (behind.bytes().any(|c| c.is_ascii_hexdigit()) && stretches.len() > 1)
        .then(|| (behind.to_owned(), "behind the bytes"));
    labelled(prefix, Form::Bytes(best.bytes.clone()), unused)
}

fn is_prefixed(word: &Word<'_>) -> bool {
    matches!(word.kind, Kind::Hex(_)) && (word.text.starts_with("0x") || word.text.starts_with("0X"))
}

/// Punctuation only.
fn is_prose_free(text: &str) -> bool {
    !text.chars().any(char::is_alphanumeric)
}

/// Whether bytes in the middle of prose may be a frame or an APDU: prose is full of words like `face` and of numbers.
fn opens_frame(bytes: &[u8]) -> bool {
    match bytes {
        [0x7E, 0xA0..=0xAF, ..] | [0xE6, 0xE6 | 0xE7, 0x00, ..] => true,
        [0x00, 0x01, _, _, _, _, high, low, apdu @ ..] => {
            usize::from(u16::from_be_bytes([*high, *low])) <= apdu.len()
        }
        [0x68, a, b, 0x68, ..] => a == b,
        [tag, _, _, _, _, ..] => {
            matches!(*tag, 0x60..=0x63 | 0x0F | 0xC0..=0xC5 | 0xC7 | 0xD8..=0xDF | 0xE0)
                || tag::plain_of(*tag).is_some_and(|plain| plain >= 0xC0)
        }
        _ => false,
    }
}

struct Stretch {
    start: usize,
    end: usize,
    bytes: Vec<u8>,
}

/// Runs of bytes with no other word between them.
fn stretches(line: &str, words: &[Word<'_>], prefixed: bool) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    let mut open = false;
    let mut first_gap = None;
    for word in words {
        let bytes = match &word.kind {
            Kind::Hex(bytes) if !prefixed || is_prefixed(word) => bytes,
            _ => {
                open = false;
                continue;
            }
        };
        let between = stretches.last().and_then(|last| line.get(last.end..word.start)).unwrap_or_default();
        // `(24) 7E A0`: a count in brackets is no byte.
        open &= !between.contains([')', ']']);
        let gap = between.len();
        match stretches.last_mut() {
            // A wide gap where there was none before: the text column of a dump.
            Some(last) if open && (gap < 3 || first_gap.is_some_and(|first| gap <= first)) => {
                first_gap = first_gap.or(Some(gap));
                last.end = word.end;
                last.bytes.extend_from_slice(bytes);
            }
            Some(last) if open && first_gap.is_none() && last.bytes.len() == 1 => {
                first_gap = Some(gap);
                last.end = word.end;
                last.bytes.extend_from_slice(bytes);
            }
            _ => {
                stretches.push(Stretch { start: word.start, end: word.end, bytes: bytes.clone() });
                open = true;
                first_gap = None;
            }
        }
    }
    stretches
}
