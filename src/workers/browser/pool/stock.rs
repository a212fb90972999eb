//! What waits in the pool and what is to be done about it: a decision without side effects, fed with times.
//!
//! A kind is made in advance only once it was asked for, and no longer than people go on asking.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;

use super::kind::{PageKind, PoolSettings};

/// How long a kind that could not be made rests, doubled with every further failure.
const REST: Duration = Duration::from_secs(2);
/// Most doublings.
const RESTS: u32 = 6;

/// What a page can still be used for.
pub trait Fit {
    /// False when it has died or failed.
    fn is_fit(&self) -> bool;
}

/// What was done with pages of one kind, since the server started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Made in advance.
    pub made: u64,
    /// Taken by a session.
    pub taken: u64,
    /// Asked for when none was there.
    pub missed: u64,
    /// Replaced because they waited for too long.
    pub renewed: u64,
    /// Died while they waited.
    pub lost: u64,
    /// Closed because nobody asked any more, or memory was short.
    pub dropped: u64,
    /// Could not be made.
    pub failed: u64,
}

/// What a pool holds of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    /// The kind's name.
    pub kind: &'static str,
    /// Pages that wait.
    pub ready: usize,
    /// Pages that wait at most.
    pub size: usize,
    /// See [`Counts`].
    #[serde(flatten)]
    pub counts: Counts,
}

/// What the pool's keeper should do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Task {
    /// Make a page.
    Make(PageKind),
    /// Nothing before this time has passed or something happens; `None`: before something happens.
    Wait(Option<Duration>),
}

struct Shelf<T> {
    kind: PageKind,
    /// Oldest first, with the time each was made.
    pages: VecDeque<(T, Duration)>,
    asked_at: Option<Duration>,
    rests_until: Duration,
    failures: u32,
    counts: Counts,
}

/// See the module's text.
pub struct Stock<T> {
    settings: PoolSettings,
    shelves: Vec<Shelf<T>>,
}

impl<T: Fit> Stock<T> {
    /// An empty stock.
    pub fn new(settings: PoolSettings) -> Self {
        let shelf = |kind| Shelf {
            kind,
            pages: VecDeque::new(),
            asked_at: None,
            rests_until: Duration::ZERO,
            failures: 0,
            counts: Counts::default(),
        };
        Self {
            settings,
            shelves: PageKind::ALL.map(shelf).into(),
        }
    }

    /// The page of a kind that has waited longest. That it was asked for is remembered either way.
    pub fn take(&mut self, kind: PageKind, now: Duration) -> Option<T> {
        let shelf = self.shelf(kind);
        shelf.asked_at = Some(now);
        while let Some((page, _)) = shelf.pages.pop_front() {
            if page.is_fit() {
                shelf.counts.taken += 1;
                return Some(page);
            }
            shelf.counts.lost += 1;
        }
        shelf.counts.missed += 1;
        None
    }

    /// Keeps a page that was made.
    pub fn put(&mut self, kind: PageKind, page: T, now: Duration) {
        let shelf = self.shelf(kind);
        shelf.failures = 0;
        shelf.counts.made += 1;
        shelf.pages.push_back((page, now));
    }

    /// Notes that a page could not be made.
    pub fn failed(&mut self, kind: PageKind, now: Duration) {
        let shelf = self.shelf(kind);
        shelf.counts.failed += 1;
        shelf.rests_until = now + REST * 2u32.pow(shelf.failures.min(RESTS));
        shelf.failures += 1;
    }

    /// Removes what should not wait any longer, and says what to do then. `room` is how many more sessions may open
    /// pages, beyond which pages would wait in vain.
    pub fn tend(&mut self, now: Duration, room: usize) -> (Vec<T>, Task) {
        let mut gone = Vec::new();
        let mut due: Option<Duration> = None;
        let mut make = None;
        for shelf in &mut self.shelves {
            let size = self.settings.size(shelf.kind).min(room);
            gone.extend(shelf.prune(&self.settings, now));
            let Some(idle_at) = shelf.asked_at.map(|at| at + self.settings.idle) else {
                continue;
            };
            let mut times = vec![idle_at];
            times.extend(shelf.oldest().map(|made| made + self.settings.max_age));
            if shelf.pages.len() < size {
                match now >= shelf.rests_until {
                    true => make = make.or(Some(shelf.kind)),
                    false => times.push(shelf.rests_until),
                }
            }
            due = times.into_iter().chain(due).min();
        }
        let task = match (make, due) {
            (Some(kind), _) => Task::Make(kind),
            (None, due) => Task::Wait(due.map(|due| due.saturating_sub(now))),
        };
        (gone, task)
    }

    /// Everything that waits.
    pub fn clear(&mut self) -> Vec<T> {
        let mut gone = Vec::new();
        for shelf in &mut self.shelves {
            shelf.counts.dropped += shelf.pages.len() as u64;
            gone.extend(shelf.pages.drain(..).map(|(page, _)| page));
        }
        gone
    }

    /// What waits, by kind.
    pub fn report(&self) -> Vec<Held> {
        let held = |shelf: &Shelf<T>| Held {
            kind: shelf.kind.name(),
            ready: shelf.pages.iter().filter(|(page, _)| page.is_fit()).count(),
            size: self.settings.size(shelf.kind),
            counts: shelf.counts,
        };
        self.shelves.iter().map(held).collect()
    }

    fn shelf(&mut self, kind: PageKind) -> &mut Shelf<T> {
        let at = self.shelves.iter().position(|shelf| shelf.kind == kind);
        // There is one for each kind.
        &mut self.shelves[at.unwrap_or_default()]
    }
}

impl<T: Fit> Shelf<T> {
    fn oldest(&self) -> Option<Duration> {
        self.pages.front().map(|(_, made)| *made)
    }

    /// What has died, has grown old, or is not asked for any more.
    fn prune(&mut self, settings: &PoolSettings, now: Duration) -> Vec<T> {
        let mut gone = Vec::new();
        let waiting = std::mem::take(&mut self.pages);
        let idle = self.asked_at.is_some_and(|at| now >= at + settings.idle);
        if idle {
            self.asked_at = None;
        }
        for (page, made) in waiting {
            let counter = if !page.is_fit() {
                &mut self.counts.lost
            } else if idle {
                &mut self.counts.dropped
            } else if now >= made + settings.max_age {
                &mut self.counts.renewed
            } else {
                self.pages.push_back((page, made));
                continue;
            };
            *counter += 1;
            gone.push(page);
        }
        gone
    }
}

#[cfg(test)]
#[path = "stock_tests.rs"]
mod tests;
