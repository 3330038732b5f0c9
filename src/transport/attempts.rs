//! The bound on connection attempts a second of this whole process: a modem pool that comes back is not stormed.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// Lets so many through at once, then one each period, in the order they came.
#[derive(Debug)]
pub struct AttemptLimiter {
    period: Duration,
    /// How far ahead of the clock `due` may run: the attempts at once.
    tolerance: Duration,
    /// When the next attempt would be due at an even pace.
    due: Mutex<Option<Instant>>,
}

/// The limiter of every connection attempt of this process: 20 at once, then 20 a second.
pub static ATTEMPTS: AttemptLimiter = AttemptLimiter::new(20, 20);

impl AttemptLimiter {
    /// Lets `at_once` through at once, then `per_second` a second. Both are 1 at least.
    #[must_use]
    pub const fn new(at_once: u32, per_second: u32) -> Self {
        let per_second = if per_second == 0 { 1 } else { per_second };
        let period = Duration::from_nanos(1_000_000_000 / per_second as u64);
        let tolerance = period.saturating_mul(at_once.saturating_sub(1));
        Self { period, tolerance, due: Mutex::const_new(None) }
    }

    /// Waits for its turn. Who stops waiting gives its turn to the next.
    pub async fn turn(&self) {
        // The mutex is fair, and held while waiting: that is the queue.
        let mut due = self.due.lock().await;
        let even_pace = due.unwrap_or_else(Instant::now);
        sleep_until(even_pace.checked_sub(self.tolerance).unwrap_or(even_pace)).await;
        *due = Some(even_pace.max(Instant::now()) + self.period);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_storm_is_spread() {
        let limiter = AttemptLimiter::new(5, 10);
        let start = Instant::now();
        let mut times = Vec::new();
        for _ in 0..12 {
            limiter.turn().await;
            times.push(start.elapsed().as_millis());
        }
        assert_eq!(times[..5], [0; 5]);
        assert!(
            times[5..].iter().zip(1..).all(|(&time, n)| (n * 100..n * 100 + 20).contains(&time)),
            "{times:?}"
        );
        // Quiet saves up five attempts again, and no more.
        tokio::time::sleep(Duration::from_secs(60)).await;
        let quiet = Instant::now();
        for _ in 0..5 {
            limiter.turn().await;
        }
        assert!(quiet.elapsed() < Duration::from_millis(20));
        limiter.turn().await;
        assert!(quiet.elapsed() >= Duration::from_millis(95));
    }

    #[tokio::test(start_paused = true)]
    async fn turns_come_in_order_and_are_given_back() {
        let limiter = Arc::new(AttemptLimiter::new(1, 1));
        limiter.turn().await;
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let waiters: Vec<_> = (0..4)
            .map(|n| {
                let (limiter, order) = (Arc::clone(&limiter), Arc::clone(&order));
                tokio::spawn(async move {
                    // The second loses patience.
                    let patience = Duration::from_millis(if n == 1 { 1500 } else { 60_000 });
                    if timeout(patience, limiter.turn()).await.is_ok() {
                        order.lock().unwrap().push(n);
                    }
                })
            })
            .collect();
        let start = Instant::now();
        for waiter in waiters {
            waiter.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [0, 2, 3]);
        assert!(start.elapsed() < Duration::from_millis(3100), "{:?}", start.elapsed());
    }
}
