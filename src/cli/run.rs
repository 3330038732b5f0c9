//! `dlms2mqtt run`: the bridge, until a signal.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::notify::ServiceManager;
use super::{CommandError, ConfigArgs, runtime};
use crate::bridge::config::{Config, load_file};
use crate::bridge::log_level::LogLevel;
use crate::bridge::supervisor::{Bridge, Ended};

/// Runs the bridge. SIGHUP reads the configuration again; SIGTERM and SIGINT drain, a second one ends at once.
pub(super) fn run(args: &ConfigArgs, log_level: &LogLevel) -> Result<(), CommandError> {
    let mut config = load(args)?;
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let mut signals = Signals::new()?;
        let manager = ServiceManager::from_environment();
        loop {
            let bridge = Bridge::start_from(config, &args.config)?.with_log_level(log_level.clone());
            manager.ready();
            match run_once(bridge, &mut signals, &manager).await {
                Ended::Stopped => return Ok(()),
                Ended::Restart => {
                    tracing::info!("starting anew on request");
                    config = load(args)?;
                }
            }
        }
    });
    // A name that is being resolved can't be cancelled, and is not to be waited for.
    runtime.shutdown_background();
    ended
}

async fn run_once(bridge: Bridge, signals: &mut Signals, manager: &ServiceManager) -> Ended {
    let reload = bridge.reload();
    let stop = CancellationToken::new();
    let running = bridge.run(stop.clone());
    tokio::pin!(running);
    tokio::select! {
        ended = &mut running => return ended,
        () = manager.keep_alive() => {}
        () = signals.end(Some(&reload)) => {}
    }
    tracing::info!("stopping: links take leave, messages are sent; a second signal ends at once");
    manager.stopping();
    stop.cancel();
    tokio::select! {
        _ = running => {}
        () = manager.keep_alive() => {}
        () = signals.end(None) => {}
    }
    Ended::Stopped
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> Result<Self, anyhow::Error> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for one that means the end; others are handed on meanwhile.
    async fn end(&mut self, reload: Option<&Arc<Notify>>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                Some(()) = self.hang_up.recv() => {
                    if let Some(reload) = reload {
                        reload.notify_one();
                    }
                }
            }
        }
    }
}

/// Loads the configuration; its problems go where everything else of a service is told: to the log.
fn load(args: &ConfigArgs) -> Result<Config, CommandError> {
    let loaded = load_file(&args.config).map_err(|problems| {
        problems.0.iter().for_each(|problem| tracing::error!(code = %problem.code, "{problem}"));
        CommandError::Configuration
    })?;
    loaded.warnings.iter().for_each(|problem| tracing::warn!(code = %problem.code, "{problem}"));
    Ok(loaded.config)
}
