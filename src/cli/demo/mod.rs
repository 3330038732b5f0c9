//! `dlms2mqtt demo`: simulated meters, a broker and the bridge in one process, and what a subscriber sees of it.

mod view;

use std::io::{IsTerminal, stdout};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, QoS};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::view::View;
use super::{CommandError, runtime};
use crate::bridge::config::load_text;
use crate::bridge::config::tree::Format;
use crate::bridge::supervisor::Bridge;
use crate::demo_broker;
use crate::sim::{Framing, HdlcConfig, MeterConfig, Preset, SimulatedMeter};
use crate::storage;

/// The port that MQTT clients expect.
const USUAL_PORT: u16 = 1883;

/// How long to show what.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// End after this time, like `10s` or `5m`; without it, at Ctrl-C.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    time: Option<Duration>,
    /// Port of the embedded broker; without it 1883, or a free one where that is taken.
    #[arg(long, value_name = "PORT")]
    mqtt_port: Option<u16>,
}

fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<u64>().ok().map(Duration::from_secs);
    let parsed =
        seconds.or_else(|| text.parse::<jiff::SignedDuration>().ok().and_then(|span| span.try_into().ok()));
    parsed.ok_or_else(|| "a duration like 10s, 5m or 1h".to_owned())
}

/// Runs the demo.
pub(super) fn run(args: &DemoArgs) -> Result<(), CommandError> {
    runtime()?.block_on(demo(args))
}

async fn demo(args: &DemoArgs) -> Result<(), CommandError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(anyhow::Error::from)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(anyhow::Error::from)?;
    let broker = start_broker(args.mqtt_port)?;
    let meters = [
        meter(Preset::Electricity, 51_324_481, Framing::Hdlc(HdlcConfig::default())).await?,
        meter(Preset::Electricity, 60_221_407, Framing::Wrapper).await?,
        meter(Preset::Gas, 31_415_926, Framing::Wrapper).await?,
        meter(Preset::Water, 27_182_818, Framing::Hdlc(HdlcConfig::default())).await?,
    ];
    let ports: Vec<u16> = meters.iter().map(|meter| meter.address().port()).collect();
    let state = Scratch::new()?;
    let text = configuration(broker, &ports, &state);
    let config = match load_text(&text, Format::Yaml, &state.0) {
        Ok(loaded) => loaded.config,
        Err(problems) => return Err(anyhow::anyhow!("the demo's own configuration: {problems}").into()),
    };
    let mut view = View::new(broker, stdout().is_terminal());
    view.begin();
    let stop = CancellationToken::new();
    let bridge = tokio::spawn(Bridge::start(config)?.run(stop.clone()));
    let deadline = args.time.map(|time| tokio::time::Instant::now() + time);
    tokio::select! {
        outcome = subscribe(broker, &mut view) => outcome?,
        () = sleep_until(deadline) => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    stop.cancel();
    let _ = bridge.await;
    view.end();
    for meter in meters {
        meter.stop().await;
    }
    Ok(())
}

fn start_broker(wanted: Option<u16>) -> Result<u16, CommandError> {
    let started = match wanted {
        Some(port) => demo_broker::start(port),
        None => demo_broker::start(USUAL_PORT).or_else(|_| demo_broker::start(0)),
    };
    started.map_err(|error| {
        let port = wanted.unwrap_or_default();
        CommandError::Usage(format!("the embedded broker cannot listen on port {port}: {error}"))
    })
}

async fn meter(preset: Preset, serial: u32, framing: Framing) -> Result<SimulatedMeter, CommandError> {
    let config = MeterConfig { capture_period: 60, ..MeterConfig::new(preset, serial, framing) };
    let meter = SimulatedMeter::spawn(("127.0.0.1", 0), config).await;
    meter.map_err(|error| CommandError::Fault(error.into()))
}

/// Sees what any subscriber sees.
async fn subscribe(port: u16, view: &mut View) -> Result<(), CommandError> {
    let mut options = MqttOptions::new("demo-subscriber", "127.0.0.1", port);
    options.set_max_packet_size(1 << 20, 1 << 20);
    let (client, mut events) = AsyncClient::new(options, 16);
    let mut refresh = tokio::time::interval(Duration::from_millis(250));
    loop {
        tokio::select! {
            event = events.poll() => match event {
                Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                    let subscribed = client.try_subscribe("dlms/demo/devices/#", QoS::AtMostOnce);
                    subscribed.map_err(|error| CommandError::Fault(error.into()))?;
                }
                Ok(Event::Incoming(Incoming::Publish(message))) => view.take(&message.topic, &message.payload),
                Ok(_) => {}
                // The broker has just been started: it may not listen yet.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
            _ = refresh.tick() => view.refresh(),
        }
    }
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// A state directory for the time of the demo.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, CommandError> {
        let path = std::env::temp_dir().join(format!("dlms2mqtt-demo-{}", std::process::id()));
        storage::make_folder(&path).map_err(anyhow::Error::from)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn configuration(broker: u16, ports: &[u16], state: &Scratch) -> String {
    let [feeder, plant, gas, water] = ports else { return String::new() };
    let state = state.0.display();
    format!(
        r"
gateway: demo
state_dir: {state}
mqtt: {{ url: 'mqtt://127.0.0.1:{broker}', protocol: '3.1.1' }}
connections:
  - {{ name: feeder, type: tcp, host: 127.0.0.1, port: {feeder}, persistent: true }}
  - {{ name: plant, type: tcp, host: 127.0.0.1, port: {plant}, persistent: true }}
  - {{ name: gas, type: tcp, host: 127.0.0.1, port: {gas} }}
  - {{ name: water, type: tcp, host: 127.0.0.1, port: {water} }}
devices:
  - {{ name: feeder-1, title: 'Incoming feeder, HDLC', connection: feeder, interface: hdlc }}
  - {{ name: plant-2, title: 'Plant, WRAPPER', connection: plant, interface: wrapper }}
  - {{ name: gas-1, title: Gas, connection: gas, interface: wrapper }}
  - {{ name: water-1, title: Water, connection: water, interface: hdlc }}
groups:
  - name: live
    interval: 2s
    devices: [feeder-1, plant-2]
    values:
      - {{ name: energy_import, obis: 1-0:1.8.0*255, class: register }}
      - {{ name: energy_export, obis: 1-0:2.8.0*255, class: register }}
      - {{ name: power, obis: 1-0:1.7.0*255, class: register }}
      - {{ name: voltage_l1, obis: 1-0:32.7.0*255, class: register }}
      - {{ name: current_l1, obis: 1-0:31.7.0*255, class: register }}
      - {{ name: frequency, obis: 1-0:14.7.0*255, class: register }}
      - {{ name: demand_max, obis: 1-0:1.6.0*255, class: extended_register }}
      - {{ name: clock, obis: 0-0:1.0.0*255, class: clock }}
  - name: volume
    interval: 5s
    values:
      - {{ name: gas_volume, obis: 7-0:3.0.0*255, class: extended_register, device: gas-1 }}
      - {{ name: gas_flow, obis: 7-0:43.0.0*255, class: register, device: gas-1 }}
      - {{ name: water_volume, obis: 8-0:1.0.0*255, class: register, device: water-1 }}
      - {{ name: water_flow, obis: 8-0:2.0.0*255, class: register, device: water-1 }}
  - name: profile
    interval: 60s
    devices: [feeder-1]
    values:
      - {{ name: load_profile, obis: 1-0:99.1.0*255, class: profile_generic, entries: 5 }}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_has_a_valid_configuration_without_warnings() {
        let state = Scratch::new().unwrap();
        let text = configuration(1883, &[1, 2, 3, 4], &state);
        let loaded = load_text(&text, Format::Yaml, &state.0).unwrap();
        assert_eq!(loaded.warnings, []);
        assert_eq!(loaded.config.devices.len(), 4);
    }

    #[test]
    fn durations_as_people_write_them() {
        assert_eq!(duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert!(duration("soon").is_err());
    }
}
