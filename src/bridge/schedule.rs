//! Which meter of a link is visited next, and when: a pure decision over the wall clock.
//!
//! Ticks are multiples of a group's interval since the Unix epoch, plus its offset. Due groups of one meter
//! merge into one visit; between meters the earliest deadline goes first, then the one served longest ago.
//! Ticks that passed while the link was busy are skipped and counted, never replayed.

/// Milliseconds since the Unix epoch.
pub type WallMillis = i64;

/// How far the next tick may be before a new group is read once at once.
const READ_AT_START_MS: i64 = 10_000;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Visit a station now.
    Now(Visit),
    /// Nothing is due before this time.
    NotBefore(WallMillis),
    /// Nothing is scheduled at all.
    Never,
}

/// One visit: the groups of a station that are due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Index of the station on its link.
    pub station: usize,
    /// Its due groups.
    pub groups: Vec<DueGroup>,
}

/// A group that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueGroup {
    /// Index of the group within the station.
    pub group: usize,
    /// The scheduled tick that is served.
    pub tick: WallMillis,
    /// Ticks that passed unserved before it.
    pub skipped: u64,
}

/// The schedule of one link.
#[derive(Debug, Default)]
pub struct Schedule {
    stations: Vec<Station>,
    visits: u64,
}

#[derive(Debug, Default)]
struct Station {
    groups: Vec<Periodic>,
    last_visit: u64,
}

#[derive(Debug)]
struct Periodic {
    interval: i64,
    offset: i64,
    next: WallMillis,
    paused: bool,
}

impl Schedule {
    /// An empty schedule.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a station; returns its index.
    pub fn add_station(&mut self) -> usize {
        self.stations.push(Station::default());
        self.stations.len() - 1
    }

    /// Adds a group to a station; returns its index there. `interval` and `offset` in milliseconds.
    ///
    /// The first visit is the next tick, or at once where that is more than ten seconds away.
    pub fn add_group(&mut self, station: usize, interval: i64, offset: i64, now: WallMillis) -> usize {
        let interval = interval.max(1);
        let next = tick_after(now, interval, offset);
        let next = if next - now > READ_AT_START_MS { now } else { next };
        let groups = &mut self.stations[station].groups;
        groups.push(Periodic { interval, offset, next, paused: false });
        groups.len() - 1
    }

    /// Lets a group go on where one of another schedule was: paused if that was, and at its next tick if their ticks
    /// are the same.
    pub fn take_over(
        &mut self,
        (station, group): (usize, usize),
        former: &Self,
        (former_station, former_group): (usize, usize),
    ) {
        let former = former.stations.get(former_station).and_then(|it| it.groups.get(former_group));
        let now = self.stations.get_mut(station).and_then(|it| it.groups.get_mut(group));
        if let (Some(now), Some(former)) = (now, former) {
            now.paused = former.paused;
            if (now.interval, now.offset) == (former.interval, former.offset) {
                now.next = former.next;
            }
        }
    }

    /// Pauses or resumes a group. A resumed group goes on with its next tick.
    pub fn set_activity(&mut self, station: usize, group: usize, activity: Activity, now: WallMillis) {
        let periodic = &mut self.stations[station].groups[group];
        periodic.paused = activity == Activity::Paused;
        periodic.next = tick_after(now, periodic.interval, periodic.offset);
    }

    /// Whether a group is paused.
    #[must_use]
    pub fn activity(&self, station: usize, group: usize) -> Activity {
        if self.stations[station].groups[group].paused { Activity::Paused } else { Activity::Active }
    }

    /// The next visit of a station, whether or not it is due; `None` where nothing is scheduled.
    #[must_use]
    pub fn next_visit(&self, station: usize) -> Option<WallMillis> {
        self.stations.get(station)?.earliest()
    }

    /// Whether anything is due.
    #[must_use]
    pub fn is_due(&self, now: WallMillis) -> bool {
        self.stations.iter().filter_map(Station::earliest).any(|next| next <= now)
    }

    /// Decides. A visit that is returned counts as served: its groups move on to their next ticks.
    pub fn next(&mut self, now: WallMillis) -> Next {
        let Some((deadline, _, station)) = self
            .stations
            .iter()
            .enumerate()
            .filter_map(|(index, station)| Some((station.earliest()?, station.last_visit, index)))
            .min()
        else {
            return Next::Never;
        };
        if deadline > now {
            return Next::NotBefore(deadline);
        }
        self.visits += 1;
        let chosen = &mut self.stations[station];
        chosen.last_visit = self.visits;
        let groups = chosen
            .groups
            .iter_mut()
            .enumerate()
            .filter(|(_, periodic)| !periodic.paused && periodic.next <= now)
            .map(|(group, periodic)| periodic.serve(group, now))
            .collect();
        Next::Now(Visit { station, groups })
    }

    /// Reads a station as at its start: what is not due soon is due at once.
    pub fn read_at_once(&mut self, station: usize, now: WallMillis) {
        let groups = self.stations.get_mut(station).map(|station| &mut station.groups);
        for periodic in groups.into_iter().flatten().filter(|periodic| !periodic.paused) {
            if periodic.next - now > READ_AT_START_MS {
                periodic.next = now;
            }
        }
    }

    /// After a step of the wall clock backwards: ticks that lie further ahead than an interval come back.
    pub fn clock_stepped(&mut self, now: WallMillis) {
        for periodic in self.stations.iter_mut().flat_map(|station| &mut station.groups) {
            if periodic.next - now > periodic.interval {
                periodic.next = tick_after(now, periodic.interval, periodic.offset);
            }
        }
    }
}

/// Whether a group is polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Polled on its ticks.
    Active,
    /// Not polled.
    Paused,
}

impl Station {
    fn earliest(&self) -> Option<WallMillis> {
        self.groups.iter().filter(|periodic| !periodic.paused).map(|periodic| periodic.next).min()
    }
}

impl Periodic {
    fn serve(&mut self, group: usize, now: WallMillis) -> DueGroup {
        let next = tick_after(now, self.interval, self.offset);
        let latest = next - self.interval;
        // A visit at start lies between ticks: it keeps its own time.
        let tick = self.next.max(latest);
        let skipped = u64::try_from((tick - self.next) / self.interval).unwrap_or_default();
        self.next = next;
        DueGroup { group, tick, skipped }
    }
}

/// The first tick strictly after `now`.
fn tick_after(now: WallMillis, interval: i64, offset: i64) -> WallMillis {
    let since = now.saturating_sub(offset);
    since.div_euclid(interval).saturating_add(1).saturating_mul(interval).saturating_add(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn due(next: Next) -> Visit {
        match next {
            Next::Now(visit) => visit,
            other => panic!("expected a visit, not {other:?}"),
        }
    }

    #[test]
    fn ticks_are_multiples_of_the_interval_since_the_epoch_plus_the_offset() {
        let mut schedule = Schedule::new();
        let station = schedule.add_station();
        schedule.add_group(station, 15_000, 2_000, 100_000_000);
        assert_eq!(schedule.next(100_000_000), Next::NotBefore(100_007_000), "99 990 000 + 15 000 + 2 000");
        let visit = due(schedule.next(100_007_004));
        assert_eq!(visit.groups, [DueGroup { group: 0, tick: 100_007_000, skipped: 0 }]);
        assert_eq!(schedule.next(100_007_100), Next::NotBefore(100_022_000));
    }

    #[test]
    fn a_new_group_with_a_distant_tick_is_read_at_once() {
        let mut schedule = Schedule::new();
        let station = schedule.add_station();
        schedule.add_group(station, 15 * MINUTE, 0, 7 * MINUTE);
        assert_eq!(
            due(schedule.next(7 * MINUTE)).groups,
            [DueGroup { group: 0, tick: 7 * MINUTE, skipped: 0 }]
        );
        assert_eq!(schedule.next(7 * MINUTE), Next::NotBefore(15 * MINUTE));
    }

    #[test]
    fn missed_ticks_are_skipped_and_counted() {
        let mut schedule = Schedule::new();
        let station = schedule.add_station();
        schedule.add_group(station, 1_000, 0, 500);
        assert_eq!(due(schedule.next(4_600)).groups, [DueGroup { group: 0, tick: 4_000, skipped: 3 }]);
        assert_eq!(schedule.next(4_600), Next::NotBefore(5_000));
    }

    #[test]
    fn due_groups_of_one_station_merge_and_stations_take_turns() {
        let mut schedule = Schedule::new();
        let (a, b) = (schedule.add_station(), schedule.add_station());
        for station in [a, b] {
            schedule.add_group(station, 1_000, 0, 0);
            schedule.add_group(station, 2_000, 0, 0);
        }
        let first = due(schedule.next(2_000));
        let second = due(schedule.next(2_000));
        assert_eq!((first.station, first.groups.len()), (a, 2));
        assert_eq!((second.station, second.groups.len()), (b, 2));
        assert_eq!(due(schedule.next(3_000)).station, a);
        // b has waited since 3 000 when a is due again at 4 000: b goes first.
        assert_eq!(due(schedule.next(4_000)).station, b);
        assert_eq!(due(schedule.next(4_000)).station, a);
    }

    #[test]
    fn a_clock_that_steps_back_does_not_silence_a_group() {
        let mut schedule = Schedule::new();
        let station = schedule.add_station();
        schedule.add_group(station, 1_000, 0, 1_000_000);
        schedule.clock_stepped(5_000);
        assert_eq!(schedule.next(5_000), Next::NotBefore(6_000));
    }

    #[test]
    fn a_paused_group_waits_for_the_tick_after_its_return() {
        let mut schedule = Schedule::new();
        let station = schedule.add_station();
        let group = schedule.add_group(station, 1_000, 0, 0);
        schedule.set_activity(station, group, Activity::Paused, 0);
        assert_eq!(schedule.next(10_000), Next::Never);
        schedule.set_activity(station, group, Activity::Active, 10_500);
        assert_eq!(schedule.next(10_500), Next::NotBefore(11_000));
    }
}
