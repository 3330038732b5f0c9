//! Writes tracks to disk as the outbox becomes safe, away from the links that make them.

use std::time::Duration;

use super::TrackStore;
use crate::bridge::publisher::PublisherHandle;

/// The longest that a position on disk lags behind what is safe.
const INTERVAL: Duration = Duration::from_secs(1);

/// Goes on until it is aborted.
pub(in crate::bridge) async fn run(tracks: TrackStore, publisher: PublisherHandle) {
    loop {
        tracks.any_waiting().await;
        tokio::time::sleep(INTERVAL).await;
        settle(&tracks, &publisher).await;
    }
}

/// Writes what can be written now.
pub(in crate::bridge) async fn settle(tracks: &TrackStore, publisher: &PublisherHandle) {
    let safe = publisher.safe();
    if tracks.is_due(safe) {
        let tracks = tracks.clone();
        // It fails only by a panic, which is reported where it happens.
        let _ = tokio::task::spawn_blocking(move || tracks.settle(safe)).await;
    }
}
