//! Peers that say what nobody asked: noise, answers of others, notifications while a meter associates.

use super::*;

/// The frame check sequence of HDLC, bit by bit.
fn check_sequence(octets: &[u8]) -> [u8; 2] {
    let mut crc = 0xFFFF_u16;
    for octet in octets {
        crc ^= u16::from(*octet);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x8408 } else { crc >> 1 };
        }
    }
    (!crc).to_le_bytes()
}

/// A TCP server that answers whatever arrives, at most a hundred times a connection, and counts connections.
async fn babbler(
    say: impl Fn() -> Vec<u8> + Send + Sync + Clone + 'static,
) -> (u16, std::sync::Arc<AtomicUsize>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = std::sync::Arc::new(AtomicUsize::new(0));
    let counter = std::sync::Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            let say = say.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 1024];
                for _ in 0..100 {
                    if !matches!(stream.read(&mut buffer).await, Ok(1..))
                        || stream.write_all(&say()).await.is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
    (port, connections)
}

#[tokio::test]
async fn over_hdlc_noise_and_answers_of_others_are_no_answers() {
    // UA from server 2 to client 16, where server 1 was asked.
    let other = || {
        let frame = [0xA0, 0x07, 0x21, 0x05, 0x73];
        [&[0x7E], &frame[..], &check_sequence(&frame), &[0x7E]].concat()
    };
    let noise = || {
        let flags = (0..120).map(|_| if fastrand::u8(..8) == 0 { 0x7E } else { fastrand::u8(..) });
        flags.collect::<Vec<u8>>()
    };
    async fn never_good(say: impl Fn() -> Vec<u8> + Send + Sync + Clone + 'static, codes: &[&str]) {
        let (port, connections) = babbler(say).await;
        let yard = Yard::start(port, json!({"interface": "hdlc"}));
        let seen = yard.snapshots_until("six cycles", |seen| seen.len() >= 6).await;
        for snapshot in &seen {
            assert_true(snapshot);
            let code = snapshot["error"]["code"].as_str().unwrap();
            assert!(codes.contains(&code), "{snapshot}");
        }
        let connections = connections.load(Ordering::SeqCst);
        assert!((1..=4).contains(&connections), "{connections} connections in six cycles");
        yard.gateway.stop().await;
    }
    tokio::join!(never_good(other, &["HDLC_NO_UA"]), never_good(noise, &["HDLC_NO_UA", "HDLC_FCS"]),);
}

#[tokio::test]
async fn what_a_meter_says_while_it_associates_is_handed_on_too() {
    /// DataNotifications without a time, of an octet-string that tells them apart.
    fn push(which: u8) -> Vec<u8> {
        vec![0x0F, 0, 0, 0, 1, 0, 9, 1, which]
    }
    let meter = Scripted::start(|asked: &Asked| {
        let which = match asked.apdu[0] {
            AARQ => 1,
            GET if asked.apdu.get(3..11) == Some(&[0, 1, 0, 0, 42, 0, 0, 255]) => 2,
            GET if asks_for_energy(&asked.apdu) => 3,
            _ => return well_behaved(asked),
        };
        [vec![Act::Say(push(which))], well_behaved(asked)].concat()
    })
    .await;
    let mut device = wrapper();
    device["logical_name_referencing"] = json!(true);
    let yard = Yard::start(meter.port(), device);
    let handed_on = |seen: &[Message], which: u8| {
        let hex: String = push(which).iter().map(|byte| format!("{byte:02x}")).collect();
        seen.iter().any(|message| message.payload.contains(&hex))
    };
    yard.live.until("three notifications", |seen| (1..=3).all(|which| handed_on(seen, which))).await;
    let seen = yard.snapshots_until("a cycle", |seen| seen.iter().any(is_ok)).await;
    seen.iter().for_each(assert_true);
    yard.gateway.stop().await;
}
