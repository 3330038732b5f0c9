//! The last reading of each value, for requests that are content with one that is not too old.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::config::model::Value;
use super::reading::value::Reading;
use crate::cosem::catalogue::ClassId;
use crate::wire::obis::Obis;

/// Objects of one device that are remembered: more than anybody polls, so that requests cannot fill the memory.
const MOST_OBJECTS: usize = 4096;

/// The last readings of all devices, by their names.
#[derive(Debug, Default)]
pub struct Recent(Mutex<HashMap<String, Device>>);

type Device = HashMap<Object, Vec<(Value, Kept)>>;
type Object = (ClassId, Option<Obis>, Option<u16>);

/// A reading and when it was made.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The reading.
    pub reading: Box<Reading>,
    /// Arrival of the answer.
    pub ts: Timestamp,
    /// From the first request to the last answer.
    pub poll_ms: u64,
    arrived: Instant,
}

impl Recent {
    /// Remembers a reading. One that failed leaves the last good one as it is.
    pub fn keep(&self, device: &str, value: &Value, reading: Box<Reading>, ts: Timestamp, poll_ms: u64) {
        if reading.error.is_some() {
            return;
        }
        let mut devices = self.lock();
        let objects = match devices.get_mut(device) {
            Some(objects) => objects,
            None => devices.entry(device.to_owned()).or_default(),
        };
        let kept = Kept { reading, ts, poll_ms, arrived: Instant::now() };
        if objects.len() >= MOST_OBJECTS && !objects.contains_key(&object(value)) {
            return;
        }
        let known = objects.entry(object(value)).or_default();
        match known.iter_mut().find(|(other, _)| means_the_same(other, value)) {
            Some((_, former)) => *former = kept,
            None => known.push((value.clone(), kept)),
        }
    }

    /// The last reading of a value, unless it is older than `max_age`.
    #[must_use]
    pub fn of(&self, device: &str, value: &Value, max_age: Duration) -> Option<Kept> {
        let devices = self.lock();
        let known = devices.get(device)?.get(&object(value))?;
        let (_, kept) = known.iter().find(|(other, _)| means_the_same(other, value))?;
        (kept.arrived.elapsed() <= max_age).then(|| kept.clone())
    }

    /// Forgets a device: it may be another meter, or its values may be understood otherwise.
    pub fn forget(&self, device: &str) {
        self.lock().remove(device);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Device>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn object(value: &Value) -> Object {
    (value.class, value.obis, value.short_name)
}

/// Whether two values are the same reading under the same name.
fn means_the_same(one: &Value, other: &Value) -> bool {
    one.name == other.name
        && one.class_source == other.class_source
        && one.selection == other.selection
        && one.scaler == other.scaler
        && one.unit == other.unit
}
