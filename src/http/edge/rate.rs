//! Rate limits of plain HTTP: a token bucket per caller, in two classes (http.md 1.5).
//!
//! Callers without a token that verifies here are told apart by address; those with one by who
//! they are, and get more. Both classes are finite.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::dev::ServiceRequest;
use actix_web::http::header;
use dashmap::DashMap;
use serde_json::json;

use crate::config::Limits;
use crate::http::caller;
use crate::identity::Tokens;
use crate::supervision::SharedClock;

/// Seconds without a request after which a bucket is dropped, and between two purges.
const IDLE: Duration = Duration::from_secs(300);

/// How much one caller may ask.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Requests per second, sustained. Not positive: no limit.
    pub per_second: f64,
    /// Requests at once.
    pub burst: f64,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Duration,
}

impl Bucket {
    fn full(rate: Rate, now: Duration) -> Self {
        Bucket {
            tokens: rate.burst.max(1.0),
            at: now,
        }
    }

    /// Takes a token; the error is the time until there is one.
    fn take(&mut self, rate: Rate, now: Duration) -> Result<(), Duration> {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.at = now;
        self.tokens = (self.tokens + passed * rate.per_second).min(rate.burst.max(1.0));
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let wait = (1.0 - self.tokens) / rate.per_second;
        Err(Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX))
    }
}

/// Whom a bucket belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    Address(Option<IpAddr>),
    /// User, and workspace and client if the query names them.
    Known(String),
}

/// See the module's text.
pub struct Limiter {
    anonymous: Rate,
    known: Rate,
    /// Sharded: callers wait for each other only within a shard.
    buckets: DashMap<Key, Bucket>,
    /// Milliseconds of the clock at the last purge.
    purged: AtomicU64,
    refused_anonymous: AtomicU64,
    refused_known: AtomicU64,
    clock: SharedClock,
}

impl Limiter {
    pub fn new(limits: &Limits, clock: SharedClock) -> Self {
        Limiter {
            anonymous: Rate {
                per_second: limits.http_rate,
                burst: limits.http_burst,
            },
            known: Rate {
                per_second: limits.http_user_rate,
                burst: limits.http_user_burst,
            },
            buckets: DashMap::new(),
            purged: AtomicU64::new(clock.now().as_millis() as u64),
            refused_anonymous: AtomicU64::new(0),
            refused_known: AtomicU64::new(0),
            clock,
        }
    }

    /// Counts a request; the answer if it is one too many.
    pub fn check(
        &self,
        request: &ServiceRequest,
        origin: Option<IpAddr>,
        tokens: &Tokens,
    ) -> Option<HttpResponse> {
        if is_exempt(request) {
            return None;
        }
        let key = key_of(request, origin, tokens);
        let wait = self.take(key).err()?;
        // Waiting less than what is announced would be refused again.
        let seconds = wait.as_secs_f64().ceil() as u64;
        Some(
            HttpResponse::TooManyRequests()
                .insert_header((header::RETRY_AFTER, seconds.to_string()))
                .json(json!({ "detail": "Rate limit exceeded. Please slow down." })),
        )
    }

    fn take(&self, key: Key) -> Result<(), Duration> {
        let known = matches!(key, Key::Known(_));
        let rate = if known { self.known } else { self.anonymous };
        if rate.per_second <= 0.0 {
            return Ok(());
        }
        let now = self.clock.now();
        self.purge(now);
        let taken = self
            .buckets
            .entry(key)
            .or_insert_with(|| Bucket::full(rate, now))
            .take(rate, now);
        if taken.is_err() {
            let refused = if known {
                &self.refused_known
            } else {
                &self.refused_anonymous
            };
            refused.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Drops the buckets nobody uses, now and then; one caller does it for all.
    fn purge(&self, now: Duration) {
        let (now_ms, idle_ms) = (now.as_millis() as u64, IDLE.as_millis() as u64);
        let last = self.purged.load(Ordering::Relaxed);
        if now_ms.saturating_sub(last) < idle_ms {
            return;
        }
        let mine = self
            .purged
            .compare_exchange(last, now_ms, Ordering::Relaxed, Ordering::Relaxed);
        if mine.is_ok() {
            self.buckets
                .retain(|_, bucket| now.saturating_sub(bucket.at) < IDLE);
        }
    }

    /// Requests refused so far: without and with a verified token.
    pub fn refused(&self) -> (u64, u64) {
        (
            self.refused_anonymous.load(Ordering::Relaxed),
            self.refused_known.load(Ordering::Relaxed),
        )
    }

    /// Callers that are remembered.
    pub fn callers(&self) -> usize {
        self.buckets.len()
    }
}

/// Probes must get through, and WebSocket messages have a limit of their own. An upgrade header
/// on any other path is an ordinary request with a strange header.
fn is_exempt(request: &ServiceRequest) -> bool {
    let path = request.path();
    if super::is_health(path) {
        return true;
    }
    path == "/ws"
        && request
            .headers()
            .get(header::UPGRADE)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// The higher class is for tokens that verify here and now; that a header is present proves
/// nothing. Cookies do not count (http.md 1.5).
fn key_of(request: &ServiceRequest, origin: Option<IpAddr>, tokens: &Tokens) -> Key {
    let token = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .map(caller::from_authorization);
    match token.and_then(|token| tokens.parse(&token).ok()) {
        Some(user) => Key::Known(known_key(&user.id, request.query_string())),
        None => Key::Address(origin),
    }
}

fn known_key(user: &str, query: &str) -> String {
    let mut key = user.to_owned();
    for wanted in ["workspace", "client_id"] {
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        if let Some((_, value)) = pairs.find(|(name, value)| name == wanted && !value.is_empty()) {
            key.push(':');
            key.push_str(&value);
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervision::ManualClock;

    fn limiter(rate: f64, burst: f64) -> (Limiter, ManualClock) {
        let clock = ManualClock::new();
        let limits = Limits {
            http_rate: rate,
            http_burst: burst,
            http_user_rate: 10.0 * rate,
            http_user_burst: 10.0 * burst,
            ..Limits::default()
        };
        (Limiter::new(&limits, clock.shared()), clock)
    }

    fn address(last: u8) -> Key {
        Key::Address(Some([192, 0, 2, last].into()))
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let (limiter, clock) = limiter(2.0, 3.0);
        for _ in 0..3 {
            limiter.take(address(1)).unwrap();
        }
        assert_eq!(limiter.take(address(1)), Err(Duration::from_millis(500)));
        clock.advance(Duration::from_millis(400));
        assert_eq!(limiter.take(address(1)), Err(Duration::from_millis(100)));
        clock.advance(Duration::from_millis(100));
        limiter.take(address(1)).unwrap();
        assert!(limiter.take(address(1)).is_err());
        clock.advance(Duration::from_secs(3600));
        let passed = (0..10).filter(|_| limiter.take(address(1)).is_ok()).count();
        assert_eq!(passed, 3, "a bucket never holds more than the burst");
    }

    #[test]
    fn callers_do_not_use_up_each_other() {
        let (limiter, _) = limiter(1.0, 1.0);
        limiter.take(address(1)).unwrap();
        limiter.take(address(2)).unwrap();
        assert!(limiter.take(address(1)).is_err());
        for _ in 0..10 {
            limiter.take(Key::Known("alice".into())).unwrap();
        }
        assert!(limiter.take(Key::Known("alice".into())).is_err());
        assert_eq!(limiter.refused(), (1, 1));
    }

    #[test]
    fn a_rate_of_zero_lifts_the_limit() {
        let (limiter, _) = limiter(0.0, 1.0);
        assert!((0..1000).all(|_| limiter.take(address(1)).is_ok()));
    }

    #[test]
    fn idle_buckets_are_purged_and_busy_ones_stay() {
        let (limiter, clock) = limiter(1.0, 5.0);
        (0..100).for_each(|last| limiter.take(address(last)).unwrap());
        clock.advance(IDLE - Duration::from_secs(1));
        limiter.take(address(0)).unwrap();
        assert_eq!(limiter.callers(), 100);
        clock.advance(Duration::from_secs(1));
        limiter.take(address(200)).unwrap();
        assert_eq!(limiter.callers(), 2);
    }

    #[test]
    fn workspace_and_client_of_the_query_are_part_of_the_key() {
        assert_eq!(known_key("u", ""), "u");
        assert_eq!(known_key("u", "client_id=c&workspace=w&x=1"), "u:w:c");
        assert_eq!(known_key("u", "client_id=&workspace=w%2F1"), "u:w/1");
    }
}
