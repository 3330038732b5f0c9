//! The broker that other tests lean on does what they assume of it.

mod support;

use support::mosquitto::Mosquitto;

#[tokio::test]
async fn a_message_reaches_a_subscriber_and_a_retained_one_a_late_subscriber() {
    let broker = Mosquitto::start();
    let live = broker.subscribe("t/#");
    broker.publish("t/a", br#"{"n":1}"#, &["-r"]);
    let seen = live.until("message", |messages| !messages.is_empty()).await;
    assert_eq!((seen[0].topic.as_str(), seen[0].retain, seen[0].qos), ("t/a", false, 1));
    assert_eq!(seen[0].json()["n"], 1);

    let late = broker.subscribe("t/#");
    let seen = late.until("retained message", |messages| !messages.is_empty()).await;
    assert!(seen[0].retain);
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_only_when_asked_for() {
    for (setup, kept) in [(Mosquitto::setup(), 0), (Mosquitto::setup().durable(), 1)] {
        let mut broker = setup.start();
        broker.publish("t/a", b"{}", &["-r"]);
        std::thread::sleep(std::time::Duration::from_millis(1500));
        broker.restart();
        let late = broker.subscribe("t/#");
        broker.publish("t/end", b"{}", &[]);
        late.until("end", |messages| messages.iter().any(|message| message.topic == "t/end")).await;
        assert_eq!(late.of("t/a").len(), kept);
    }
}
