//! What a client owes: answers to what others asked of it.
//!
//! The message rate is there against clients that send on their own account. An app that is called a
//! thousand times a second has to answer a thousand times a second, so each message that was sent to
//! it and waits for something allows one answer beyond the rate.

use std::sync::atomic::{AtomicU32, Ordering};

/// Answers that may be owed; whoever is asked more often and stays silent gains nothing by it.
const MOST: u32 = 4096;

/// See the module's text.
#[derive(Default)]
pub struct Owed(AtomicU32);

impl Owed {
    /// Something was asked of the client.
    pub fn asked(&self) {
        // Two that pass the bound together do no harm.
        if self.0.load(Ordering::Relaxed) < MOST {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The client sent an answer: whether it was owed one.
    pub fn answered(&self) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |owed| {
                owed.checked_sub(1)
            })
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_question_allows_one_answer() {
        let owed = Owed::default();
        assert!(!owed.answered());
        owed.asked();
        assert!(owed.answered() && !owed.answered());
    }

    #[test]
    fn silence_is_no_capital() {
        let owed = Owed::default();
        (0..2 * MOST).for_each(|_| owed.asked());
        assert_eq!((0..2 * MOST).filter(|_| owed.answered()).count() as u32, MOST);
    }
}
