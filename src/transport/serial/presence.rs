//! Waiting for a port that was unplugged.

use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;

/// How often it is looked for.
const PERIOD: Duration = Duration::from_secs(1);
/// A device manager creates the node, then sets its group: opening it at once may be refused.
const SETTLING: Duration = Duration::from_millis(500);

/// Returns once `device` exists; links are followed anew each time. Cancel-safe.
///
/// It must be known to be absent: a path that exists all the time returns after one look.
pub async fn wait_for_return(device: &Path) {
    while tokio::fs::metadata(device).await.is_err() {
        sleep(PERIOD).await;
    }
    sleep(SETTLING).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_link_is_waited_for_until_it_leads_somewhere() {
        let folder = tempfile::tempdir().unwrap();
        let (link, port) = (folder.path().join("by-id"), folder.path().join("port"));
        std::os::unix::fs::symlink(&port, &link).unwrap();
        let wait = tokio::time::timeout(Duration::from_millis(300), wait_for_return(&link));
        assert!(wait.await.is_err(), "the link dangles");
        std::fs::write(&port, "").unwrap();
        tokio::time::timeout(Duration::from_secs(10), wait_for_return(&link)).await.unwrap();
    }
}
