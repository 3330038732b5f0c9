//! The thread that waits for the medium, so that nobody else does: an SD card may take a second for one barrier.

use std::fs::File;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use super::{RecordId, Wake};

/// Brings files to the medium, one barrier for all that was asked meanwhile. The thread starts with the first request:
/// a gateway whose broker takes everything at once never has it.
#[derive(Default)]
pub(super) struct Syncer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    files: Vec<Arc<File>>,
    /// All below this will be on the medium when `files` are.
    requested: u64,
    durable: u64,
    /// Records below this may be in a file that a barrier failed for.
    doubtful: u64,
    is_busy: bool,
    is_closed: bool,
    fault: Option<io::ErrorKind>,
    wake: Option<Wake>,
}

impl Syncer {
    pub(super) fn wake_with(&self, wake: Wake) {
        self.shared.lock().wake = Some(wake);
    }

    /// Asks for `files`, which make all records below `upto` durable. Does not wait.
    pub(super) fn request(&mut self, files: Vec<Arc<File>>, upto: RecordId) -> io::Result<()> {
        if files.is_empty() {
            return Ok(());
        }
        if self.thread.is_none() {
            let shared = Arc::clone(&self.shared);
            self.thread =
                Some(thread::Builder::new().name("outbox-sync".into()).spawn(move || shared.run())?);
        }
        let mut state = self.shared.lock();
        for file in files {
            if !state.files.iter().any(|known| Arc::ptr_eq(known, &file)) {
                state.files.push(file);
            }
        }
        state.requested = state.requested.max(upto.0);
        drop(state);
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Every record below this is on the medium, or was until the fault that [`Syncer::take_fault`] tells.
    pub(super) fn durable(&self) -> RecordId {
        RecordId(self.shared.lock().durable)
    }

    /// Every record below this is on the medium, or gone: those below `head` are.
    pub(super) fn safe(&self, head: RecordId) -> RecordId {
        let state = self.shared.lock();
        if head.0 < state.doubtful { head } else { RecordId(head.0.max(state.durable)) }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.shared.lock().is_idle()
    }

    /// What went wrong since the last call. The kernel tells it once, and so do we.
    pub(super) fn take_fault(&self) -> Option<io::ErrorKind> {
        self.shared.lock().fault.take()
    }

    /// Waits until all that was requested is done.
    pub(super) fn wait(&self) {
        let mut state = self.shared.lock();
        while self.thread.is_some() && !state.is_idle() {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.files.is_empty() && !self.is_busy
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        loop {
            let mut state = self.lock();
            while state.files.is_empty() && !state.is_closed {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.files.is_empty() {
                return;
            }
            let files = std::mem::take(&mut state.files);
            let upto = state.requested;
            state.is_busy = true;
            drop(state);

            let outcome: io::Result<()> = files.iter().try_for_each(|file| file.sync_data());

            let mut state = self.lock();
            state.is_busy = false;
            // Also after a fault: whether messages go on without the medium is the owner's decision.
            state.durable = upto;
            if let Err(error) = outcome {
                state.fault = Some(error.kind());
                state.doubtful = upto;
            }
            let wake = state.wake.clone();
            drop(state);
            self.changed.notify_all();
            if let Some(wake) = wake {
                wake();
            }
        }
    }
}
