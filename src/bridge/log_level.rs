//! The level of the log, changed for a while. What does the logging is handed in: the library does not know it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::error::{Code, Layer, Report};

/// Sets directives such as `info,dlms2mqtt::bridge=debug`; tells why they cannot be.
pub type SetDirectives = dyn Fn(&str) -> Result<(), String> + Send + Sync;

/// The level of the log.
#[derive(Clone)]
pub struct LogLevel {
    set: Arc<SetDirectives>,
    usual: Arc<str>,
    /// Counts changes: one that is followed by another does not end any more.
    changes: Arc<Mutex<u64>>,
}

impl LogLevel {
    /// A log that has started with the directives `usual`.
    #[must_use]
    pub fn new(usual: &str, set: Arc<SetDirectives>) -> Self {
        Self { set, usual: usual.into(), changes: Arc::default() }
    }

    /// A log that nobody can change.
    #[must_use]
    pub fn fixed() -> Self {
        Self::new("", Arc::new(|_| Err("the log of this process cannot be changed".to_owned())))
    }

    /// Sets the level, of all or of one target, and returns to the usual after `time`.
    ///
    /// # Errors
    /// `NOT_ALLOWED` where the log cannot be changed.
    pub fn set_for(&self, level: &str, target: Option<&str>, time: Duration) -> Result<(), Report> {
        let directives = match target {
            Some(target) => format!("{},{target}={level}", self.usual),
            None => level.to_owned(),
        };
        (self.set)(&directives).map_err(|message| Report::new(Code::NotAllowed, Layer::Control, message))?;
        tracing::info!(directives, "the log level was changed on request");
        let number = self.count();
        let log = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            if *log.changes.lock().unwrap_or_else(PoisonError::into_inner) == number {
                log.restore();
            }
        });
        Ok(())
    }

    fn restore(&self) {
        match (self.set)(&self.usual) {
            Ok(()) => tracing::info!(directives = &*self.usual, "the usual log level is back"),
            Err(message) => tracing::error!(message, "the usual log level cannot be restored"),
        }
    }

    fn count(&self) -> u64 {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        *changes += 1;
        *changes
    }
}

impl fmt::Debug for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogLevel({})", self.usual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_last_change_returns_by_itself() {
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let sink = Arc::clone(&seen);
        let log = LogLevel::new(
            "info",
            Arc::new(move |directives: &str| {
                sink.lock().unwrap().push(directives.to_owned());
                Ok(())
            }),
        );
        log.set_for("debug", None, Duration::from_secs(10)).unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        log.set_for("trace", Some("a::b"), Duration::from_secs(10)).unwrap();
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(*seen.lock().unwrap(), ["debug", "info,a::b=trace"], "the first does not end the second");
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(seen.lock().unwrap().last().unwrap(), "info");
        assert_eq!(
            LogLevel::fixed().set_for("debug", None, Duration::ZERO).unwrap_err().code,
            Code::NotAllowed
        );
    }
}
