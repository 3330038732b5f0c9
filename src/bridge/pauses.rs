//! Which polls are suspended on request: rules for devices, groups and connections, of which the latest that fits
//! counts. They belong to the running bridge, so that neither another configuration nor a new link forgets them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::config::Name;
use super::schedule::Activity;

/// What a rule is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// All polls of a device.
    Device(Name),
    /// All polls of a group.
    Group(Name),
    /// All polls of a connection.
    Connection(Name),
}

/// One poll: a group as one device has it.
#[derive(Clone, Copy, Debug)]
pub struct Poll<'a> {
    /// The connection of the device.
    pub connection: &'a str,
    /// The device.
    pub device: &'a str,
    /// The group.
    pub group: &'a str,
}

impl Subject {
    /// Whether a poll is meant.
    #[must_use]
    pub fn covers(&self, poll: Poll<'_>) -> bool {
        match self {
            Self::Device(name) => name.as_str() == poll.device,
            Self::Group(name) => name.as_str() == poll.group,
            Self::Connection(name) => name.as_str() == poll.connection,
        }
    }
}

/// The rules.
#[derive(Debug, Default)]
pub struct Pauses(Mutex<Rules>);

#[derive(Debug, Default)]
struct Rules {
    last: u64,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    number: u64,
    subject: Subject,
    activity: Activity,
}

impl Pauses {
    /// Makes a rule, in place of an earlier one for the same subject; returns its number.
    pub fn set(&self, subject: &Subject, activity: Activity) -> u64 {
        let mut rules = self.lock();
        rules.rules.retain(|rule| rule.subject != *subject);
        rules.last += 1;
        let number = rules.last;
        rules.rules.push(Rule { number, subject: subject.clone(), activity });
        // Where nothing is paused there is nothing to except.
        if rules.rules.iter().all(|rule| rule.activity == Activity::Active) {
            rules.rules.clear();
        }
        number
    }

    /// Takes a rule back; `false` where another has taken its place.
    pub fn end(&self, number: u64) -> bool {
        let mut rules = self.lock();
        let before = rules.rules.len();
        rules.rules.retain(|rule| rule.number != number);
        rules.rules.len() < before
    }

    /// Whether a poll goes on.
    #[must_use]
    pub fn activity(&self, poll: Poll<'_>) -> Activity {
        let rules = self.lock();
        let latest = rules.rules.iter().rev().find(|rule| rule.subject.covers(poll));
        latest.map_or(Activity::Active, |rule| rule.activity)
    }

    fn lock(&self) -> MutexGuard<'_, Rules> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_rule_that_fits_counts() {
        let pauses = Pauses::default();
        let device = |name: &str| Subject::Device(name.parse().unwrap());
        let group = Subject::Group("g".parse().unwrap());
        let line = Subject::Connection("c".parse().unwrap());
        let of = |device| pauses.activity(Poll { connection: "c", device, group: "g" });
        assert_eq!(of("a"), Activity::Active);
        pauses.set(&line, Activity::Paused);
        pauses.set(&device("a"), Activity::Active);
        assert_eq!((of("a"), of("b")), (Activity::Active, Activity::Paused));
        let for_a_while = pauses.set(&group, Activity::Paused);
        assert_eq!((of("a"), of("b")), (Activity::Paused, Activity::Paused));
        assert!(pauses.end(for_a_while));
        assert!(!pauses.end(for_a_while));
        assert_eq!((of("a"), of("b")), (Activity::Active, Activity::Paused));
        pauses.set(&line, Activity::Active);
        assert_eq!((of("a"), of("b")), (Activity::Active, Activity::Active));
        assert!(pauses.lock().rules.is_empty());
    }
}
