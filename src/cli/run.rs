//! `dlms2mqtt run`: the bridge, until a signal.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::notify::ServiceManager;
use super::{CommandError, ConfigArgs, runtime};
use crate::bridge::config::{Config, load_file};
use crate::bridge::supervisor::Bridge;

/// Runs the bridge. SIGHUP reads the configuration again; SIGTERM and SIGINT drain, a second one ends at once.
pub(super) fn run(args: &ConfigArgs) -> Result<(), CommandError> {
    let config = load(args)?;
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(anyhow::Error::from)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(anyhow::Error::from)?;
        let mut hang_up = signal(SignalKind::hangup()).map_err(anyhow::Error::from)?;
        let bridge = Bridge::start_from(config, &args.config)?;
        let reload = bridge.reload();
        tokio::spawn(async move {
            while hang_up.recv().await.is_some() {
                reload.notify_one();
            }
        });
        let manager = ServiceManager::from_environment();
        manager.ready();
        let stop = CancellationToken::new();
        let running = bridge.run(stop.clone());
        tokio::pin!(running);
        tokio::select! {
            () = &mut running => return Ok(()),
            () = manager.keep_alive() => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: links take leave, messages are sent; a second signal ends at once");
        manager.stopping();
        stop.cancel();
        tokio::select! {
            () = &mut running => Ok(()),
            () = manager.keep_alive() => Ok(()),
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
        }
    });
    // A name that is being resolved can't be cancelled, and is not to be waited for.
    runtime.shutdown_background();
    ended
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
