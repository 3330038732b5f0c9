//! One device of the configuration for a command, with the right to use its invocation counters.

use std::io::{IsTerminal, stderr};
use std::sync::Arc;

use super::CommandError;
use super::results::say;
use crate::bridge::config::model::{Config, Connection, Device};
use crate::bridge::link::counters::Counters;
use crate::bridge::link::meter::{Meter, is_protected};
use crate::bridge::link::open::{LinkDriver, open_link};
use crate::bridge::state_dir::StateDir;
use crate::client::FileCounterStore;
use crate::error::{Code, Layer, Report};
use crate::security::MemoryCounterStore;

/// A device with its connection and counters.
#[derive(Debug)]
pub(super) struct OneDevice {
    pub(super) device: Arc<Device>,
    pub(super) connection: Arc<Connection>,
    pub(super) counters: Counters,
    /// Counters must not be used twice: whoever uses them holds the state directory.
    _state: Option<Arc<StateDir>>,
}

/// The state directory, locked once for all devices of a command that need it.
#[derive(Debug, Default)]
pub(super) struct State(Option<(Arc<StateDir>, FileCounterStore)>);

impl OneDevice {
    /// The device of this name.
    pub(super) fn named(config: &Config, name: &str) -> Result<Self, Report> {
        let device = config.devices.values().find(|device| device.name.as_str() == name);
        let device = device.ok_or_else(|| unknown("device", name))?;
        Self::of(config, device, &mut State::default())
    }

    /// A device that shares the state directory with others.
    pub(super) fn of(config: &Config, device: &Device, state: &mut State) -> Result<Self, Report> {
        let connection = config
            .connection_of(device)
            .ok_or_else(|| Report::new(Code::UnknownName, Layer::Config, "the device has no connection"))?;
        let (counters, state) = if is_protected(device) {
            let (state, store) = state.open(config)?;
            (Counters::File(store), Some(state))
        } else {
            (Counters::Memory(MemoryCounterStore::default()), None)
        };
        let (device, connection) = (Arc::new(device.clone()), Arc::new(connection.clone()));
        Ok(Self { device, connection, counters, _state: state })
    }

    /// Connects and associates.
    pub(super) async fn associate(&self) -> Result<(Meter, LinkDriver), CommandError> {
        let (device, connection) = (Arc::clone(&self.device), Arc::clone(&self.connection));
        let mut meter = Meter::new(device, connection, self.counters.clone())?;
        progress("connecting");
        let opened = open_link(&self.connection, self.device.interface).await;
        let mut driver = opened.map_err(|error| error.report())?;
        progress("associating");
        if let Err(failure) = meter.associate(&mut driver).await {
            meter.leave(&mut driver).await;
            return Err(failure.report.into());
        }
        Ok((meter, driver))
    }
}

impl State {
    fn open(&mut self, config: &Config) -> Result<(Arc<StateDir>, FileCounterStore), Report> {
        if let Some((state, store)) = &self.0 {
            return Ok((Arc::clone(state), store.clone()));
        }
        let state = Arc::new(StateDir::open(&config.state_dir)?);
        let store = FileCounterStore::open(state.path())
            .map_err(|error| Report::new(Code::StoreDamaged, Layer::Store, error.to_string()))?;
        self.0 = Some((Arc::clone(&state), store.clone()));
        Ok((state, store))
    }
}

/// What is said of a name that the configuration does not hold.
pub(super) fn unknown(kind: &str, name: &str) -> Report {
    Report::new(Code::UnknownName, Layer::Config, format!("no {kind} {name} in the configuration"))
}

/// Says what is done, to a person who waits.
pub(super) fn progress(step: &str) {
    if stderr().is_terminal() {
        say(format_args!("{step} …"));
    }
}
