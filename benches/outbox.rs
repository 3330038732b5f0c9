//! The outbox: messages a second appended, handed out and acknowledged, in memory and on disk.

use std::time::Instant;

use divan::Bencher;
use divan::counter::ItemsCount;
use dlms2mqtt::bridge::outbox::{DurableOutbox, Limits, MemoryOutbox, Outbox, Policy, Record, Retain};

const MESSAGES: u64 = 1_000;

/// About the size of a snapshot of ten values.
const PAYLOAD: usize = 1_200;

fn main() {
    divan::main();
}

fn record() -> Record {
    let topic = "dlms/gateway/devices/meter/groups/energy".into();
    Record { topic, payload: vec![b'x'; PAYLOAD].into(), retain: Retain::Retained }
}

/// Appends all, and commits now and then as the publisher does.
fn fill(outbox: &mut dyn Outbox) {
    let now = Instant::now();
    let record = record();
    for number in 0..MESSAGES {
        outbox.append(record.clone(), now).expect("room");
        if number % 16 == 15 {
            outbox.commit(now).expect("a disk");
        }
    }
}

fn drain(outbox: &mut dyn Outbox) {
    let now = Instant::now();
    while let Some((id, record)) = outbox.next(now) {
        divan::black_box(record);
        outbox.acknowledge(id);
    }
    outbox.commit(now).expect("a disk");
}

/// A broker that keeps up: nothing touches the disk, whether it could or not.
#[divan::bench]
fn memory(bencher: Bencher<'_, '_>) {
    bencher
        .counter(ItemsCount::new(MESSAGES))
        .with_inputs(|| MemoryOutbox::new(Limits::default()))
        .bench_values(|mut outbox| {
            fill(&mut outbox);
            drain(&mut outbox);
        });
}

/// The broker is away, then takes everything: each message is written to the log and read back.
#[divan::bench]
fn spill(bencher: Bencher<'_, '_>) {
    bencher.counter(ItemsCount::new(MESSAGES)).with_inputs(open).bench_refs(|(_, outbox)| {
        outbox.save(Instant::now()).expect("a disk");
        fill(outbox);
        outbox.save(Instant::now()).expect("a disk");
        drain(outbox);
    });
}

fn open() -> (tempfile::TempDir, DurableOutbox) {
    let folder = tempfile::tempdir().expect("a folder");
    let outbox = DurableOutbox::open(folder.path(), Policy::Spill, Limits::default(), Instant::now());
    (folder, outbox.expect("a store"))
}
