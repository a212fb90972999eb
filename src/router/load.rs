//! Load of one client: a sliding minute of received calls, and calls in flight.
//!
//! Written with relaxed atomics on the frame path; autoscaling and `min_load` read it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Seconds of one bucket; twelve of them make the sliding minute.
const BUCKET_SECONDS: u64 = 5;
const BUCKETS: usize = 12;

/// See the module's text.
#[derive(Default)]
pub struct LoadMeter {
    buckets: [AtomicU32; BUCKETS],
    /// Number of the bucket written last, counted from the clock's start.
    newest: AtomicU64,
    total: AtomicU64,
    busy: AtomicU32,
}

impl LoadMeter {
    /// Counts one call towards this client.
    pub fn count(&self, now_ms: u64) {
        let bucket = now_ms / 1000 / BUCKET_SECONDS;
        self.forget_old(bucket);
        self.buckets[bucket as usize % BUCKETS].fetch_add(1, Ordering::Relaxed);
        self.total.fetch_add(1, Ordering::Relaxed);
    }

    /// Calls within the last minute.
    pub fn per_minute(&self, now_ms: u64) -> u32 {
        self.forget_old(now_ms / 1000 / BUCKET_SECONDS);
        self.buckets
            .iter()
            .map(|bucket| bucket.load(Ordering::Relaxed))
            .sum()
    }

    /// Calls since the connection began.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Marks one piece of work as running on the client (a call the server itself waits for).
    pub fn begin(&self) {
        self.busy.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends what [`LoadMeter::begin`] began.
    pub fn end(&self) {
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }

    /// Work in flight.
    pub fn in_flight(&self) -> u32 {
        self.busy.load(Ordering::Relaxed)
    }

    fn forget_old(&self, bucket: u64) {
        let newest = self.newest.load(Ordering::Relaxed);
        if bucket <= newest {
            return;
        }
        // Whoever moves `newest` clears the buckets in between; a lost race clears nothing twice.
        let moved =
            self.newest
                .compare_exchange(newest, bucket, Ordering::Relaxed, Ordering::Relaxed);
        if moved.is_ok() {
            for stale in (newest + 1)..=bucket.min(newest + BUCKETS as u64) {
                self.buckets[stale as usize % BUCKETS].store(0, Ordering::Relaxed);
            }
            if bucket > newest + BUCKETS as u64 {
                self.buckets[bucket as usize % BUCKETS].store(0, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_what_is_older_than_a_minute() {
        let meter = LoadMeter::default();
        for second in 0..30 {
            meter.count(second * 1000);
        }
        assert_eq!(meter.per_minute(30_000), 30);
        assert_eq!(meter.per_minute(74_000), 15);
        assert_eq!(meter.per_minute(500_000), 0);
        meter.count(500_000);
        assert_eq!(meter.per_minute(500_000), 1);
        assert_eq!(meter.total(), 31);
    }
}
