//! What leaves the lanes, in which order, over connections that come and go.

use super::super::super::outbox::{Limits, MemoryOutbox};
use super::*;

fn lanes() -> Lanes {
    let outbox = Box::new(MemoryOutbox::new(Limits::default()));
    Lanes::new(outbox, RetainedTopics::open(None))
}

fn connect(lanes: &mut Lanes) {
    let birth = Publish {
        topic: "g/bridge/state".into(),
        payload: "{}".into(),
        retain: true,
        correlation_data: None,
    };
    lanes.begin_connection(birth, &Topics::new("g").unwrap(), LARGEST_PACKET);
}

fn telemetry(lanes: &mut Lanes, topic: &str, payload: &'static str, retain: Retain) {
    let record = Record { topic: topic.into(), payload: payload.into(), retain };
    lanes.append(record, Instant::now()).unwrap();
}

fn state(lanes: &mut Lanes, topic: &str, payload: &'static str) {
    lanes.set_state(topic.into(), payload.into()).unwrap();
}

/// All that leaves now, as `topic payload`, `=` for retained; each confirmed by the broker.
fn flush(lanes: &mut Lanes) -> Vec<String> {
    send(lanes)
        .into_iter()
        .map(|(said, delivery)| {
            lanes.settle(delivery, Verdict::Accepted);
            said
        })
        .collect()
}

fn send(lanes: &mut Lanes) -> Vec<(String, Delivery)> {
    let next = || lanes.next(Instant::now());
    std::iter::from_fn(next)
        .map(|(message, delivery)| {
            let sign = if message.retain { "=" } else { "" };
            (format!("{} {sign}{}", message.topic, std::str::from_utf8(&message.payload).unwrap()), delivery)
        })
        .collect()
}

#[test]
fn a_state_leaves_after_the_telemetry_before_it_and_ahead_of_what_follows() {
    let mut lanes = lanes();
    connect(&mut lanes);
    assert_eq!(flush(&mut lanes), ["g/bridge/state ={}"]);
    telemetry(&mut lanes, "v", "1", Retain::Retained);
    state(&mut lanes, "a", "online");
    telemetry(&mut lanes, "e", "2", Retain::Transient);
    state(&mut lanes, "b", "x");
    assert_eq!(flush(&mut lanes), ["v =1", "a =online", "e 2", "b =x"]);
    assert!(lanes.is_idle(Instant::now()));
    assert_eq!(lanes.outbox().depth(Instant::now()).messages, 0);
}

#[test]
fn only_the_latest_of_a_state_is_sent_and_at_its_own_place() {
    let mut lanes = lanes();
    connect(&mut lanes);
    flush(&mut lanes);
    state(&mut lanes, "a", "1");
    telemetry(&mut lanes, "e", "2", Retain::Transient);
    state(&mut lanes, "a", "3");
    assert_eq!(flush(&mut lanes), ["e 2", "a =3"]);
}

#[test]
fn each_connection_begins_with_the_announcement_values_before_states() {
    let mut lanes = lanes();
    state(&mut lanes, "a", "online");
    telemetry(&mut lanes, "v", "1", Retain::Retained);
    telemetry(&mut lanes, "e", "2", Retain::Transient);
    state(&mut lanes, "g/bridge/groups", "[]");
    state(&mut lanes, "g/bridge/info", "i");
    let announced = ["g/bridge/state ={}", "g/bridge/info =i", "g/bridge/groups =[]", "v =1", "a =online"];
    connect(&mut lanes);
    let first: Vec<_> = announced.into_iter().chain(["e 2"]).collect();
    assert_eq!(flush(&mut lanes), first, "the value is said once though it waits in the outbox too");
    lanes.end_connection([]);
    connect(&mut lanes);
    assert_eq!(flush(&mut lanes), announced);
}

#[test]
fn what_is_not_confirmed_is_sent_again_and_older_values_as_replays() {
    let mut lanes = lanes();
    connect(&mut lanes);
    flush(&mut lanes);
    for payload in [r#"{"s":1}"#, r#"{"s":2}"#, r#"{"s":3}"#] {
        telemetry(&mut lanes, "v", payload, Retain::Retained);
    }
    let sent = send(&mut lanes);
    let said: Vec<_> = sent.iter().map(|(said, _)| said.as_str()).collect();
    assert_eq!(said, [r#"v ={"s":1}"#, r#"v ={"s":2}"#, r#"v ={"s":3}"#], "live: in order, all retained");
    lanes.end_connection(sent.into_iter().map(|(_, delivery)| delivery));

    connect(&mut lanes);
    let again =
        ["g/bridge/state ={}", r#"v ={"s":3}"#, r#"v {"s":1,"replay":true}"#, r#"v {"s":2,"replay":true}"#];
    assert_eq!(flush(&mut lanes), again);
    assert!(lanes.is_idle(Instant::now()));
    assert_eq!(lanes.outbox().depth(Instant::now()).messages, 0, "one confirmation settles the newest");
}

#[test]
fn a_value_that_changes_while_it_is_announced_is_not_set_back() {
    let mut lanes = lanes();
    telemetry(&mut lanes, "v", r#"{"s":1}"#, Retain::Retained);
    state(&mut lanes, "a", "offline");
    connect(&mut lanes);
    assert_eq!(lanes.next(Instant::now()).unwrap().0.topic, "g/bridge/state");
    telemetry(&mut lanes, "v", r#"{"s":2}"#, Retain::Retained);
    state(&mut lanes, "a", "online");
    assert_eq!(flush(&mut lanes), [r#"v {"s":1,"replay":true}"#, r#"v ={"s":2}"#, "a =online"]);
}

#[test]
fn a_cleared_topic_is_emptied_last_and_then_forgotten() {
    let mut lanes = lanes();
    connect(&mut lanes);
    flush(&mut lanes);
    telemetry(&mut lanes, "v", r#"{"s":1}"#, Retain::Retained);
    lanes.clear("v").unwrap();
    assert_eq!(flush(&mut lanes), [r#"v ={"s":1}"#, "v ="]);
    let remembered: Vec<_> = lanes.retained_topics();
    assert_eq!(remembered.iter().map(|topic| &**topic).collect::<Vec<_>>(), ["g/bridge/state"]);
    lanes.end_connection([]);
    connect(&mut lanes);
    assert_eq!(flush(&mut lanes), ["g/bridge/state ={}"]);
}

#[test]
fn replies_go_first_and_again_if_the_connection_took_them_along() {
    let mut lanes = lanes();
    connect(&mut lanes);
    telemetry(&mut lanes, "e", "1", Retain::Transient);
    let deadline = Instant::now() + std::time::Duration::from_secs(60);
    lanes
        .push_reply(Reply { topic: "r".into(), payload: "ok".into(), deadline, correlation_data: None })
        .unwrap();
    let sent = send(&mut lanes);
    assert_eq!(sent[0].0, "r ok");
    lanes.end_connection(sent.into_iter().map(|(_, delivery)| delivery));
    connect(&mut lanes);
    assert_eq!(flush(&mut lanes), ["r ok", "g/bridge/state ={}", "e 1"]);
}

#[test]
fn what_the_broker_refuses_is_counted_and_holds_up_nothing() {
    let mut lanes = lanes();
    connect(&mut lanes);
    flush(&mut lanes);
    telemetry(&mut lanes, "e", "1", Retain::Transient);
    let (_, delivery) = lanes.next(Instant::now()).unwrap();
    lanes.settle(delivery, Verdict::Postponed);
    assert_eq!(lanes.outbox().depth(Instant::now()).messages, 1, "postponed is not lost");
    lanes.end_connection([]);
    connect(&mut lanes);
    for (_, delivery) in send(&mut lanes) {
        lanes.settle(delivery, Verdict::Refused);
    }
    assert_eq!(lanes.outbox().depth(Instant::now()).messages, 0);
    assert_eq!(lanes.counters().refused, 2);
}
