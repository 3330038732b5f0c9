//! Every topic of the MQTT contract, built from the base topic in one place.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// A topic name, shared without copying between the queues it passes.
pub type Topic = Arc<str>;

/// The longest base that leaves room for two names of 64 below it in any broker's topic limit.
const LONGEST_BASE: usize = 256;

/// Why a text cannot be the base of all topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BaseTopicError {
    /// Nothing before the first level.
    #[error("the base topic is empty")]
    Empty,
    /// Over 256 bytes.
    #[error("the base topic is longer than {LONGEST_BASE} bytes")]
    TooLong,
    /// `dlms//x`, `/dlms` or `dlms/`.
    #[error("the base topic has an empty level")]
    EmptyLevel,
    /// `+`, `#` or a control character (MQTT 5, 4.7.1 and 1.5.4).
    #[error("the base topic holds a wildcard or a control character")]
    Forbidden,
    /// Topics that begin with `$` belong to the broker (MQTT 5, 4.7.2).
    #[error("the base topic begins with $, which is the broker's own")]
    Reserved,
}

/// All topics of one gateway.
#[derive(Clone, PartialEq, Eq)]
pub struct Topics {
    base: Arc<str>,
}

impl Topics {
    /// Topics below `base`, such as `dlms/substation-7`.
    ///
    /// # Errors
    /// When `base` is no topic name that others can be built below.
    pub fn new(base: &str) -> Result<Self, BaseTopicError> {
        if base.is_empty() {
            return Err(BaseTopicError::Empty);
        }
        if base.len() > LONGEST_BASE {
            return Err(BaseTopicError::TooLong);
        }
        if base.split('/').any(str::is_empty) {
            return Err(BaseTopicError::EmptyLevel);
        }
        if base.chars().any(|c| matches!(c, '+' | '#') || c.is_control()) {
            return Err(BaseTopicError::Forbidden);
        }
        if base.starts_with('$') {
            return Err(BaseTopicError::Reserved);
        }
        Ok(Self { base: base.into() })
    }

    /// The base where the configuration names none: `dlms/<gateway>`.
    #[must_use]
    pub fn default_base(gateway: &str) -> String {
        format!("dlms/{gateway}")
    }

    /// The base itself, without a slash at its end.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Online or offline; retained, and the topic of the last will.
    #[must_use]
    pub fn bridge_state(&self) -> Topic {
        self.below("bridge/state")
    }

    /// Version, configuration revision, features; retained.
    #[must_use]
    pub fn bridge_info(&self) -> Topic {
        self.below("bridge/info")
    }

    /// Inventory of connections; retained.
    #[must_use]
    pub fn bridge_connections(&self) -> Topic {
        self.below("bridge/connections")
    }

    /// Inventory of devices; retained.
    #[must_use]
    pub fn bridge_devices(&self) -> Topic {
        self.below("bridge/devices")
    }

    /// Inventory of groups; retained.
    #[must_use]
    pub fn bridge_groups(&self) -> Topic {
        self.below("bridge/groups")
    }

    /// Counters and queue depths; retained.
    #[must_use]
    pub fn bridge_health(&self) -> Topic {
        self.below("bridge/health")
    }

    /// Events of the gateway; never retained.
    #[must_use]
    pub fn bridge_event(&self) -> Topic {
        self.below("bridge/event")
    }

    /// The default topic of answers to `verb`.
    #[must_use]
    pub fn response(&self, verb: &str) -> Topic {
        self.below(format_args!("bridge/response/{verb}"))
    }

    /// The one filter that all requests match.
    #[must_use]
    pub fn request_filter(&self) -> String {
        format!("{}/bridge/request/#", self.base)
    }

    /// The verb of a request topic, such as `config/get`; `None` for any other topic.
    #[must_use]
    pub fn request_verb<'t>(&self, topic: &'t str) -> Option<&'t str> {
        let verb = topic.strip_prefix(&*self.base)?.strip_prefix("/bridge/request/")?;
        (!verb.is_empty()).then_some(verb)
    }

    /// Whether the device answers; retained.
    #[must_use]
    pub fn device_availability(&self, device: &str) -> Topic {
        self.below(format_args!("devices/{device}/availability"))
    }

    /// Link, association, identity and clock of the device; retained.
    #[must_use]
    pub fn device_status(&self, device: &str) -> Topic {
        self.below(format_args!("devices/{device}/status"))
    }

    /// Snapshot of one group; retained.
    #[must_use]
    pub fn device_group(&self, device: &str, group: &str) -> Topic {
        self.below(format_args!("devices/{device}/groups/{group}"))
    }

    /// One value; retained.
    #[must_use]
    pub fn device_value(&self, device: &str, value: &str) -> Topic {
        self.below(format_args!("devices/{device}/values/{value}"))
    }

    /// Rows of one profile; never retained.
    #[must_use]
    pub fn device_profile(&self, device: &str, value: &str) -> Topic {
        self.below(format_args!("devices/{device}/profiles/{value}"))
    }

    /// Events of the device; never retained.
    #[must_use]
    pub fn device_event(&self, device: &str) -> Topic {
        self.below(format_args!("devices/{device}/event"))
    }

    fn below(&self, rest: impl fmt::Display) -> Topic {
        format!("{}/{rest}", self.base).into()
    }
}

impl fmt::Debug for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topics({}/…)", self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_those_of_the_contract() {
        let topics = Topics::new("dlms/substation-7").unwrap();
        let all = [
            topics.bridge_state(),
            topics.bridge_info(),
            topics.bridge_connections(),
            topics.bridge_devices(),
            topics.bridge_groups(),
            topics.bridge_health(),
            topics.bridge_event(),
            topics.response("config/get"),
            topics.request_filter().into(),
            topics.device_availability("meter-07"),
            topics.device_status("meter-07"),
            topics.device_group("meter-07", "billing"),
            topics.device_value("meter-07", "energy_import"),
            topics.device_profile("meter-07", "load_profile"),
            topics.device_event("meter-07"),
        ];
        let below: Vec<_> =
            all.iter().map(|topic| topic.strip_prefix("dlms/substation-7/").unwrap()).collect();
        assert_eq!(
            below,
            [
                "bridge/state",
                "bridge/info",
                "bridge/connections",
                "bridge/devices",
                "bridge/groups",
                "bridge/health",
                "bridge/event",
                "bridge/response/config/get",
                "bridge/request/#",
                "devices/meter-07/availability",
                "devices/meter-07/status",
                "devices/meter-07/groups/billing",
                "devices/meter-07/values/energy_import",
                "devices/meter-07/profiles/load_profile",
                "devices/meter-07/event",
            ]
        );
    }

    #[test]
    fn request_topics_yield_their_verb() {
        let topics = Topics::new("dlms/g").unwrap();
        assert_eq!(topics.request_verb("dlms/g/bridge/request/read"), Some("read"));
        assert_eq!(topics.request_verb("dlms/g/bridge/request/config/get"), Some("config/get"));
        for foreign in [
            "dlms/g/bridge/request/",
            "dlms/g/bridge/request",
            "dlms/g/bridge/response/read",
            "dlms/gg/bridge/request/read",
            "read",
            "",
        ] {
            assert_eq!(topics.request_verb(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_base_that_is_no_topic_name_is_refused() {
        for (base, error) in [
            ("", BaseTopicError::Empty),
            ("/dlms", BaseTopicError::EmptyLevel),
            ("dlms/", BaseTopicError::EmptyLevel),
            ("dlms//g", BaseTopicError::EmptyLevel),
            ("dlms/+", BaseTopicError::Forbidden),
            ("dlms/#", BaseTopicError::Forbidden),
            ("dlms/\0", BaseTopicError::Forbidden),
            ("$SYS/dlms", BaseTopicError::Reserved),
        ] {
            assert_eq!(Topics::new(base), Err(error), "{base:?}");
        }
        assert_eq!(Topics::new(&"x".repeat(257)), Err(BaseTopicError::TooLong));
        assert_eq!(Topics::new(&Topics::default_base("g")).unwrap().base(), "dlms/g");
    }
}
