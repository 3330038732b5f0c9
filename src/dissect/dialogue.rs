//! What one APDU tells about the next: requests, blocks, segments, system titles and the dedicated key.

use std::collections::HashMap;

use super::subject::Subject;
use super::{Secrets, Settings};
use crate::security::{Key, SystemTitle};

/// The state of one dialogue, as far as its frames have been seen.
#[derive(Debug, Default)]
pub(super) struct Dialogue {
    pub(super) settings: Settings,
    pub(super) client_title: Option<SystemTitle>,
    pub(super) server_title: Option<SystemTitle>,
    pub(super) dedicated_key: Option<Key>,
    /// What the last request of each invoke-id asked for.
    requests: [Option<Request>; 16],
    /// One for each kind of transfer that cuts values into blocks.
    pub(super) transfers: HashMap<Transfer, Blocks>,
    /// Segments of an APDU by the addresses of the frames that carry them.
    pub(super) segments: HashMap<Vec<u8>, Segments>,
    /// Whether ciphered APDUs are opened.
    pub(super) ciphers: Ciphers,
    /// Who speaks to whom in the frame that is read.
    pub(super) channel: Vec<u8>,
    /// APDUs around the one that is read.
    pub(super) nesting: usize,
}

/// Whether ciphered APDUs are opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ciphers {
    /// With the keys that are known.
    #[default]
    Open,
    /// Never: only the form is of interest.
    Shut,
}

/// What a request asked for.
#[derive(Clone, Debug)]
pub(super) enum Request {
    One(Subject),
    List(Vec<Subject>),
}

/// Which transfer a block belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Transfer {
    GetResponse,
    SetRequest,
    ActionRequest,
    ActionResponse,
    ReadResponse,
    ReadRequest,
    WriteRequest,
    /// general-block-transfer, by the channel that carries it.
    General(Vec<u8>),
}

/// The blocks of a transfer so far.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    last: u32,
    bytes: Vec<u8>,
    /// What the first block named.
    pub(super) request: Option<Request>,
}

/// What a block is to those before it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// More must come; so many bytes are here.
    Continues(usize),
    /// All bytes.
    Complete(Vec<u8>),
    /// The same number as the block before.
    Repeated,
    /// Another number than this one.
    Expected(u32),
}

impl Blocks {
    /// Takes a block. Number 1 begins anew.
    pub(super) fn push(&mut self, number: u32, last: bool, raw: &[u8]) -> Block {
        if number == 1 {
            self.bytes.clear();
        } else if number == self.last {
            return Block::Repeated;
        } else if self.last.checked_add(1) != Some(number) {
            return Block::Expected(self.last.saturating_add(1));
        }
        self.last = number;
        self.bytes.extend_from_slice(raw);
        if last {
            self.last = 0;
            Block::Complete(std::mem::take(&mut self.bytes))
        } else {
            Block::Continues(self.bytes.len())
        }
    }
}

/// Segments of one APDU.
#[derive(Debug, Default)]
pub(super) struct Segments {
    pub(super) count: usize,
    pub(super) bytes: Vec<u8>,
    /// Control octet and checksum-free content of the frame before, to know a repetition.
    pub(super) previous: Vec<u8>,
}

impl Dialogue {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// For a trial: knows nothing, opens nothing.
    pub(super) fn shut() -> Self {
        Self { ciphers: Ciphers::Shut, ..Self::default() }
    }

    /// A new association: nothing that was asked before will be answered.
    pub(super) fn restart(&mut self) {
        self.requests = Default::default();
        self.transfers.clear();
        self.dedicated_key = None;
    }

    pub(super) fn asked(&mut self, invoke: u8, request: Request) {
        if let Some(slot) = self.requests.get_mut(usize::from(invoke & 0x0F)) {
            *slot = Some(request);
        }
    }

    /// What was asked with this invoke-id.
    pub(super) fn request(&self, invoke: u8) -> Option<Request> {
        self.requests.get(usize::from(invoke & 0x0F)).cloned().flatten()
    }

    pub(super) fn shows_secrets(&self) -> bool {
        self.settings.secrets == Secrets::Shown
    }
}

impl Request {
    pub(super) fn one(request: Option<Self>) -> Subject {
        match request {
            Some(Self::One(subject)) => subject,
            _ => Subject::unknown(),
        }
    }

    /// The subject at `index` of a list.
    pub(super) fn nth(request: Option<&Self>, index: usize) -> Subject {
        match request {
            Some(Self::List(subjects)) => subjects.get(index).cloned(),
            _ => None,
        }
        .unwrap_or_else(Subject::unknown)
    }
}
