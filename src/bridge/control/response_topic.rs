//! Where a caller may want an answer: MQTT 5 response topics against the filters that the configuration allows.

use crate::bridge::topics::Topics;

/// Whether an answer may be published on a topic that a caller names.
///
/// Our own topics are never among them, whatever the filters say: an answer must not pass for a value.
pub(super) fn is_allowed(topic: &str, filters: &[String], topics: &Topics) -> bool {
    is_topic_name(topic) && !is_ours(topic, topics) && filters.iter().any(|filter| matches(filter, topic))
}

/// A topic that can be published on (MQTT 5, 4.7).
fn is_topic_name(topic: &str) -> bool {
    (1..=65_535).contains(&topic.len()) && !topic.chars().any(|c| matches!(c, '+' | '#') || c.is_control())
}

fn is_ours(topic: &str, topics: &Topics) -> bool {
    let below = topic.strip_prefix(topics.base()).and_then(|rest| rest.strip_prefix('/'));
    below.is_some_and(|rest| !rest.starts_with("bridge/response/")) || topic == topics.base()
}

/// Whether a topic matches a filter (MQTT 5, 4.7.1); wildcards do not reach topics that begin with `$` (4.7.2).
fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_as_the_standard_says() {
        for (filter, topic, expected) in [
            ("scada/#", "scada/a/b", true),
            ("scada/#", "scada", true),
            ("scada/+/r", "scada/a/r", true),
            ("scada/+/r", "scada/a/b/r", false),
            ("scada/+", "scada/", true),
            ("scada", "scada/a", false),
            ("#", "a/b", true),
            ("#", "$SYS/a", false),
            ("$SYS/#", "$SYS/a", true),
            ("+/a", "$SYS/a", false),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }

    #[test]
    fn wildcards_and_our_own_topics_are_refused() {
        let topics = Topics::new("dlms/g").unwrap();
        let all = ["#".to_owned()];
        for topic in
            ["", "a/+", "a/#", "a\0", "dlms/g", "dlms/g/devices/m/availability", "dlms/g/bridge/request/read"]
        {
            assert!(!is_allowed(topic, &all, &topics), "{topic}");
        }
        assert!(is_allowed("dlms/g/bridge/response/mine", &all, &topics));
        assert!(is_allowed("dlms/gg/x", &all, &topics));
        assert!(!is_allowed("scada/x", &[], &topics));
    }
}
