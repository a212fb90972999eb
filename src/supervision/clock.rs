//! Time as a dependency: everything that waits or measures takes a [`Clock`],
//! so that tests decide when time passes.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

/// A source of time.
pub trait Clock: Send + Sync + 'static {
    /// Monotonic time since the clock was made.
    fn now(&self) -> Duration;
    /// Wall-clock seconds since 1970.
    fn unix(&self) -> f64;
    /// Resolves once `d` has passed. Dropping the future gives up the wait.
    fn sleep(&self, d: Duration) -> BoxFuture<'static, ()>;
}

/// The clock that is handed around.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's own clock.
#[derive(Debug, Clone)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock whose `now` starts at zero.
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    /// The same, ready to be handed around.
    pub fn shared() -> SharedClock {
        Arc::new(Self::new())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn unix(&self) -> f64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64()
    }

    fn sleep(&self, d: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(d).boxed()
    }
}

/// A clock that stands still until it is told to move. Clones share their time.
#[derive(Clone)]
pub struct ManualClock {
    inner: Arc<Inner>,
}

struct Inner {
    unix_origin: f64,
    state: Mutex<State>,
    registered: Notify,
}

#[derive(Default)]
struct State {
    now: Duration,
    next_id: u64,
    /// Ordered by deadline, then by registration.
    sleepers: BTreeMap<(Duration, u64), oneshot::Sender<()>>,
}

impl ManualClock {
    /// A clock at zero, with 1 January 2025 as its wall-clock time.
    pub fn new() -> Self {
        Self::at(1_735_689_600.0)
    }

    /// A clock at zero whose wall clock starts at `unix`.
    pub fn at(unix: f64) -> Self {
        Self {
            inner: Arc::new(Inner {
                unix_origin: unix,
                state: Mutex::new(State::default()),
                registered: Notify::new(),
            }),
        }
    }

    /// The same clock, ready to be handed around.
    pub fn shared(&self) -> SharedClock {
        Arc::new(self.clone())
    }

    /// Moves time on by `d` and wakes the sleepers whose time has come, earliest first.
    pub fn advance(&self, d: Duration) {
        let mut state = self.inner.state.lock();
        state.now = state.now.saturating_add(d);
        let now = state.now;
        while let Some(first) = state.sleepers.first_entry() {
            if first.key().0 > now {
                break;
            }
            // The sleeper may be gone between the lock and here; then nobody minds.
            let _ = first.remove().send(());
        }
    }

    /// Moves time on to the earliest sleeper and wakes it; says how far that was.
    pub fn advance_to_next(&self) -> Option<Duration> {
        let step = self.until_next()?;
        self.advance(step);
        Some(step)
    }

    /// How long until the earliest sleeper wakes.
    pub fn until_next(&self) -> Option<Duration> {
        let state = self.inner.state.lock();
        let (deadline, _) = state.sleepers.first_key_value()?.0;
        Some(deadline.saturating_sub(state.now))
    }

    /// How many futures are asleep on this clock.
    pub fn sleeping(&self) -> usize {
        self.inner.state.lock().sleepers.len()
    }

    /// Resolves when at least `n` futures are asleep on this clock.
    pub async fn wait_for_sleepers(&self, n: usize) {
        loop {
            // Asked for before the check: a registration between the two is not missed.
            let registered = self.inner.registered.notified();
            if self.sleeping() >= n {
                return;
            }
            registered.await;
        }
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Duration {
        self.inner.state.lock().now
    }

    fn unix(&self) -> f64 {
        self.inner.unix_origin + self.now().as_secs_f64()
    }

    fn sleep(&self, d: Duration) -> BoxFuture<'static, ()> {
        let (wake, woken) = oneshot::channel();
        let mut state = self.inner.state.lock();
        let key = (state.now.saturating_add(d), state.next_id);
        state.next_id += 1;
        if d.is_zero() {
            return futures::future::ready(()).boxed();
        }
        state.sleepers.insert(key, wake);
        drop(state);
        self.inner.registered.notify_waiters();
        Sleep {
            inner: Arc::clone(&self.inner),
            key,
            woken,
        }
        .boxed()
    }
}

/// One wait on a [`ManualClock`]; leaves the list of sleepers when dropped.
struct Sleep {
    inner: Arc<Inner>,
    key: (Duration, u64),
    woken: oneshot::Receiver<()>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.woken).poll(cx).map(|_| ())
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.inner.state.lock().sleepers.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[actix::test]
    async fn sleepers_wake_in_the_order_of_their_deadlines() {
        let clock = ManualClock::new();
        let (woken, mut order) = tokio::sync::mpsc::unbounded_channel();
        for secs in [3_u32, 1, 2] {
            let (sleep, woken) = (clock.sleep(SECOND * secs), woken.clone());
            actix::spawn(async move {
                sleep.await;
                let _ = woken.send(secs);
            });
        }
        clock.wait_for_sleepers(3).await;
        clock.advance(SECOND * 2);
        assert_eq!(order.recv().await, Some(1));
        assert_eq!(order.recv().await, Some(2));
        assert_eq!(clock.sleeping(), 1);
        assert_eq!(clock.advance_to_next(), Some(SECOND));
        assert_eq!(order.recv().await, Some(3));
        assert_eq!(clock.now(), SECOND * 3);
    }

    #[actix::test]
    async fn a_dropped_sleep_is_forgotten_and_a_zero_sleep_is_over() {
        let clock = ManualClock::new();
        drop(clock.sleep(SECOND));
        assert_eq!(clock.sleeping(), 0);
        clock.sleep(Duration::ZERO).await;
    }

    #[actix::test]
    async fn wall_time_follows_the_monotonic_time() {
        let clock = ManualClock::at(100.0);
        clock.advance(SECOND);
        assert_eq!(clock.unix(), 101.0);
        let system = SystemClock::new();
        assert!(system.unix() > 1_700_000_000.0);
        system.sleep(Duration::ZERO).await;
    }
}
