//! The format of one file of the log, and what can be read of a file that a crash or a bad medium has left.
//!
//! ```text
//! segment = header record*
//! header  = "dlmsobx" version:u8(1)  first:u64  crc:u32 (of the 16 octets before it)
//! record  = length:u32 (of the payload)  crc:u32 (of id and payload)  id:u64  payload
//! payload = stored:i64 (ms since 1970)  retain:u8 (0, 1)  topic_length:u16  topic (UTF-8)  message
//! ```
//! All numbers are little-endian. Ids rise without exception within a file and from file to file, and none is below
//! the `first` of its file. That order guards against old blocks which a file system may show after a power cut:
//! they carry valid checksums, but lower ids.

use bytes::Bytes;

use super::{Record, RecordId, Retain};

pub(super) const HEADER: usize = 20;

/// What a record has before its payload.
const PREFIX: usize = 16;

/// The least payload: an empty message on a topic without a name.
const FIXED: usize = 11;

const MAGIC: [u8; 8] = *b"dlmsobx\x01";

/// Octets that the search for records behind a damage may check, so that no content makes it slow.
const SEARCH_BUDGET: usize = 64 << 20;

/// A record as it lies on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) id: RecordId,
    /// Milliseconds since 1970 by the gateway's clock, right or wrong.
    pub(super) stored_ms: i64,
    pub(super) record: Record,
}

/// What a file holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scan {
    /// The good records, each with its offset and length.
    pub(super) records: Vec<(Stored, usize, usize)>,
    /// Length of the part that holds them, header included; 0: not even the header is good.
    pub(super) good: usize,
    pub(super) end: End,
}

/// What follows the good part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing.
    Clean,
    /// The remains of a write that a crash or a power cut has interrupted. Nothing of it was ever promised.
    Torn,
    /// Good records follow the bad part: what lay between them was lost by the medium.
    Damaged,
}

pub(super) fn header(first: RecordId) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&MAGIC);
    header[8..16].copy_from_slice(&first.0.to_le_bytes());
    let crc = crc32fast::hash(&header[..16]);
    header[16..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Appends a record to `out`; `None` where its topic or its payload is longer than the format can say.
pub(super) fn encode(id: RecordId, stored_ms: i64, record: &Record, out: &mut Vec<u8>) -> Option<usize> {
    let topic_length = u16::try_from(record.topic.len()).ok()?;
    let length = FIXED + record.topic.len() + record.payload.len();
    let start = out.len();
    out.reserve(PREFIX + length);
    out.extend_from_slice(&u32::try_from(length).ok()?.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&id.0.to_le_bytes());
    out.extend_from_slice(&stored_ms.to_le_bytes());
    out.push(u8::from(record.retain == Retain::Retained));
    out.extend_from_slice(&topic_length.to_le_bytes());
    out.extend_from_slice(record.topic.as_bytes());
    out.extend_from_slice(&record.payload);
    let crc = crc32fast::hash(&out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    Some(out.len() - start)
}

/// The record at the beginning of `bytes`, and its length; `None` where there is no good one.
pub(super) fn decode(bytes: &[u8]) -> Option<(Stored, usize)> {
    let mut no_budget = usize::MAX;
    let (checked, length) = check(bytes, &mut no_budget)?;
    let (id, rest) = split_u64(checked)?;
    let (stored, rest) = split_u64(rest)?;
    let (&retain, rest) = rest.split_first()?;
    let (topic_length, rest) = rest.split_first_chunk::<2>()?;
    let (topic, payload) = rest.split_at_checked(usize::from(u16::from_le_bytes(*topic_length)))?;
    let record = Record {
        topic: std::str::from_utf8(topic).ok()?.into(),
        payload: Bytes::copy_from_slice(payload),
        retain: match retain {
            0 => Retain::Transient,
            1 => Retain::Retained,
            _ => return None,
        },
    };
    Some((Stored { id: RecordId(id), stored_ms: stored.cast_signed(), record }, length))
}

/// Id and payload of the record at the beginning of `bytes` if its checksum is right, and the record's length.
fn check<'a>(bytes: &'a [u8], budget: &mut usize) -> Option<(&'a [u8], usize)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    if length < FIXED {
        return None;
    }
    let checked = rest.get(..length.checked_add(8)?)?;
    *budget = budget.checked_sub(checked.len())?;
    (crc32fast::hash(checked) == u32::from_le_bytes(*crc)).then_some((checked, PREFIX + length))
}

/// Reads a whole file whose header must say `first`, and whose ids must be above `after`.
pub(super) fn scan(bytes: &[u8], first: RecordId, after: Option<RecordId>) -> Scan {
    let mut scan = Scan { records: Vec::new(), good: 0, end: End::Clean };
    if bytes.starts_with(&header(first)) {
        scan.good = HEADER;
    }
    let mut last = after.max(first.0.checked_sub(1).map(RecordId));
    while scan.good > 0
        && let Some((stored, length)) = decode(bytes.get(scan.good..).unwrap_or_default())
        && last.is_none_or(|last| stored.id > last)
    {
        last = Some(stored.id);
        scan.records.push((stored, scan.good, length));
        scan.good += length;
    }
    if scan.good == 0 || scan.good < bytes.len() {
        let rest = bytes.get(scan.good..).unwrap_or_default();
        scan.end = if has_record_after(rest, last) { End::Damaged } else { End::Torn };
    }
    scan
}

/// Whether a good record with an id above `last` lies anywhere in `bytes`.
fn has_record_after(bytes: &[u8], last: Option<RecordId>) -> bool {
    let mut budget = SEARCH_BUDGET;
    (0..bytes.len()).any(|at| {
        let found = bytes.get(at..).and_then(|rest| check(rest, &mut budget));
        let id = found.and_then(|(checked, _)| split_u64(checked)).map(|(id, _)| RecordId(id));
        id.is_some_and(|id| last.is_none_or(|last| id > last))
    })
}

fn split_u64(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u64) -> Record {
        let retain = if number.is_multiple_of(2) { Retain::Retained } else { Retain::Transient };
        let payload = format!(r#"{{"v":1,"seq":{number}}}"#).repeat(usize::try_from(number).unwrap() % 4);
        Record { topic: format!("g/devices/m{number}").into(), payload: payload.into(), retain }
    }

    /// Ids with gaps, and where each record ends.
    fn file() -> (Vec<u8>, Vec<(Stored, usize)>) {
        let mut bytes = header(RecordId(7)).to_vec();
        let ends = [7, 8, 11, 12, 40, 41].map(|id| {
            let stored = Stored { id: RecordId(id), stored_ms: 1_755_857_703_120, record: record(id) };
            encode(stored.id, stored.stored_ms, &stored.record, &mut bytes).unwrap();
            (stored, bytes.len())
        });
        (bytes, ends.to_vec())
    }

    fn found(scan: &Scan) -> Vec<Stored> {
        scan.records.iter().map(|(stored, ..)| stored.clone()).collect()
    }

    fn whole_before(ends: &[(Stored, usize)], cut: usize) -> Vec<Stored> {
        ends.iter().filter(|(_, end)| *end <= cut).map(|(stored, _)| stored.clone()).collect()
    }

    #[test]
    fn the_format_is_what_the_first_lines_say() {
        assert_eq!(header(RecordId(7))[..16], *b"dlmsobx\x01\x07\0\0\0\0\0\0\0");
        let mut bytes = Vec::new();
        let record = Record { topic: "t".into(), payload: "{}".into(), retain: Retain::Retained };
        assert_eq!(encode(RecordId(0x0102), 0x0304, &record, &mut bytes), Some(30));
        assert_eq!(bytes[..4], [14, 0, 0, 0]);
        assert_eq!(bytes[4..8], crc32fast::hash(&bytes[8..]).to_le_bytes());
        assert_eq!(bytes[8..], *b"\x02\x01\0\0\0\0\0\0\x04\x03\0\0\0\0\0\0\x01\x01\0t{}");
        let (stored, length) = decode(&bytes).unwrap();
        assert_eq!(
            (stored.record, stored.id, stored.stored_ms, length),
            (record, RecordId(0x0102), 0x0304, 30)
        );
    }

    #[test]
    fn a_topic_longer_than_the_format_allows_is_not_encoded() {
        let record = Record { topic: "t".repeat(65_536).into(), ..record(1) };
        assert_eq!(encode(RecordId(1), 0, &record, &mut Vec::new()), None);
    }

    #[test]
    fn a_whole_file_is_read() {
        let (bytes, ends) = file();
        let scan = scan(&bytes, RecordId(7), Some(RecordId(6)));
        assert_eq!(scan.end, End::Clean);
        assert_eq!(scan.good, bytes.len());
        assert_eq!(found(&scan), whole_before(&ends, bytes.len()));
    }

    #[test]
    fn a_file_cut_at_any_offset_keeps_every_whole_record_before_the_cut_and_no_other() {
        let (bytes, ends) = file();
        let mut random = fastrand::Rng::with_seed(1);
        for cut in 0..bytes.len() {
            let wanted = whole_before(&ends, cut);
            let clean = cut == HEADER || ends.iter().any(|(_, end)| *end == cut);
            let truncated = scan(&bytes[..cut], RecordId(7), None);
            assert_eq!(found(&truncated), wanted, "truncated at {cut}");
            assert_eq!(truncated.end, if clean { End::Clean } else { End::Torn }, "truncated at {cut}");

            let mut zeroed = bytes.clone();
            zeroed[cut..].fill(0);
            // A record that ends in zeros anyway survives; none of these does, but the checksum may begin later.
            let zeroed = scan(&zeroed, RecordId(7), None);
            assert_eq!((found(&zeroed), zeroed.end), (wanted.clone(), End::Torn), "zeroed from {cut}");

            for extra in [0, 1, 100] {
                let mut garbage = bytes[..cut].to_vec();
                garbage.extend((0..bytes.len() - cut + extra).map(|_| random.u8(..)));
                let garbage = scan(&garbage, RecordId(7), None);
                assert_eq!((found(&garbage), garbage.end), (wanted.clone(), End::Torn), "garbage from {cut}");
            }
        }
    }

    #[test]
    fn a_changed_bit_anywhere_cuts_before_its_record_and_is_damage_where_records_follow() {
        let (bytes, ends) = file();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                let scan = scan(&changed, RecordId(7), None);
                let wanted = if at < HEADER { Vec::new() } else { whole_before(&ends, at) };
                assert_eq!(found(&scan), wanted, "bit {bit} of {at}");
                let is_last = at >= ends[ends.len() - 2].1;
                assert_eq!(scan.end, if is_last { End::Torn } else { End::Damaged }, "bit {bit} of {at}");
            }
        }
    }

    #[test]
    fn old_blocks_behind_the_end_are_no_records() {
        let (mut bytes, ends) = file();
        let end = bytes.len();
        for id in [1, 12, 41] {
            encode(RecordId(id), 0, &record(id), &mut bytes).unwrap();
        }
        let scan = scan(&bytes, RecordId(7), None);
        assert_eq!((scan.good, scan.end), (end, End::Torn));
        assert_eq!(found(&scan), whole_before(&ends, end));
    }

    #[test]
    fn ids_of_the_files_before_it_are_refused() {
        let (bytes, ends) = file();
        assert_eq!(scan(&bytes, RecordId(7), Some(RecordId(7))).good, HEADER);
        assert_eq!(found(&scan(&bytes, RecordId(8), None)), []);
        assert_eq!(ends.len(), 6);
    }

    #[test]
    fn no_content_makes_the_search_slow() {
        // Every offset claims half a mebibyte that lies within the file.
        let bytes = [0, 0, 8, 0].repeat(1 << 20);
        let began = std::time::Instant::now();
        assert_eq!(scan(&bytes, RecordId(1), None).end, End::Torn);
        assert!(began.elapsed() < std::time::Duration::from_secs(10));
    }
}
