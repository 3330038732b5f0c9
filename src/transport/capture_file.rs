//! A capture file (pcapng) of what passed on a link, for Wireshark.
//!
//! Octets of a serial line have no packets, so they are shown as a TCP connection to port 4059, the port of DLMS/COSEM:
//! "Follow TCP Stream" then works everywhere, and so do the dissectors for that port where Wireshark has them.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::trace::Direction;

/// Pieces that may wait for the disk. What comes when they are as many is not written, and counted.
const QUEUE: usize = 4096;
/// Raw IPv4 or IPv6.
const LINKTYPE_RAW: u16 = 101;
/// Addresses for documentation (RFC 5737) stand for us and the meter.
const OURS: ([u8; 4], u16) = ([192, 0, 2, 1], 49_152);
const METERS: ([u8; 4], u16) = ([192, 0, 2, 2], 4059);
const IP_HEADER: usize = 20;
const TCP_HEADER: usize = 20;
/// Octets that one IPv4 packet carries.
const MOST_PAYLOAD: usize = 65_535 - IP_HEADER - TCP_HEADER;

/// A capture file that is being written, by a thread of its own. Dropping it ends the file.
#[derive(Debug)]
pub(super) struct CaptureFile {
    pieces: SyncSender<Piece>,
    lost: AtomicU64,
    path: PathBuf,
}

#[derive(Debug)]
struct Piece {
    time: Duration,
    direction: Direction,
    octets: Vec<u8>,
    masked: bool,
}

impl CaptureFile {
    /// Makes a new file that only its owner may read. It grows to `most` bytes at the most.
    pub(super) fn create(path: &Path, link: &str, most: u64) -> io::Result<Self> {
        let file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
        let (pieces, received) = sync_channel(QUEUE);
        let mut writer =
            Writer { file: BufWriter::new(file), written: 0, most, connection: Connection::default() };
        writer.block(&section_header())?;
        writer.block(&interface(link))?;
        let named = path.to_owned();
        std::thread::Builder::new().name("capture file".to_owned()).spawn(move || {
            if let Err(error) = writer.run(&received) {
                tracing::warn!(path = %named.display(), %error, "the capture file ended");
            }
        })?;
        Ok(Self { pieces, lost: AtomicU64::new(0), path: path.to_owned() })
    }

    /// Writes what passed just now. `masked` octets are noted in the file. Never waits.
    pub(super) fn write(&self, direction: Direction, octets: Vec<u8>, masked: bool) {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.pieces.try_send(Piece { time, direction, octets, masked }).is_err()
            && self.lost.fetch_add(1, Ordering::Relaxed) == 0
        {
            tracing::warn!(path = %self.path.display(), "the capture file is full or too slow: it has gaps");
        }
    }
}

struct Writer {
    file: BufWriter<File>,
    written: u64,
    most: u64,
    connection: Connection,
}

impl Writer {
    fn run(&mut self, pieces: &Receiver<Piece>) -> io::Result<()> {
        loop {
            let piece = match pieces.try_recv() {
                Ok(piece) => piece,
                Err(TryRecvError::Disconnected) => return self.file.flush(),
                Err(TryRecvError::Empty) => {
                    // Who watches the file sees all of it when the line rests.
                    self.file.flush()?;
                    match pieces.recv() {
                        Ok(piece) => piece,
                        Err(_) => return Ok(()),
                    }
                }
            };
            for octets in piece.octets.chunks(MOST_PAYLOAD) {
                let packet = self.connection.packet(piece.direction, octets);
                self.block(&enhanced_packet(&piece, &packet))?;
            }
        }
    }

    fn block(&mut self, block: &[u8]) -> io::Result<()> {
        self.written += block.len() as u64;
        if self.written > self.most {
            self.file.flush()?;
            return Err(io::Error::other(format!("{} bytes are reached", self.most)));
        }
        self.file.write_all(block)
    }
}

/// The TCP connection that stands for the line.
#[derive(Default)]
struct Connection {
    /// Octets that went each way.
    sent: u32,
    received: u32,
    packets: u16,
}

impl Connection {
    fn packet(&mut self, direction: Direction, payload: &[u8]) -> Vec<u8> {
        let count = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let ((source, source_port), (destination, destination_port), sequence, acknowledged) = match direction
        {
            Direction::Sent => (OURS, METERS, self.sent, self.received),
            Direction::Received => (METERS, OURS, self.received, self.sent),
        };
        match direction {
            Direction::Sent => self.sent = self.sent.wrapping_add(count),
            Direction::Received => self.received = self.received.wrapping_add(count),
        }
        self.packets = self.packets.wrapping_add(1);

        let length = u16::try_from(IP_HEADER + TCP_HEADER + payload.len()).unwrap_or(u16::MAX);
        let mut packet = Vec::with_capacity(usize::from(length));
        // Version 4, header of five words; don't fragment; 64 hops; TCP.
        packet.extend([0x45, 0]);
        packet.extend(length.to_be_bytes());
        packet.extend(self.packets.to_be_bytes());
        packet.extend([0x40, 0, 64, 6, 0, 0]);
        packet.extend(source);
        packet.extend(destination);
        let checksum = internet_checksum(&[&packet]);
        packet[10..12].copy_from_slice(&checksum);

        let mut segment = Vec::with_capacity(TCP_HEADER + payload.len());
        segment.extend(source_port.to_be_bytes());
        segment.extend(destination_port.to_be_bytes());
        // Numbers begin at 1, behind an opening that never was.
        segment.extend(sequence.wrapping_add(1).to_be_bytes());
        segment.extend(acknowledged.wrapping_add(1).to_be_bytes());
        // Header of five words; PSH and ACK; a wide window.
        segment.extend([0x50, 0x18, 0xFF, 0xFF, 0, 0, 0, 0]);
        segment.extend(payload);
        let pseudo_header =
            [&source[..], &destination, &[0, 6], &(length - IP_HEADER as u16).to_be_bytes()].concat();
        let checksum = internet_checksum(&[&pseudo_header, &segment]);
        segment[16..18].copy_from_slice(&checksum);
        packet.extend(segment);
        packet
    }
}

/// RFC 1071. Every part but the last has an even number of octets.
fn internet_checksum(parts: &[&[u8]]) -> [u8; 2] {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u32 =
        words.map(|word| u32::from(u16::from_be_bytes([word[0], word.get(1).copied().unwrap_or(0)]))).sum();
    let folded = (sum & 0xFFFF) + (sum >> 16);
    let folded = (folded & 0xFFFF) + (folded >> 16);
    (!(folded as u16)).to_be_bytes()
}

fn section_header() -> Vec<u8> {
    const BYTE_ORDER: u32 = 0x1A2B_3C4D;
    const OPTION_APPLICATION: u16 = 4;
    let mut body = BYTE_ORDER.to_le_bytes().to_vec();
    body.extend([1, 0, 0, 0]);
    // The length of the section isn't known before its end.
    body.extend([0xFF; 8]);
    option(&mut body, OPTION_APPLICATION, concat!("dlms2mqtt ", env!("CARGO_PKG_VERSION")).as_bytes());
    block(0x0A0D_0D0A, body)
}

fn interface(link: &str) -> Vec<u8> {
    const OPTION_NAME: u16 = 2;
    const OPTION_RESOLUTION: u16 = 9;
    const NANOSECONDS: u8 = 9;
    let mut body = LINKTYPE_RAW.to_le_bytes().to_vec();
    body.extend([0; 6]);
    option(&mut body, OPTION_NAME, link.as_bytes());
    option(&mut body, OPTION_RESOLUTION, &[NANOSECONDS]);
    block(1, body)
}

fn enhanced_packet(piece: &Piece, packet: &[u8]) -> Vec<u8> {
    const OPTION_COMMENT: u16 = 1;
    const OPTION_FLAGS: u16 = 2;
    let direction: u32 = match piece.direction {
        Direction::Received => 1,
        Direction::Sent => 2,
    };
    let time = u64::try_from(piece.time.as_nanos()).unwrap_or(u64::MAX);
    let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
    let mut body = vec![0; 4];
    body.extend(((time >> 32) as u32).to_le_bytes());
    body.extend((time as u32).to_le_bytes());
    body.extend(length.to_le_bytes());
    body.extend(length.to_le_bytes());
    body.extend(packet);
    pad(&mut body);
    if piece.masked {
        option(
            &mut body,
            OPTION_COMMENT,
            b"A secret is masked here: its octets, and so the checks over them, are not as they passed.",
        );
    }
    option(&mut body, OPTION_FLAGS, &direction.to_le_bytes());
    block(6, body)
}

/// Ends the options where there are any, and puts the block's head and tail around it.
fn block(kind: u32, mut body: Vec<u8>) -> Vec<u8> {
    body.extend([0; 4]);
    let length = u32::try_from(body.len() + 12).unwrap_or(u32::MAX).to_le_bytes();
    [&kind.to_le_bytes()[..], &length, &body, &length].concat()
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    body.extend(code.to_le_bytes());
    body.extend((value.len() as u16).to_le_bytes());
    body.extend(value);
    pad(body);
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_whole() {
        let mut connection = Connection::default();
        let first = connection.packet(Direction::Sent, b"\x7e\xa0\x07");
        assert_eq!(first.len(), 43);
        assert_eq!(internet_checksum(&[&first[..IP_HEADER]]), [0, 0]);
        let pseudo_header = [&first[12..20], &[0, 6, 0, 23]].concat();
        assert_eq!(internet_checksum(&[&pseudo_header, &first[IP_HEADER..]]), [0, 0]);
        let numbers = |packet: &[u8]| (packet[24..28].to_vec(), packet[28..32].to_vec());
        assert_eq!(numbers(&first), (vec![0, 0, 0, 1], vec![0, 0, 0, 1]));
        let answer = connection.packet(Direction::Received, b"\x7e");
        assert_eq!(numbers(&answer), (vec![0, 0, 0, 1], vec![0, 0, 0, 4]));
        assert_eq!(numbers(&connection.packet(Direction::Sent, b"")), (vec![0, 0, 0, 4], vec![0, 0, 0, 2]));
        assert_eq!(connection.packet(Direction::Sent, &[0; MOST_PAYLOAD]).len(), 65_535);
    }

    #[test]
    fn checksums_fold_twice() {
        // RFC 1071 has this example in its section 3.
        assert_eq!(internet_checksum(&[&[0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7]]), [0x22, 0x0D]);
        assert_eq!(internet_checksum(&[&[0xFF; 65_534], &[0xFF]]), [0x00, 0xFF]);
    }

    #[test]
    fn a_file_is_new_private_and_bounded() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("line.pcapng");
        let capture = CaptureFile::create(&path, "line", 1000).unwrap();
        for _ in 0..100 {
            capture.write(Direction::Sent, vec![0x7E; 40], false);
        }
        drop(capture);
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while path.metadata().unwrap().len() < 800 {
            assert!(std::time::Instant::now() < deadline, "the writer ends in its own time");
            std::thread::sleep(Duration::from_millis(5));
        }
        let metadata = path.metadata().unwrap();
        assert!(metadata.len() <= 1000 && metadata.len().is_multiple_of(4), "{}", metadata.len());
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert_eq!(
            CaptureFile::create(&path, "line", 1000).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
    }
}
