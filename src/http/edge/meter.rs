//! Counts of HTTP requests, by kind of route and kind of outcome.
//!
//! Each thread that serves has a meter of its own, so that counting contends with nobody; they
//! are summed when somebody asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_web::http::StatusCode;
use parking_lot::Mutex;

use crate::metrics::{Histogram, Reading};

/// What a request was about. Never the path itself: there must be few of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    Socket,
    Stream,
    Health,
    Metrics,
    Assets,
    Admin,
    Page,
    Services,
    Apps,
    Artifacts,
    Files,
    Other,
}

impl Route {
    pub const ALL: [Route; 12] = [
        Route::Socket,
        Route::Stream,
        Route::Health,
        Route::Metrics,
        Route::Assets,
        Route::Admin,
        Route::Page,
        Route::Services,
        Route::Apps,
        Route::Artifacts,
        Route::Files,
        Route::Other,
    ];

    /// The route of a path.
    pub fn of(path: &str) -> Route {
        let mut segments = path.trim_start_matches('/').split('/');
        match segments.next() {
            Some("ws") => Route::Socket,
            Some("rpc") => Route::Stream,
            Some("health") => Route::Health,
            Some("metrics") => Route::Metrics,
            Some("assets" | "static") => Route::Assets,
            Some("admin") => Route::Admin,
            Some("_pages") => Route::Page,
            _ => match segments.next() {
                Some("services") => Route::Services,
                Some("apps") => Route::Apps,
                Some("artifacts") => Route::Artifacts,
                Some("files") => Route::Files,
                _ => Route::Other,
            },
        }
    }

    /// The name that people see.
    pub fn name(self) -> &'static str {
        match self {
            Route::Socket => "ws",
            Route::Stream => "rpc",
            Route::Health => "health",
            Route::Metrics => "metrics",
            Route::Assets => "assets",
            Route::Admin => "admin",
            Route::Page => "pages",
            Route::Services => "services",
            Route::Apps => "apps",
            Route::Artifacts => "artifacts",
            Route::Files => "files",
            Route::Other => "other",
        }
    }
}

const ROUTES: usize = Route::ALL.len();
/// 1xx to 5xx.
const KINDS: usize = 5;

/// The meter of one thread.
#[derive(Debug, Default)]
pub struct Meter {
    requests: [[AtomicU64; KINDS]; ROUTES],
    seconds: [Histogram; ROUTES],
}

impl Meter {
    /// Counts a request whose answer begins now.
    pub fn count(&self, route: Route, status: StatusCode, took: Duration) {
        let kind = usize::from(status.as_u16() / 100).clamp(1, KINDS) - 1;
        self.requests[route as usize][kind].fetch_add(1, Ordering::Relaxed);
        // An upgrade begins a connection; how long that took says nothing about requests.
        if status != StatusCode::SWITCHING_PROTOCOLS {
            self.seconds[route as usize].observe(took);
        }
    }
}

/// The sums of one route.
#[derive(Debug, Clone, Copy)]
pub struct Sums {
    pub route: Route,
    /// Requests by kind of status, 1xx first.
    pub requests: [u64; KINDS],
    /// From the request's arrival to the head of the answer.
    pub seconds: Reading,
}

/// The meters of all threads.
#[derive(Debug, Default)]
pub struct Meters(Mutex<Vec<Arc<Meter>>>);

impl Meters {
    /// A meter for one more thread.
    pub fn add(&self) -> Arc<Meter> {
        let meter = Arc::new(Meter::default());
        self.0.lock().push(meter.clone());
        meter
    }

    /// What all threads have counted, by route; routes nobody asked for are left out.
    pub fn sums(&self) -> Vec<Sums> {
        let meters = self.0.lock().clone();
        let sum = |route: Route| {
            let mut sums = Sums {
                route,
                requests: [0; KINDS],
                seconds: Reading::default(),
            };
            for meter in &meters {
                let counts = &meter.requests[route as usize];
                for (sum, count) in sums.requests.iter_mut().zip(counts) {
                    *sum += count.load(Ordering::Relaxed);
                }
                sums.seconds += meter.seconds[route as usize].read();
            }
            sums
        };
        let all = Route::ALL.into_iter().map(sum);
        all.filter(|sums| sums.requests.iter().any(|count| *count > 0))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_belong_to_few_routes() {
        for (path, name) in [
            ("/ws", "ws"),
            ("/health/readiness", "health"),
            ("/_pages/secret/index.html", "pages"),
            ("/lab/services/x/f", "services"),
            ("/lab/apps/x/", "apps"),
            ("/lab/artifacts/a/files/b", "artifacts"),
            ("/", "other"),
            ("/lab/anything", "other"),
        ] {
            assert_eq!(Route::of(path).name(), name, "{path}");
        }
        let order: Vec<_> = Route::ALL.iter().map(|route| *route as usize).collect();
        assert_eq!(order, (0..ROUTES).collect::<Vec<_>>());
    }

    #[test]
    fn the_meters_of_all_threads_are_summed() {
        let meters = Meters::default();
        let (one, other) = (meters.add(), meters.add());
        let second = Duration::from_secs(1);
        one.count(Route::Apps, StatusCode::OK, second);
        other.count(Route::Apps, StatusCode::OK, second);
        other.count(Route::Apps, StatusCode::NOT_FOUND, second);
        other.count(Route::Socket, StatusCode::SWITCHING_PROTOCOLS, second);
        let sums = meters.sums();
        assert_eq!(sums.len(), 2);
        assert_eq!(
            (sums[0].route, sums[0].requests),
            (Route::Socket, [1, 0, 0, 0, 0])
        );
        assert_eq!(sums[0].seconds.count(), 0);
        assert_eq!(
            (sums[1].route, sums[1].requests),
            (Route::Apps, [0, 2, 0, 1, 0])
        );
        assert_eq!(sums[1].seconds.sum(), 3.0);
    }
}
