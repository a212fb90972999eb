//! Gives memory back to the system after a storm.
//!
//! What one thread allocates and another frees comes back only when the first one looks for it,
//! and a thread that has nothing to do any more never looks. A frame is just that: read by the
//! sender's thread, dropped by the receiver's.

use std::time::Duration;

use crate::supervision::SharedClock;

/// Time between two looks.
const PERIOD: Duration = Duration::from_secs(5);

/// Tidies up for the calling thread for as long as its event loop runs.
pub fn tidy_this_thread(clock: SharedClock) {
    actix_web::rt::spawn(async move {
        loop {
            clock.sleep(PERIOD).await;
            // SAFETY: changes the allocator's own books, those of this thread.
            unsafe { libmimalloc_sys::mi_collect(true) };
        }
    });
}
