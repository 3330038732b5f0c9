//! The broker: its URL, topics, certificates and rights.

use std::time::Duration;

use super::{Surroundings, missing, required, timed, within};
use crate::bridge::config::defaults;
use crate::bridge::config::document::mqtt as written;
use crate::bridge::config::forms::Switchable;
use crate::bridge::config::model::{Broker, ClientCertificate, Control, Mqtt, Qos, Scheme, Tls, ValueTopics};
use crate::bridge::config::path::Path;
use crate::bridge::config::problem::{Findings, Problem};
use crate::bridge::topics::Topics;

pub(super) fn mqtt(
    written: Option<&written::Mqtt>,
    surroundings: &Surroundings,
    findings: &mut Findings,
) -> Option<Mqtt> {
    let at = Path::root().key("mqtt");
    let Some(written) = written else {
        findings.push(missing(&at).with_hint("the broker is needed: mqtt: { url: mqtt://HOST }"));
        return None;
    };
    let url = required(written.url.as_deref(), &at.key("url"), findings);
    let broker = url.and_then(|url| match broker(url) {
        Ok(broker) => Some(broker),
        Err(message) => {
            let problem = Problem::error(at.key("url"), message);
            findings
                .push(problem.with_hint("like mqtt://broker.example:1883 or mqtts://broker.example:8883"));
            None
        }
    });
    let gateway = surroundings.gateway.as_ref();
    let client_id = match &written.client_id {
        Some(client_id) => Some(client_id.0.clone()),
        None => gateway.map(|gateway| format!("dlms2mqtt-{gateway}")),
    };
    if let Some(client_id) = &client_id
        && (client_id.is_empty() || client_id.len() > 256 || client_id.chars().any(char::is_control))
    {
        findings.error(at.key("client_id"), "must be 1 to 256 bytes, without control characters");
    }
    if written.password.is_some()
        && written.username.is_none()
        && !findings.is_unreadable(&at.key("username"))
    {
        let problem = Problem::error(at.key("password"), "MQTT 3.1.1 has no password without a user name");
        findings.push(problem.with_hint("set mqtt.username"));
    }
    let base_topic = match &written.base_topic {
        Some(topic) => Some(topic.clone()),
        None => gateway.map(|gateway| format!("dlms/{gateway}")),
    };
    let topics = base_topic.and_then(|base| {
        Topics::new(&base).map_err(|error| findings.error(at.key("base_topic"), error.to_string())).ok()
    });
    let keep_alive = timed(
        written.keep_alive,
        defaults::MQTT_KEEP_ALIVE,
        Duration::from_secs(5)..=Duration::from_secs(65_535),
        &at.key("keep_alive"),
        findings,
    );
    if keep_alive.subsec_nanos() != 0 {
        findings.error(at.key("keep_alive"), "must be whole seconds");
    }
    let qos = match within::<i64>(written.qos, defaults::QOS, 0..=1, &at.key("qos"), findings) {
        0 => Qos::AtMostOnce,
        _ => Qos::AtLeastOnce,
    };
    let response_topics = written.response_topics.clone().unwrap_or_default();
    for (index, filter) in response_topics.iter().enumerate() {
        if !is_filter(filter) {
            let at = at.key("response_topics").index(index);
            findings
                .error(at, "not an MQTT topic filter: `+` and `#` stand alone in a level, `#` at the end");
        }
    }
    let tls = tls(written.tls.as_ref(), broker.as_ref(), surroundings, &at.key("tls"), findings);
    Some(Mqtt {
        broker: broker?,
        protocol: written.protocol.unwrap_or(defaults::PROTOCOL),
        client_id: client_id?,
        username: written.username.as_ref().map(|name| name.0.clone()),
        password: written.password.as_ref().map(|secret| secret.below(&surroundings.directory)),
        tls,
        topics: topics?,
        keep_alive,
        qos,
        value_topics: match written.per_value_topics {
            Some(flag) if flag.0 => ValueTopics::On,
            _ => ValueTopics::Off,
        },
        control: control(written.control.as_ref()),
        response_topics,
    })
}

/// Takes a broker's URL apart. The message never quotes it: people put passwords there.
fn broker(url: &str) -> Result<Broker, &'static str> {
    let (scheme, rest) = url.split_once("://").ok_or("a URL with a scheme is expected")?;
    let (scheme, usual_port) = match scheme.to_ascii_lowercase().as_str() {
        "mqtt" => (Scheme::Mqtt, 1883),
        "mqtts" => (Scheme::Mqtts, 8883),
        "ws" => (Scheme::Ws, 80),
        "wss" => (Scheme::Wss, 443),
        _ => return Err("the scheme must be mqtt, mqtts, ws or wss"),
    };
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    if authority.contains('@') {
        return Err("user and password don't belong into the URL: use mqtt.username and mqtt.password");
    }
    let (host, port) = host_and_port(authority)?;
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or("the port must be 1 to 65535")?,
        None => usual_port,
    };
    if path.contains(['?', '#']) || path.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("a query or fragment has no meaning in the URL");
    }
    if !scheme.is_websocket() && !path.is_empty() && path != "/" {
        return Err("only ws and wss have a path");
    }
    let path = if path.is_empty() { "/".to_owned() } else { path.to_owned() };
    Ok(Broker { scheme, host: host.to_owned(), port, path })
}

fn host_and_port(authority: &str) -> Result<(&str, Option<&str>), &'static str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("the IPv6 address has no closing bracket")?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| "in brackets an IPv6 address is expected")?;
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return Err("after the address only a port can stand"),
            }
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if is_host(host) { Ok((host, port)) } else { Err("the host is missing or no name or address") }
}

/// Whether a text can be a host name or an address.
pub(super) fn is_host(text: &str) -> bool {
    let legal = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_name = (1..=253).contains(&text.len()) && text.chars().all(legal);
    is_name || text.parse::<std::net::IpAddr>().is_ok() || is_scoped(text)
}

/// A link-local IPv6 address with its interface, like `fe80::1%eth0`.
fn is_scoped(text: &str) -> bool {
    text.split_once('%').is_some_and(|(address, zone)| {
        address.parse::<std::net::Ipv6Addr>().is_ok()
            && !zone.is_empty()
            && zone.chars().all(char::is_alphanumeric)
    })
}

fn is_filter(filter: &str) -> bool {
    let levels: Vec<_> = filter.split('/').collect();
    let whole = |index: usize, level: &str| match level {
        "+" => true,
        "#" => index + 1 == levels.len(),
        _ => !level.contains(['+', '#']),
    };
    (1..=65_535).contains(&filter.len())
        && !filter.chars().any(char::is_control)
        && levels.iter().enumerate().all(|(index, level)| whole(index, level))
}

fn control(written: Option<&Switchable<written::Control>>) -> Control {
    let usual = || defaults::PERMISSIONS.iter().copied().collect();
    match written {
        None => Control::Allow(usual()),
        Some(Switchable::Off) => Control::Off,
        Some(Switchable::On(control)) => {
            Control::Allow(control.allow.as_ref().map_or_else(usual, |allow| allow.iter().copied().collect()))
        }
    }
}

fn tls(
    written: Option<&written::Tls>,
    broker: Option<&Broker>,
    surroundings: &Surroundings,
    at: &Path,
    findings: &mut Findings,
) -> Tls {
    let Some(written) = written else { return Tls::default() };
    if broker.is_some_and(|broker| !broker.scheme.is_encrypted()) && *written != written::Tls::default() {
        let problem = Problem::error(at.clone(), "the URL's scheme has no TLS: nothing would be encrypted");
        findings.push(problem.with_hint("use mqtts:// or wss://, or leave tls out"));
    }
    let absolute = |file: &std::path::PathBuf| surroundings.directory.join(file);
    let client = match (&written.cert_file, &written.key_file) {
        (Some(cert_file), Some(key_file)) => {
            Some(ClientCertificate { cert_file: absolute(cert_file), key_file: absolute(key_file) })
        }
        (None, None) => None,
        (Some(_), None) => {
            findings
                .push(missing(&at.key("key_file")).with_hint("a client certificate needs its private key"));
            None
        }
        (None, Some(_)) => {
            findings.push(missing(&at.key("cert_file")).with_hint("a private key needs its certificate"));
            None
        }
    };
    if let Some(name) = &written.server_name
        && !is_host(name)
    {
        findings.error(at.key("server_name"), "not a host name");
    }
    Tls { ca_file: written.ca_file.as_ref().map(absolute), client, server_name: written.server_name.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_come_apart() {
        let read = |url: &str| broker(url).map(|b| (b.scheme, b.host, b.port, b.path));
        assert_eq!(read("mqtt://a.b"), Ok((Scheme::Mqtt, "a.b".into(), 1883, "/".into())));
        assert_eq!(read("mqtts://10.1.2.3:8884"), Ok((Scheme::Mqtts, "10.1.2.3".into(), 8884, "/".into())));
        assert_eq!(read("wss://a/mqtt"), Ok((Scheme::Wss, "a".into(), 443, "/mqtt".into())));
        assert_eq!(read("mqtt://[::1]:1884"), Ok((Scheme::Mqtt, "::1".into(), 1884, "/".into())));
        for bad in [
            "",
            "a.b:1883",
            "http://a",
            "mqtt://",
            "mqtt://a:0",
            "mqtt://a:70000",
            "mqtt://a:x",
            "mqtt://u:p@a",
            "mqtt://a/x",
            "mqtt://::1",
            "mqtt://[::1",
            "mqtt://[a]",
            "ws://a/b?c",
            "mqtt://a b",
        ] {
            assert!(broker(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn filters_keep_the_rules_of_mqtt() {
        for good in ["a", "a/+/b", "a/#", "#", "+", "/a"] {
            assert!(is_filter(good), "{good}");
        }
        for bad in ["", "a#", "a/#/b", "a+/b", "a\0"] {
            assert!(!is_filter(bad), "{bad:?}");
        }
    }
}
