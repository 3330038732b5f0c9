//! Where the stream of a meter that called waits for the actor of that meter.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::transport::Port;
use crate::transport::listener::HangUp;

/// The way from who answers calls to the actor of one meter. A new call takes the place of an older one.
#[derive(Debug, Default)]
pub struct Slot {
    line: Mutex<Line>,
    called: Notify,
}

#[derive(Debug, Default)]
struct Line {
    waiting: Option<Port>,
    /// Ends the newest call, wherever its stream is.
    hang_up: Option<HangUp>,
}

impl Slot {
    /// Hands over a call. The former one is hung up: a meter calls again when it has lost its line, which we may not
    /// have noticed.
    pub fn connect(&self, port: Port, hang_up: HangUp) {
        let former = {
            let mut line = self.lock();
            line.waiting = Some(port);
            line.hang_up.replace(hang_up)
        };
        if let Some(former) = former {
            former.hang_up();
        }
        self.called.notify_one();
    }

    /// The call that waits, if one does.
    #[must_use]
    pub fn take(&self) -> Option<Port> {
        self.lock().waiting.take()
    }

    /// Returns while a call waits. Cancel-safe.
    pub async fn called(&self) {
        loop {
            let notified = self.called.notified();
            if self.lock().waiting.is_some() {
                return;
            }
            notified.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
