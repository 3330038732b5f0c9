//! A model of crashes: any run of appends, acknowledgements and commits, ended by a kill or a power cut, again and again.
//!
//! A kill leaves what was written. A power cut leaves what the medium was asked for, and of the rest anything: a part,
//! zeros, garbage, files that are missing, and files that were removed and are there again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use tempfile::TempDir;

use super::tests::{drain, folder, killed, open, record as record_of, segments};
use super::*;

#[derive(Clone, Debug)]
enum Op {
    Append(u8),
    Send(u8),
    /// The n-th of what is on its way.
    Acknowledge(usize),
    AcknowledgeAll,
    Commit,
    Save,
    Reconnect,
    Wait(u64),
    Kill,
    PowerCut(u64),
    End,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (1..6u8).prop_map(Op::Append),
        6 => (1..8u8).prop_map(Op::Send),
        8 => (0..8usize).prop_map(Op::Acknowledge),
        1 => Just(Op::AcknowledgeAll),
        8 => Just(Op::Commit),
        2 => Just(Op::Save),
        1 => Just(Op::Reconnect),
        5 => (0..3_000u64).prop_map(Op::Wait),
        1 => Just(Op::Kill),
        2 => any::<u64>().prop_map(Op::PowerCut),
        1 => Just(Op::End),
    ]
}

struct World {
    folder: TempDir,
    policy: Policy,
    now: Instant,
    outbox: DurableOutbox,
    number: u64,
    /// The broker does not keep up.
    is_slow: bool,
    /// What the store has, as far as anybody was told.
    waiting: BTreeMap<u64, Record>,
    on_the_way: Vec<u64>,
    /// Must outlive a kill, unless acknowledged.
    written: BTreeSet<u64>,
    /// Must outlive a power cut, unless acknowledged.
    synced: BTreeSet<u64>,
    /// The files as the medium has them for certain.
    image: BTreeMap<String, Vec<u8>>,
}

impl World {
    fn new(policy: Policy) -> Self {
        let (folder, now) = (folder(), Instant::now());
        let outbox = open(folder.path(), policy, now);
        let image = read(folder.path());
        let (waiting, on_the_way) = (BTreeMap::new(), Vec::new());
        let (written, synced) = (BTreeSet::new(), BTreeSet::new());
        Self {
            folder,
            policy,
            now,
            outbox,
            number: 0,
            is_slow: false,
            waiting,
            on_the_way,
            written,
            synced,
            image,
        }
    }

    fn apply(&mut self, op: &Op) -> TestCaseResult {
        match *op {
            Op::Append(count) => {
                for _ in 0..count {
                    self.number += 1;
                    let id = self.outbox.append(record_of(self.number), self.now).unwrap();
                    prop_assert!(self.waiting.last_key_value().is_none_or(|(last, _)| *last < id.0));
                    self.waiting.insert(id.0, record_of(self.number));
                }
            }
            Op::Send(count) => {
                for _ in 0..count {
                    let Some((id, record)) = self.outbox.next(self.now) else { break };
                    prop_assert_eq!(self.waiting.get(&id.0), Some(&record));
                    if self.policy == Policy::Always {
                        prop_assert!(
                            self.synced.contains(&id.0),
                            "{} was sent before the medium had it",
                            id.0
                        );
                    }
                    self.on_the_way.push(id.0);
                }
            }
            Op::Acknowledge(which) if which < self.on_the_way.len() => {
                let id = self.on_the_way.remove(which);
                self.acknowledge(id);
            }
            Op::AcknowledgeAll => {
                for id in std::mem::take(&mut self.on_the_way) {
                    self.acknowledge(id);
                }
            }
            Op::Acknowledge(_) => {}
            Op::Commit => {
                self.outbox.commit(self.now).unwrap();
                let is_old =
                    self.outbox.queue.since(RecordId(0)).any(|e| e.appended + SPILL_AFTER <= self.now);
                self.is_slow = !self.waiting.is_empty() && (self.is_slow || is_old);
                self.note(self.policy == Policy::Always || self.is_slow);
            }
            Op::Save => {
                self.outbox.save(self.now).unwrap();
                self.is_slow = !self.waiting.is_empty();
                self.note(true);
            }
            Op::Reconnect => {
                self.on_the_way.clear();
                self.outbox.rewind();
            }
            Op::Wait(ms) => self.now += Duration::from_millis(ms),
            Op::Kill => {
                let left = killed(&self.outbox, self.folder.path());
                self.restart(left, &self.written.clone())?;
            }
            Op::PowerCut(seed) => {
                let left = self.after_power_cut(&mut fastrand::Rng::with_seed(seed));
                self.restart(left, &self.synced.clone())?;
            }
            Op::End => {
                self.outbox.close(self.now).unwrap();
                self.note(true);
                let all = self.waiting.keys().copied().collect();
                prop_assert_eq!(&self.synced, &all);
                let left = killed(&self.outbox, self.folder.path());
                self.restart(left, &all)?;
            }
        }
        prop_assert_eq!(self.outbox.depth(self.now).messages, self.waiting.len());
        Ok(())
    }

    fn acknowledge(&mut self, id: u64) {
        self.outbox.acknowledge(RecordId(id));
        self.waiting.remove(&id);
        self.written.remove(&id);
        self.synced.remove(&id);
    }

    /// After a commit: what it has promised.
    fn note(&mut self, all_is_written: bool) {
        self.outbox.syncer.wait();
        if all_is_written {
            self.written = self.waiting.keys().copied().collect();
        }
        // Whatever else was written is kept as well, so it may be promised too.
        let is_synced = self.outbox.unsynced_since.is_none();
        let deadline = self.outbox.unsynced_since.is_some_and(|since| since + SYNC_EVERY <= self.now);
        assert!(!deadline, "the medium was not asked in time");
        if is_synced {
            self.synced.clone_from(&self.written);
            self.image = read(self.folder.path());
        }
    }

    /// Opens what a crash has left; all of `promised` must be there, and nothing that was never appended.
    fn restart(&mut self, left: TempDir, promised: &BTreeSet<u64>) -> TestCaseResult {
        self.outbox = open(left.path(), self.policy, self.now);
        self.folder = left;
        prop_assert_eq!(self.outbox.condition(), Condition::default());
        self.outbox.syncer.wait();
        let found = drain(&mut self.outbox, self.now);
        prop_assert!(found.is_sorted_by(|(one, _), (other, _)| one < other));
        let ids: BTreeSet<_> = found.iter().map(|(id, _)| *id).collect();
        prop_assert!(promised.is_subset(&ids), "lost: {:?}", promised.difference(&ids));
        for (id, record) in &found {
            // Sent twice is allowed, invented or changed is not.
            let number: u64 = number_of(record);
            prop_assert!(number <= self.number && *record == record_of(number));
            if let Some(waiting) = self.waiting.get(id) {
                prop_assert_eq!(waiting, record);
            }
        }
        let numbers: Vec<_> = found.iter().map(|(_, record)| number_of(record)).collect();
        prop_assert!(numbers.is_sorted_by(|one, other| one < other), "{:?}", numbers);
        let mut newest = BTreeMap::new();
        for (id, record) in &found {
            if record.retain == Retain::Retained {
                newest.insert(record.topic.clone(), *id);
            }
        }
        let recovered: BTreeMap<_, _> =
            self.outbox.recovered().into_iter().map(|(topic, id)| (topic, id.0)).collect();
        prop_assert_eq!(recovered, newest);
        self.outbox.rewind();
        self.on_the_way.clear();
        self.waiting = found.into_iter().collect();
        self.is_slow = !ids.is_empty();
        self.image = read(self.folder.path());
        self.synced.clone_from(&ids);
        self.written = ids;
        Ok(())
    }

    fn after_power_cut(&mut self, random: &mut fastrand::Rng) -> TempDir {
        self.outbox.syncer.wait();
        let now = read(self.folder.path());
        let left = folder();
        let names: BTreeSet<_> = self.image.keys().chain(now.keys()).collect();
        for name in names {
            let bytes = match (self.image.get(name), now.get(name)) {
                // Two slots in two blocks: each the old or the new.
                (Some(old), Some(new)) if name == "cursor" => {
                    let choice = [random.bool(), random.bool()];
                    let half = |n: usize| {
                        if choice[n] { &old[n * 4096..][..4096] } else { &new[n * 4096..][..4096] }
                    };
                    [half(0), half(1)].concat()
                }
                (Some(old), Some(new)) => {
                    let mut bytes = old.clone();
                    bytes.extend(mangled(&new[old.len()..], random));
                    bytes
                }
                (Some(_), None) if random.bool() => continue,
                (Some(old), None) => old.clone(),
                (None, Some(_)) if random.bool() => continue,
                (None, Some(new)) => mangled(new, random),
                (None, None) => continue,
            };
            fs::write(left.path().join(name), bytes).unwrap();
        }
        left
    }
}

/// What may become of octets that were written and not asked for.
fn mangled(bytes: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let cut = random.usize(..=bytes.len());
    let mut bytes = bytes.to_vec();
    match random.u8(0..4) {
        0 => bytes.truncate(cut),
        1 => bytes[cut..].fill(0),
        2 => bytes[cut..].fill_with(|| random.u8(..)),
        _ => {}
    }
    bytes
}

fn number_of(record: &Record) -> u64 {
    serde_json::from_slice::<serde_json::Value>(&record.payload).unwrap()["seq"].as_u64().unwrap()
}

fn read(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = segments(folder).into_iter().chain([folder.join("cursor")]);
    files
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_crash_costs_what_was_promised(
        policy in prop_oneof![Just(Policy::Spill), Just(Policy::Always)],
        ops in proptest::collection::vec(op(), 1..120),
    ) {
        let mut world = World::new(policy);
        for op in &ops {
            world.apply(op)?;
        }
        world.apply(&Op::Kill)?;
    }
}
