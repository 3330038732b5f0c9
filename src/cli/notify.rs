//! What the service manager is told: ready, reloading, stopping, alive (the protocol of `sd_notify`).

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The way to the service manager, where there is one.
#[derive(Debug)]
pub(super) struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// As the environment names it; outside of a service everything said goes nowhere.
    pub(super) fn from_environment() -> Self {
        let name = std::env::var("NOTIFY_SOCKET").ok();
        let watchdog = std::env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse().ok());
        let is_for_us =
            std::env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
        Self {
            socket: name.and_then(|name| open(&name)),
            watchdog: watchdog.filter(|_| is_for_us).map(Duration::from_micros),
        }
    }

    /// The bridge runs.
    pub(super) fn ready(&self) {
        self.say("READY=1\nSTATUS=running");
    }

    /// The bridge ends.
    pub(super) fn stopping(&self) {
        self.say("STOPPING=1\nSTATUS=links take leave, messages are sent");
    }

    /// Says for ever that the runtime still runs tasks, twice as often as the watchdog asks.
    pub(super) async fn keep_alive(&self) {
        let Some(period) = self.watchdog.filter(|period| !period.is_zero()) else {
            return std::future::pending().await;
        };
        let mut ticks = tokio::time::interval(period / 2);
        loop {
            ticks.tick().await;
            self.say("WATCHDOG=1");
        }
    }

    fn say(&self, what: &str) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(what.as_bytes(), address) {
            tracing::debug!(%error, "the service manager cannot be told");
        }
    }
}

/// A path, or after `@` a name of Linux's abstract namespace.
fn open(name: &str) -> Option<(UnixDatagram, SocketAddr)> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    };
    let socket = UnixDatagram::unbound().ok()?;
    // A manager that does not read must not stop the bridge.
    socket.set_nonblocking(true).ok()?;
    Some((socket, address.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_abstract_names_are_reached() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let hidden = format!("dlms2mqtt-test-{}", std::process::id());
        let names = [
            (path.to_str().unwrap().to_owned(), UnixDatagram::bind(&path).unwrap()),
            (
                format!("@{hidden}"),
                UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&hidden).unwrap()).unwrap(),
            ),
        ];
        for (name, manager) in names {
            let service = ServiceManager { socket: open(&name), watchdog: None };
            service.ready();
            let mut said = [0; 64];
            let length = manager.recv(&mut said).unwrap();
            assert!(said[..length].starts_with(b"READY=1\n"), "{name}");
        }
    }

    #[test]
    fn a_manager_that_does_not_read_stops_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let _manager = UnixDatagram::bind(&path).unwrap();
        let service = ServiceManager { socket: open(path.to_str().unwrap()), watchdog: None };
        (0..1000).for_each(|_| service.ready());
    }

    #[test]
    fn without_a_manager_nothing_happens() {
        ServiceManager { socket: open("relative/absent"), watchdog: None }.ready();
        ServiceManager { socket: None, watchdog: None }.stopping();
    }
}
