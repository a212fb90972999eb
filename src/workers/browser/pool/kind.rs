//! The kinds of pages that are made in advance, and how many of each.

use std::time::Duration;

/// A kind of page that can be made before it is known for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PageKind {
    /// An empty page, which then goes to any address.
    Blank,
    /// A page of type web-worker whose worker runs, with the client imported, and waits for its app.
    WebWorker,
    /// A page of type web-python whose worker has booted Python, with the client imported, and waits for its app.
    WebPython,
}

impl PageKind {
    /// Every kind, in the order in which they are made.
    pub const ALL: [Self; 3] = [Self::WebWorker, Self::Blank, Self::WebPython];

    /// The name of the kind, which for all but blank ones is the app type that it serves.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blank => "blank",
            Self::WebWorker => "web-worker",
            Self::WebPython => "web-python",
        }
    }

    /// The kind that waits for apps of `app_type`.
    pub fn of_type(app_type: &str) -> Option<Self> {
        let serves = |kind: &Self| *kind != Self::Blank && kind.name() == app_type;
        Self::ALL.into_iter().find(serves)
    }
}

/// How many pages are kept, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolSettings {
    /// Empty pages.
    pub blank: usize,
    /// Pages that wait for an app of type web-worker.
    pub web_worker: usize,
    /// Pages that wait for an app of type web-python.
    pub web_python: usize,
    /// A page that waited for longer is replaced.
    pub max_age: Duration,
    /// When pages of a kind were not asked for in this time, those that wait are closed.
    pub idle: Duration,
    /// With less memory available, in bytes, no page waits.
    pub min_memory: u64,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            blank: 1,
            web_worker: 1,
            web_python: 0,
            max_age: Duration::from_secs(600),
            idle: Duration::from_secs(300),
            min_memory: 512 << 20,
        }
    }
}

impl PoolSettings {
    /// How many pages of a kind wait at most.
    pub fn size(&self, kind: PageKind) -> usize {
        match kind {
            PageKind::Blank => self.blank,
            PageKind::WebWorker => self.web_worker,
            PageKind::WebPython => self.web_python,
        }
    }
}
