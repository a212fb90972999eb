//! A running child process.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
    /// Nobody could wait for it.
    Unknown,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit code {code}"),
            Exit::Signal(signal) => write!(f, "killed by signal {signal}"),
            Exit::Unknown => f.write_str("lost sight of"),
        }
    }
}

/// A handle of a running child. When the last one is dropped the child's group is killed.
#[derive(Clone)]
pub struct Process(Arc<Inner>);

struct Inner {
    pid: i32,
    exit: watch::Receiver<Option<Exit>>,
    /// Its end was asked for.
    dismissed: AtomicBool,
}

impl Process {
    pub(super) fn new(pid: i32, exit: watch::Receiver<Option<Exit>>) -> Self {
        Process(Arc::new(Inner {
            pid,
            exit,
            dismissed: AtomicBool::new(false),
        }))
    }

    /// Process and process group id.
    pub fn pid(&self) -> i32 {
        self.0.pid
    }

    /// Waits for its end.
    pub async fn exited(&self) -> Exit {
        let mut exit = self.0.exit.clone();
        let ended = exit.wait_for(Option::is_some).await;
        ended.ok().and_then(|exit| *exit).unwrap_or(Exit::Unknown)
    }

    /// Whether it has not ended yet.
    pub fn is_alive(&self) -> bool {
        self.0.exit.borrow().is_none()
    }

    /// Whether its end was asked for with [`Process::stop`].
    pub fn is_dismissed(&self) -> bool {
        self.0.dismissed.load(Ordering::Acquire)
    }

    /// Sends a signal to the whole group, unless the child has ended.
    pub fn signal(&self, signal: i32) {
        self.0.signal(signal);
    }

    /// Ends the group: asked to at first, killed when it is still there after `grace`.
    pub async fn stop(&self, grace: Duration) -> Exit {
        self.0.dismissed.store(true, Ordering::Release);
        self.signal(libc::SIGTERM);
        if let Ok(exit) = tokio::time::timeout(grace, self.exited()).await {
            return exit;
        }
        self.signal(libc::SIGKILL);
        self.exited().await
    }
}

impl Inner {
    fn signal(&self, signal: i32) {
        if self.exit.borrow().is_none() {
            // SAFETY: a plain system call; the id is the child's as long as no exit was reported.
            unsafe { libc::kill(-self.pid, signal) };
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.signal(libc::SIGKILL);
    }
}

/// Waits in a thread of its own until the child is over, kills what it left in its group, and
/// reaps it. The child's id is not given to others before that.
pub(super) fn wait_for(child: &mut std::process::Child) -> Exit {
    let pid = child.id();
    loop {
        // SAFETY: only writes into the struct that is passed.
        let waited = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            libc::waitid(libc::P_PID, pid, &mut info, libc::WEXITED | libc::WNOWAIT)
        };
        let interrupted =
            waited != 0 && std::io::Error::last_os_error().raw_os_error() == Some(libc::EINTR);
        if !interrupted {
            break;
        }
    }
    // SAFETY: a plain system call; the group is the child's until it is reaped below.
    unsafe { libc::kill(-(pid as i32), libc::SIGKILL) };
    let Ok(status) = child.wait() else {
        return Exit::Unknown;
    };
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Unknown,
    }
}
