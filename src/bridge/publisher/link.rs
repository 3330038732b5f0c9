//! One connection to the broker, the same to its user in MQTT 5 and 3.1.1.
//!
//! A fresh [`Commands`] and [`Link`] for every connection: the library's event loop, reused after a loss, may
//! forget or repeat what it had on its way. Commands only ever try, for the task that gives them also polls the link,
//! and would wait for itself.

use std::time::Duration;

use bytes::Bytes;
use rumqttc::v5::mqttbytes::v5 as packets5;
use rumqttc::{NetworkOptions, TlsConfiguration, Transport, v5};

use super::fault::Fault;
use super::payload::{Presence, presence};
use super::request::{IncomingRequest, RequestBody};
use super::settings::{BrokerUrl, PublisherSettings, Qos, Scheme, Version};
use super::tls;
use crate::error::Report;

/// The largest packet we send or accept.
pub(super) const LARGEST_PACKET: usize = 1 << 20;

/// What a PUBLISH needs beside topic, payload and correlation data: header, lengths, packet identifier, properties.
pub(super) const PACKET_OVERHEAD: usize = 16;

/// Commands that are not publishes: subscribe, disconnect.
const SPARE_COMMANDS: usize = 4;

/// A message on its way out.
#[derive(Debug)]
pub(super) struct Publish {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) retain: bool,
    /// MQTT 5 only.
    pub(super) correlation_data: Option<Bytes>,
}

/// What the broker grants, as CONNACK says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Granted {
    pub(super) window: usize,
    pub(super) largest_packet: usize,
    pub(super) qos: Qos,
    pub(super) retain: bool,
    /// An event is to be expected within this time: a ping and its answer.
    pub(super) keep_alive: Duration,
}

/// How the broker took a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    /// It will never take this one: not allowed, or not valid to it.
    Refused,
    /// Not now: a quota, a fault of its own.
    Postponed,
}

/// What happened on the link.
#[derive(Debug)]
pub(super) enum LinkEvent {
    Connected(Granted),
    /// The oldest publish not yet sent went out under this packet identifier; 0 for QoS 0.
    Sent(u16),
    Acknowledged(u16, Verdict),
    SubscriptionRefused,
    /// DISCONNECT went out; the broker is to close the connection.
    FarewellSent,
    /// A publish on any topic that we subscribed to.
    Received {
        topic: String,
        request: IncomingRequest,
    },
    /// A ping and the like.
    Routine,
}

/// Gives orders to a link.
#[derive(Debug)]
pub(super) struct Commands {
    client: Client,
}

#[derive(Debug)]
enum Client {
    V5(v5::AsyncClient),
    V311(rumqttc::AsyncClient),
}

/// The connection itself, which lives only while it is polled.
pub(super) struct Link {
    /// What we would use if the broker lets us.
    wanted: Granted,
    events: Events,
}

enum Events {
    V5(Box<v5::EventLoop>),
    V311(Box<rumqttc::EventLoop>),
}

/// Prepares a connection; nothing is sent before the link is polled.
///
/// # Errors
/// When certificates or keys cannot be used.
pub(super) fn open(settings: &PublisherSettings, version: Version) -> Result<(Commands, Link), Report> {
    let transport = transport(settings)?;
    let address = match settings.broker.scheme {
        Scheme::Mqtt | Scheme::Mqtts => settings.broker.host.clone(),
        // For websockets the library wants the whole URL.
        Scheme::Ws | Scheme::Wss => websocket_url(&settings.broker),
    };
    let window = settings.window.max(1);
    let queue = usize::from(window) + SPARE_COMMANDS;
    let will = (
        settings.topics.bridge_state().to_string(),
        presence(&settings.gateway, Presence::Lost, jiff::Timestamp::UNIX_EPOCH),
    );
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(settings.connect_timeout.as_secs().max(1));
    let keep_alive = settings.keep_alive.duration();
    let (client, events) = match version {
        Version::V5 => {
            let mut options = v5::MqttOptions::new(&settings.client_id, address, settings.broker.port);
            options.set_transport(transport);
            options.set_keep_alive(keep_alive);
            options.set_clean_start(true);
            options.set_connection_timeout(network.connection_timeout());
            options.set_network_options(network);
            options.set_max_packet_size(Some(LARGEST_PACKET as u32));
            // Without it the library reserves 14 MB for 65,535 publishes.
            options.set_outgoing_inflight_upper_limit(window);
            options.set_last_will(packets5::LastWill::new(
                will.0,
                will.1,
                v5::mqttbytes::QoS::AtLeastOnce,
                true,
                None,
            ));
            if let Some(credentials) = &settings.credentials {
                let password = credentials.password.as_ref().map_or("", |password| password.as_str());
                options.set_credentials(&credentials.username, password);
            }
            let (client, events) = v5::AsyncClient::new(options, queue);
            (Client::V5(client), Events::V5(Box::new(events)))
        }
        Version::V311 => {
            let mut options = rumqttc::MqttOptions::new(&settings.client_id, address, settings.broker.port);
            options.set_transport(transport);
            options.set_keep_alive(keep_alive);
            options.set_clean_session(true);
            options.set_max_packet_size(LARGEST_PACKET, LARGEST_PACKET);
            options.set_inflight(window);
            options.set_last_will(rumqttc::LastWill::new(will.0, will.1, rumqttc::QoS::AtLeastOnce, true));
            if let Some(credentials) = &settings.credentials {
                let password = credentials.password.as_ref().map_or("", |password| password.as_str());
                options.set_credentials(&credentials.username, password);
            }
            let (client, mut events) = rumqttc::AsyncClient::new(options, queue);
            events.set_network_options(network);
            (Client::V311(client), Events::V311(Box::new(events)))
        }
    };
    let wanted = Granted {
        window: usize::from(window),
        largest_packet: LARGEST_PACKET,
        qos: settings.qos,
        retain: true,
        keep_alive,
    };
    Ok((Commands { client }, Link { wanted, events }))
}

fn transport(settings: &PublisherSettings) -> Result<Transport, Report> {
    let tls = || tls::client_config(&settings.tls).map(TlsConfiguration::Rustls);
    Ok(match settings.broker.scheme {
        Scheme::Mqtt => Transport::Tcp,
        Scheme::Mqtts => Transport::tls_with_config(tls()?),
        Scheme::Ws => Transport::Ws,
        Scheme::Wss => Transport::wss_with_config(tls()?),
    })
}

fn websocket_url(url: &BrokerUrl) -> String {
    let shown = url.to_string();
    if url.path == "/" { format!("{shown}/") } else { shown }
}

impl Commands {
    /// Queues a publish.
    ///
    /// # Errors
    /// When the topic is no topic name: no connection will ever take it.
    pub(super) fn publish(&self, message: Publish, granted: &Granted) -> Result<(), ()> {
        let retain = message.retain && granted.retain;
        match &self.client {
            Client::V5(client) => {
                let qos = match granted.qos {
                    Qos::AtMostOnce => v5::mqttbytes::QoS::AtMostOnce,
                    Qos::AtLeastOnce => v5::mqttbytes::QoS::AtLeastOnce,
                };
                let Publish { topic, payload, correlation_data, .. } = message;
                if correlation_data.is_none() {
                    return client.try_publish(topic, qos, retain, payload).map_err(drop);
                }
                let properties = packets5::PublishProperties { correlation_data, ..Default::default() };
                client.try_publish_with_properties(topic, qos, retain, payload, properties).map_err(drop)
            }
            Client::V311(client) => {
                let qos = match granted.qos {
                    Qos::AtMostOnce => rumqttc::QoS::AtMostOnce,
                    Qos::AtLeastOnce => rumqttc::QoS::AtLeastOnce,
                };
                client.try_publish(message.topic, qos, retain, message.payload).map_err(drop)
            }
        }
    }

    /// Subscribes; in MQTT 5 with Retain As Published, so that a retained request is always seen to be one.
    ///
    /// # Errors
    /// When the filter is not valid.
    pub(super) fn subscribe(&self, filter: String) -> Result<(), ()> {
        match &self.client {
            Client::V5(client) => {
                let mut filter = packets5::Filter::new(filter, v5::mqttbytes::QoS::AtLeastOnce);
                filter.preserve_retain = true;
                client.try_subscribe_many([filter]).map_err(drop)
            }
            Client::V311(client) => client.try_subscribe(filter, rumqttc::QoS::AtLeastOnce).map_err(drop),
        }
    }

    /// Says goodbye, so that the broker drops the last will.
    pub(super) fn disconnect(&self) {
        let _ = match &self.client {
            Client::V5(client) => client.try_disconnect().map_err(drop),
            Client::V311(client) => client.try_disconnect().map_err(drop),
        };
    }
}

impl Link {
    /// The next event. Not cancel-safe: keep the future until it resolves, or give up the link.
    pub(super) async fn poll(&mut self) -> Result<LinkEvent, Fault> {
        match &mut self.events {
            Events::V5(events) => {
                let event = events.poll().await?;
                let event = of_v5(event, self.wanted);
                if matches!(event, LinkEvent::Connected(_)) && events.options.keep_alive().is_zero() {
                    // A broker that asks for no keep-alive at all would have the library ping without pause.
                    events.options.set_keep_alive(self.wanted.keep_alive);
                }
                Ok(event)
            }
            Events::V311(events) => Ok(of_v311(events.poll().await?, self.wanted)),
        }
    }

    /// What had happened before an error ended the connection, acknowledgements above all.
    pub(super) fn drain(&mut self) -> Vec<LinkEvent> {
        let wanted = self.wanted;
        match &mut self.events {
            Events::V5(events) => events.state.events.drain(..).map(|event| of_v5(event, wanted)).collect(),
            Events::V311(events) => {
                events.state.events.drain(..).map(|event| of_v311(event, wanted)).collect()
            }
        }
    }
}

fn of_v5(event: v5::Event, wanted: Granted) -> LinkEvent {
    use packets5::{ConnAckProperties, Packet, PubAckReason, SubscribeReasonCode};
    match event {
        v5::Event::Outgoing(rumqttc::Outgoing::Publish(id)) => LinkEvent::Sent(id),
        v5::Event::Outgoing(rumqttc::Outgoing::Disconnect) => LinkEvent::FarewellSent,
        v5::Event::Incoming(Packet::ConnAck(connack)) => {
            let mut granted = wanted;
            if let Some(ConnAckProperties {
                receive_max,
                max_packet_size,
                max_qos,
                retain_available,
                server_keep_alive,
                ..
            }) = connack.properties
            {
                if let Some(most) = receive_max {
                    granted.window = granted.window.min(usize::from(most).max(1));
                }
                if let Some(largest) = max_packet_size {
                    granted.largest_packet = granted.largest_packet.min(largest as usize);
                }
                if max_qos == Some(0) {
                    granted.qos = Qos::AtMostOnce;
                }
                granted.retain = retain_available != Some(0);
                if let Some(seconds @ 1..) = server_keep_alive {
                    granted.keep_alive = Duration::from_secs(u64::from(seconds));
                }
            }
            LinkEvent::Connected(granted)
        }
        v5::Event::Incoming(Packet::PubAck(ack)) => {
            let verdict = match ack.reason {
                PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Verdict::Accepted,
                PubAckReason::NotAuthorized
                | PubAckReason::TopicNameInvalid
                | PubAckReason::PayloadFormatInvalid => Verdict::Refused,
                PubAckReason::UnspecifiedError
                | PubAckReason::ImplementationSpecificError
                | PubAckReason::PacketIdentifierInUse
                | PubAckReason::QuotaExceeded => Verdict::Postponed,
            };
            LinkEvent::Acknowledged(ack.pkid, verdict)
        }
        v5::Event::Incoming(Packet::SubAck(ack))
            if !ack.return_codes.iter().all(|code| matches!(code, SubscribeReasonCode::Success(_))) =>
        {
            LinkEvent::SubscriptionRefused
        }
        v5::Event::Incoming(Packet::Publish(publish)) => {
            let properties = publish.properties.unwrap_or_default();
            LinkEvent::Received {
                topic: String::from_utf8_lossy(&publish.topic).into_owned(),
                request: IncomingRequest {
                    verb: String::new(),
                    body: RequestBody::new(publish.payload),
                    retained: publish.retain,
                    response_topic: properties.response_topic,
                    correlation_data: properties.correlation_data,
                    expiry_s: properties.message_expiry_interval,
                },
            }
        }
        _ => LinkEvent::Routine,
    }
}

fn of_v311(event: rumqttc::Event, wanted: Granted) -> LinkEvent {
    use rumqttc::{Packet, SubscribeReasonCode};
    match event {
        rumqttc::Event::Outgoing(rumqttc::Outgoing::Publish(id)) => LinkEvent::Sent(id),
        rumqttc::Event::Outgoing(rumqttc::Outgoing::Disconnect) => LinkEvent::FarewellSent,
        rumqttc::Event::Incoming(Packet::ConnAck(_)) => LinkEvent::Connected(wanted),
        rumqttc::Event::Incoming(Packet::PubAck(ack)) => LinkEvent::Acknowledged(ack.pkid, Verdict::Accepted),
        rumqttc::Event::Incoming(Packet::SubAck(ack))
            if ack.return_codes.contains(&SubscribeReasonCode::Failure) =>
        {
            LinkEvent::SubscriptionRefused
        }
        rumqttc::Event::Incoming(Packet::Publish(publish)) => LinkEvent::Received {
            topic: publish.topic,
            request: IncomingRequest {
                verb: String::new(),
                body: RequestBody::new(publish.payload),
                retained: publish.retain,
                response_topic: None,
                correlation_data: None,
                expiry_s: None,
            },
        },
        _ => LinkEvent::Routine,
    }
}
