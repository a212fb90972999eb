//! Whether the client of a stream still lives. Its silence says nothing, since an idle client has
//! no reason to send; so it is asked, and goes only after several questions in a row without an
//! answer (protocol 6 and 9).

use std::collections::HashMap;
use std::time::Duration;

use crate::router::Client;

/// What follows from the outcome of a question.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Lives,
    /// No answer; there will be another question.
    Doubtful,
    Dead,
}

/// The questions without an answer, by the generation of the client.
#[derive(Default)]
pub struct Liveness {
    misses: HashMap<u64, u32>,
}

/// Whether a client has been silent for so long that it is to be asked.
pub fn is_idle(client: &Client, now_ms: u64, threshold: Duration) -> bool {
    let silent = Duration::from_millis(now_ms.saturating_sub(client.last_active()));
    silent >= threshold
}

impl Liveness {
    /// Notes how a question to `generation` ended.
    pub fn note(&mut self, generation: u64, answered: bool, max_misses: u32) -> Verdict {
        if answered {
            self.misses.remove(&generation);
            return Verdict::Lives;
        }
        let misses = self.misses.entry(generation).or_insert(0);
        *misses += 1;
        if *misses < max_misses {
            return Verdict::Doubtful;
        }
        self.misses.remove(&generation);
        Verdict::Dead
    }

    /// Forgets clients that are not idle any more, or gone.
    pub fn keep_only(&mut self, idle: impl Fn(u64) -> bool) {
        self.misses.retain(|generation, _| idle(*generation));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::UserInfo;
    use crate::router::{ClientSpec, MailboxLimits, Router, Transport};
    use crate::supervision::ManualClock;
    use std::sync::Arc;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn only_a_silent_client_is_asked() {
        let clock = ManualClock::new();
        let router = Router::new("srv", MailboxLimits::default(), clock.shared());
        let spec = ClientSpec {
            workspace: "ws".into(),
            client_id: "c".into(),
            user: Arc::new(UserInfo::root()),
            transport: Transport::Http,
            cut: None,
            remote: String::new(),
        };
        let client = router.register(spec, false).unwrap().client;
        let idle = || is_idle(&client, router.now_ms(), MINUTE);
        clock.advance(Duration::from_secs(59));
        assert!(!idle());
        clock.advance(Duration::from_secs(1));
        assert!(idle());
        client.heard(router.now_ms(), true);
        assert!(!idle());
        clock.advance(MINUTE);
        assert!(idle());
    }

    #[test]
    fn a_client_goes_after_misses_in_a_row() {
        let mut liveness = Liveness::default();
        assert_eq!(liveness.note(1, false, 3), Verdict::Doubtful);
        assert_eq!(liveness.note(1, false, 3), Verdict::Doubtful);
        assert_eq!(liveness.note(2, false, 3), Verdict::Doubtful);
        assert_eq!(liveness.note(1, true, 3), Verdict::Lives);
        assert_eq!(liveness.note(1, false, 3), Verdict::Doubtful);
        assert_eq!(liveness.note(1, false, 3), Verdict::Doubtful);
        assert_eq!(liveness.note(1, false, 3), Verdict::Dead);
        assert_eq!(liveness.note(1, false, 3), Verdict::Doubtful);
    }

    #[test]
    fn a_client_that_spoke_begins_anew() {
        let mut liveness = Liveness::default();
        liveness.note(1, false, 2);
        liveness.note(2, false, 2);
        liveness.keep_only(|generation| generation == 2);
        assert_eq!(liveness.note(1, false, 2), Verdict::Doubtful);
        assert_eq!(liveness.note(2, false, 2), Verdict::Dead);
    }
}
