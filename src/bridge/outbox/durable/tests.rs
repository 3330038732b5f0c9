//! What the store keeps, by policy, by fault of the disk and by damage. Crashes are in `crash_tests`.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use tempfile::TempDir;

use super::super::WhenFull;
use super::super::memory::MemoryOutbox;
use super::*;

pub(super) fn folder() -> TempDir {
    // Barriers cost nothing in memory, and what they promise is modelled.
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.unwrap()
}

pub(super) fn limits() -> Limits {
    Limits { max_bytes: 1 << 20, ..Limits::default() }
}

pub(super) fn open(folder: &Path, policy: Policy, now: Instant) -> DurableOutbox {
    DurableOutbox::open(folder, policy, limits(), now).unwrap()
}

pub(super) fn record(number: u64) -> Record {
    let retain = if number.is_multiple_of(3) { Retain::Retained } else { Retain::Transient };
    let payload =
        format!(r#"{{"seq":{number},"fill":"{}"}}"#, "x".repeat(usize::try_from(number % 50).unwrap()));
    Record { topic: format!("g/devices/m{}", number % 4).into(), payload: payload.into(), retain }
}

fn fill(outbox: &mut DurableOutbox, numbers: std::ops::RangeInclusive<u64>, now: Instant) {
    for number in numbers {
        outbox.append(record(number), now).unwrap();
    }
}

pub(super) fn drain(outbox: &mut impl Outbox, now: Instant) -> Vec<(u64, Record)> {
    std::iter::from_fn(|| outbox.next(now)).map(|(id, record)| (id.0, record)).collect()
}

fn ids(outbox: &mut impl Outbox, now: Instant) -> Vec<u64> {
    drain(outbox, now).into_iter().map(|(id, _)| id).collect()
}

pub(super) fn segments(folder: &Path) -> Vec<PathBuf> {
    with_extension(folder, "log")
}

fn with_extension(folder: &Path, wanted: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == wanted)).collect();
    found.sort();
    found
}

/// A store as a killed process leaves it: what was written so far, in another folder.
pub(super) fn killed(outbox: &DurableOutbox, folder: &Path) -> TempDir {
    outbox.syncer.wait();
    let copy = self::folder();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

#[test]
fn what_the_broker_takes_promptly_never_touches_the_disk() {
    let (folder, now) = (folder(), Instant::now());
    let mut outbox = open(folder.path(), Policy::Spill, now);
    for second in 0..100 {
        let now = now + Duration::from_secs(second);
        let id = outbox.append(record(second), now).unwrap();
        outbox.commit(now).unwrap();
        assert_eq!(outbox.next(now).unwrap(), (id, record(second)));
        outbox.acknowledge(id);
        outbox.commit(now).unwrap();
        assert_eq!(outbox.commit_due(), None);
    }
    assert_eq!(segments(folder.path()), [] as [PathBuf; 0]);
    let cursor = fs::read(folder.path().join("cursor")).unwrap();
    drop(outbox);
    assert_eq!(segments(folder.path()), [] as [PathBuf; 0]);
    assert_eq!(fs::read(folder.path().join("cursor")).unwrap(), cursor);
}

#[test]
fn what_is_not_confirmed_in_time_goes_to_disk_and_so_does_what_follows_until_all_is_sent() {
    let (folder, now) = (folder(), Instant::now());
    let mut outbox = open(folder.path(), Policy::Spill, now);
    fill(&mut outbox, 1..=3, now);
    outbox.commit(now).unwrap();
    assert_eq!(outbox.commit_due(), Some(now + SPILL_AFTER));
    assert_eq!(segments(folder.path()).len(), 0);
    let later = now + SPILL_AFTER;
    outbox.commit(later).unwrap();
    assert_eq!(segments(folder.path()).len(), 1);
    assert_eq!(outbox.commit_due(), Some(later + SYNC_EVERY));
    fill(&mut outbox, 4..=5, later);
    outbox.commit(later).unwrap();

    let left = killed(&outbox, folder.path());
    let mut again = open(left.path(), Policy::Spill, later);
    assert_eq!(drain(&mut again, later), (1..=5).map(|n| (n, record(n))).collect::<Vec<_>>());

    let after_sync = later + SYNC_EVERY;
    outbox.commit(after_sync).unwrap();
    assert_eq!(outbox.unsynced_since, None);
    for id in ids(&mut outbox, later) {
        outbox.acknowledge(RecordId(id));
    }
    assert_eq!(outbox.commit_due(), Some(now + CURSOR_EVERY), "the cursor was moved last at the start");
    outbox.commit(after_sync).unwrap();
    assert_eq!(segments(folder.path()).len(), 0);
    fill(&mut outbox, 6..=6, after_sync);
    outbox.commit(after_sync).unwrap();
    assert_eq!(segments(folder.path()).len(), 0, "back to memory");
}

#[test]
fn a_broker_that_is_away_sends_everything_to_disk_at_once() {
    let (folder, now) = (folder(), Instant::now());
    let mut outbox = open(folder.path(), Policy::Spill, now);
    fill(&mut outbox, 1..=1, now);
    outbox.save(now).unwrap();
    fill(&mut outbox, 2..=2, now);
    outbox.commit(now).unwrap();
    let left = killed(&outbox, folder.path());
    let mut again = open(left.path(), Policy::Spill, now);
    assert_eq!(ids(&mut again, now), [1, 2]);
}

#[test]
fn records_are_safe_when_they_have_arrived_or_are_on_the_medium() {
    let (folder, now) = (folder(), Instant::now());
    let mut outbox = open(folder.path(), Policy::Spill, now);
    fill(&mut outbox, 1..=3, now);
    outbox.commit(now).unwrap();
    assert_eq!(outbox.safe(), RecordId(1));
    outbox.acknowledge(RecordId(2));
    assert_eq!(outbox.safe(), RecordId(1));
    outbox.acknowledge(RecordId(1));
    assert_eq!(outbox.safe(), RecordId(3));
    outbox.save(now).unwrap();
    outbox.commit(now + SYNC_EVERY).unwrap();
    outbox.syncer.wait();
    assert_eq!(outbox.safe(), RecordId(4));
    fill(&mut outbox, 4..=4, now);
    assert_eq!(outbox.safe(), RecordId(4), "in memory alone");
}

#[test]
fn a_connection_that_finds_nothing_waiting_brings_back_memory() {
    let (folder, now) = (folder(), Instant::now());
    let mut outbox = open(folder.path(), Policy::Spill, now);
    outbox.save(now).unwrap();
    outbox.rewind();
    fill(&mut outbox, 1..=1, now);
    outbox.commit(now).unwrap();
    assert_eq!(segments(folder.path()).len(), 0);
}

#[test]
fn a_clean_end_keeps_what_waits_with_its_age_and_numbers_go_on() {
    let (folder, now) = (folder(), Instant::now());
    let earlier = now.checked_sub(Duration::from_secs(100)).unwrap();
    let mut outbox = open(folder.path(), Policy::Spill, earlier);
    fill(&mut outbox, 1..=9, earlier);
    outbox.save(now).unwrap();
    assert_eq!(ids(&mut outbox, now).len(), 9);
    for id in [1, 2, 5] {
        outbox.acknowledge(RecordId(id));
    }
    outbox.close(now).unwrap();
    drop(outbox);
    let mut again = open(folder.path(), Policy::Spill, now);
    assert_eq!(
        ids(&mut again, now),
        [3, 4, 5, 6, 7, 8, 9],
        "5 was confirmed out of order, and is sent twice"
    );
    let oldest = again.depth(now).oldest.unwrap();
    assert!((99..=101).contains(&oldest.as_secs()), "{oldest:?}");
    let newest = [("g/devices/m2", 6), ("g/devices/m1", 9), ("g/devices/m3", 3)];
    let mut recovered = again.recovered();
    recovered.sort_by_key(|(topic, _)| newest.iter().position(|(name, _)| **name == **topic));
    assert_eq!(recovered, newest.map(|(topic, id)| (topic.into(), RecordId(id))));
    assert!(again.recovered().is_sorted_by_key(|(_, id)| *id));
    assert_eq!(again.append(record(10), now), Ok(RecordId(10)));
}

#[test]
fn always_hands_nothing_out_before_the_medium_has_it() {
    let (folder, now) = (folder(), Instant::now());
    let mut outbox = open(folder.path(), Policy::Always, now);
    let (woken, wakes) = std::sync::mpsc::channel();
    outbox.wake_with(std::sync::Arc::new(move || woken.send(()).unwrap_or_default()));
    fill(&mut outbox, 1..=3, now);
    assert_eq!(outbox.next(now), None);
    outbox.commit(now).unwrap();
    wakes.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(ids(&mut outbox, now), [1, 2, 3]);
    let left = killed(&outbox, folder.path());
    let mut again = open(left.path(), Policy::Always, now);
    again.syncer.wait();
    assert_eq!(ids(&mut again, now), [1, 2, 3]);
}

#[test]
fn files_are_for_the_owner_alone() {
    let (folder, now) = (folder(), Instant::now());
    let store = folder.path().join("outbox");
    let mut outbox = open(&store, Policy::Always, now);
    fill(&mut outbox, 1..=1, now);
    outbox.commit(now).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&store), 0o700);
    let files: Vec<_> = fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 2);
    assert!(files.iter().all(|path| mode(path) == 0o600));
}

#[test]
fn segments_go_when_all_their_records_are_sent() {
    let (folder, now) = (folder(), Instant::now());
    let mut outbox = open(folder.path(), Policy::Always, now);
    let big = |number| Record { payload: vec![b'x'; 20_000].into(), ..record(number) };
    for number in 1..=40 {
        outbox.append(big(number), now).unwrap();
        outbox.commit(now).unwrap();
    }
    let before = segments(folder.path()).len();
    assert!(before >= 9, "{before}");
    outbox.syncer.wait();
    for id in ids(&mut outbox, now) {
        outbox.acknowledge(RecordId(id));
        outbox.commit(now).unwrap();
    }
    assert_eq!(segments(folder.path()).len(), 1, "the one that is written to");
    let used: u64 = segments(folder.path()).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(used < 100_000, "{used}");
}

#[test]
fn the_limits_are_those_of_memory() {
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let when_full = random.choice([WhenFull::DropOldest, WhenFull::DropNewest, WhenFull::Block]).unwrap();
        let limits = Limits { max_bytes: 2_000, max_age: Duration::from_secs(30), when_full };
        let (folder, mut now) = (folder(), Instant::now());
        let policy = *random.choice(&[Policy::Spill, Policy::Always]).unwrap();
        let mut durable = DurableOutbox::open(folder.path(), policy, limits, now).unwrap();
        let mut memory = MemoryOutbox::new(limits);
        for number in 0..300 {
            match random.u8(0..8) {
                0..4 => assert_eq!(durable.append(record(number), now), memory.append(record(number), now)),
                4 => {
                    let id = RecordId(random.u64(..memory.tail().0));
                    durable.acknowledge(id);
                    memory.acknowledge(id);
                }
                5 => now += Duration::from_millis(random.u64(..3_000)),
                6 if random.u8(0..5) == 0 => {
                    durable.rewind();
                    memory.rewind();
                }
                _ => {
                    durable.commit(now).unwrap();
                    durable.syncer.wait();
                    assert_eq!(durable.next(now), memory.next(now));
                }
            }
            assert_eq!(durable.depth(now), memory.depth(now));
            assert_eq!(durable.dropped(), memory.dropped());
        }
        assert!(memory.dropped() > 0 || when_full == WhenFull::Block);
    }
}

#[test]
fn a_full_disk_is_told_once_and_messages_pass_in_memory_until_there_is_room() {
    for policy in [Policy::Spill, Policy::Always] {
        let (folder, now) = (folder(), Instant::now());
        let mut outbox = open(folder.path(), policy, now);
        // Every write to this device fails for want of space.
        let next_segment = folder.path().join(format!("{:016x}.log", 1));
        symlink("/dev/full", &next_segment).unwrap();
        fill(&mut outbox, 1..=2, now);
        assert_eq!(outbox.save(now).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(outbox.condition().degraded, Some(StoreFault::Full));
        assert_eq!(StoreFault::Full.code(), crate::error::Code::StoreFull);
        assert_eq!(outbox.commit_due(), Some(now + RETRY_AFTER));
        outbox.commit(now + RETRY_AFTER).unwrap();
        assert_eq!(outbox.condition().degraded, Some(StoreFault::Full));
        assert_eq!(ids(&mut outbox, now), [1, 2], "the broker gets them all the same");
        outbox.acknowledge(RecordId(1));
        fill(&mut outbox, 3..=3, now);

        fs::remove_file(&next_segment).unwrap();
        let later = now + RETRY_AFTER * 2;
        outbox.commit(later).unwrap();
        outbox.syncer.wait();
        outbox.commit(later).unwrap();
        assert_eq!(outbox.condition(), Condition::default());
        let left = killed(&outbox, folder.path());
        let mut again = open(left.path(), policy, now);
        again.syncer.wait();
        assert_eq!(ids(&mut again, now), [2, 3]);
        assert_eq!(again.condition(), Condition::default());
    }
}

#[test]
fn a_barrier_that_fails_degrades_the_store_until_one_succeeds() {
    let (folder, now) = (folder(), Instant::now());
    let mut outbox = open(folder.path(), Policy::Always, now);
    fill(&mut outbox, 1..=1, now);
    outbox.commit(now).unwrap();
    // A pipe knows no barrier: the thread gets an error, as from a medium that fails.
    let (_, pipe) = io::pipe().unwrap();
    let pipe = fs::File::from(std::os::fd::OwnedFd::from(pipe));
    outbox.syncer.request(vec![pipe.into()], outbox.unwritten).unwrap();
    outbox.syncer.wait();
    assert!(outbox.commit(now).is_err());
    assert!(matches!(outbox.condition().degraded, Some(StoreFault::Io(_))));
    fill(&mut outbox, 2..=2, now);
    assert_eq!(ids(&mut outbox, now), [1, 2]);
    let later = now + RETRY_AFTER;
    outbox.commit(later).unwrap();
    outbox.syncer.wait();
    outbox.commit(later).unwrap();
    assert_eq!(outbox.condition(), Condition::default());
    assert_eq!(outbox.safe(), RecordId(1), "what the file that failed holds, nobody knows");
    outbox.acknowledge(RecordId(1));
    assert_eq!(outbox.safe(), RecordId(3));
    assert_eq!(segments(folder.path()).len(), 2, "nothing more went to the file that failed");
    let left = killed(&outbox, folder.path());
    let mut again = open(left.path(), Policy::Always, now);
    again.syncer.wait();
    assert_eq!(ids(&mut again, now).last(), Some(&2));
}

#[test]
fn a_store_cut_at_any_offset_keeps_what_lies_before_and_goes_on() {
    let (folder, now) = (folder(), Instant::now());
    let mut outbox = open(folder.path(), Policy::Spill, now);
    fill(&mut outbox, 1..=6, now);
    outbox.close(now).unwrap();
    let name = segments(folder.path())[0].file_name().unwrap().to_owned();
    let image = killed(&outbox, folder.path());
    let whole = fs::read(image.path().join(&name)).unwrap();
    let lengths = (1..=6).map(|n| 16 + 11 + record(n).topic.len() + record(n).payload.len());
    let ends: Vec<_> = lengths
        .scan(20, |at, length| {
            *at += length;
            Some(*at)
        })
        .collect();
    assert_eq!(ends.last(), Some(&whole.len()));
    let mut random = fastrand::Rng::with_seed(1);
    for cut in 0..=whole.len() {
        for tail in 0..3 {
            let mut bytes = whole.clone();
            match tail {
                0 => bytes.truncate(cut),
                1 => bytes[cut..].fill(0),
                _ => bytes[cut..].fill_with(|| random.u8(..)),
            }
            fs::write(image.path().join(&name), bytes).unwrap();
            let mut again = open(image.path(), Policy::Spill, now);
            let kept = ends.iter().filter(|end| **end <= cut).count() as u64;
            assert_eq!(again.condition().damaged, 0);
            let wanted: Vec<_> = (1..=kept).map(|n| (n, record(n))).collect();
            assert_eq!(drain(&mut again, now), wanted, "cut at {cut}, tail {tail}");
            let id = again.append(record(7), now).unwrap();
            again.close(now).unwrap();
            drop(again);
            let mut third = open(image.path(), Policy::Spill, now);
            let wanted: Vec<_> = (1..=kept).map(|n| (n, record(n))).chain([(id.0, record(7))]).collect();
            assert_eq!(drain(&mut third, now), wanted, "cut at {cut}, tail {tail}, then once more");
            drop(third);
            segments(image.path()).iter().for_each(|path| fs::remove_file(path).unwrap());
            fs::copy(folder.path().join("cursor"), image.path().join("cursor")).unwrap();
        }
    }
}

#[test]
fn a_damaged_file_is_set_aside_and_the_store_goes_on() {
    for header in [false, true] {
        let (folder, now) = (folder(), Instant::now());
        for run in 0..2 {
            let mut outbox = open(folder.path(), Policy::Spill, now);
            fill(&mut outbox, run * 4 + 1..=run * 4 + 4, now);
        }
        let [first, _] = &segments(folder.path())[..] else { panic!("a segment for each run") };
        let mut bytes = fs::read(first).unwrap();
        // In the second record, or in the first eight octets.
        bytes[if header { 3 } else { 120 }] ^= 0x10;
        fs::write(first, &bytes).unwrap();
        fs::write(folder.path().join("0000000000000009.damaged"), "an older one").unwrap();
        let mut again = open(folder.path(), Policy::Spill, now);
        assert_eq!(again.condition().damaged, 1);
        assert_eq!(ids(&mut again, now), if header { vec![5, 6, 7, 8] } else { vec![1, 5, 6, 7, 8] });
        let asides = with_extension(folder.path(), "damaged");
        assert_eq!(asides, [first.with_extension("damaged")], "and the older one is gone");
        assert_eq!(fs::read(&asides[0]).unwrap(), bytes);
        drop(again);
        assert_eq!(open(folder.path(), Policy::Spill, now).condition().damaged, 0, "told once");
    }
}

#[test]
fn a_file_that_is_not_ours_is_set_aside() {
    let (folder, now) = (folder(), Instant::now());
    drop(open(folder.path(), Policy::Spill, now));
    let path = folder.path().join(format!("{:016x}.log", 1));
    fs::File::create(&path).unwrap().set_len(65 << 20).unwrap();
    let mut outbox = open(folder.path(), Policy::Spill, now);
    assert_eq!((outbox.condition().damaged, ids(&mut outbox, now)), (1, Vec::new()));
    assert!(path.with_extension("damaged").exists());
    // A device would be read for ever.
    symlink("/dev/zero", &path).unwrap();
    assert_eq!(open(folder.path(), Policy::Spill, now).condition().damaged, 1);
    fill(&mut outbox, 1..=1, now);
    outbox.save(now).unwrap();
    assert_eq!(outbox.condition().degraded, None);
}

#[test]
fn a_record_that_rots_on_the_medium_costs_itself_alone_and_is_told() {
    let (folder, now) = (folder(), Instant::now());
    let mut outbox = open(folder.path(), Policy::Spill, now);
    fill(&mut outbox, 1..=3, now);
    outbox.save(now).unwrap();
    let path = &segments(folder.path())[0];
    let mut bytes = fs::read(path).unwrap();
    bytes[120] ^= 1;
    fs::write(path, bytes).unwrap();
    assert_eq!(ids(&mut outbox, now), [1, 3]);
    assert_eq!((outbox.condition().damaged, outbox.dropped(), outbox.depth(now).messages), (1, 1, 2));
    for id in [1, 3] {
        outbox.acknowledge(RecordId(id));
    }
    outbox.commit(now).unwrap();
    assert_eq!((segments(folder.path()).len(), with_extension(folder.path(), "damaged").len()), (0, 1));
}
