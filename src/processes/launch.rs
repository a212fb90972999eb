//! Starting a child process.
//!
//! Linux sends the death signal when the *thread* that started a child ends, hence a thread of
//! its own for each child, which also waits for it.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{ChildStderr, ChildStdout, Command, Stdio};

use tokio::sync::{oneshot, watch};

use super::control::Control;
use super::process::{Process, wait_for};
use super::sweep::MARK;

/// The descriptor that a child finds its control line at.
const CONTROL_FD: i32 = 3;
/// Stack of a thread that only waits.
const STACK: usize = 128 << 10;

/// What a child may use at most; zero is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Address space in bytes (`RLIMIT_AS`).
    pub memory: u64,
    /// Seconds of processor time (`RLIMIT_CPU`).
    pub cpu: u64,
}

/// Size of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSize {
    pub rows: u16,
    pub cols: u16,
}

impl WindowSize {
    /// As the kernel wants it.
    pub fn to_winsize(self) -> libc::winsize {
        libc::winsize {
            ws_row: self.rows,
            ws_col: self.cols,
            ws_xpixel: 0,
            ws_ypixel: 0,
        }
    }
}

/// What to run.
pub struct Launch {
    pub program: PathBuf,
    pub args: Vec<String>,
    /// The whole environment of the child.
    pub env: Vec<(String, String)>,
    pub folder: PathBuf,
    pub limits: Limits,
    /// Give it a control line.
    pub control: bool,
    /// Run it in a terminal of this size instead of with pipes.
    pub terminal: Option<WindowSize>,
    /// What it belongs to, so that a later server finds it if this one is killed.
    pub owner: String,
}

/// A child that was just started, and the ends of its lines.
pub struct Spawned {
    pub process: Process,
    pub stdout: Option<ChildStdout>,
    pub stderr: Option<ChildStderr>,
    pub control: Option<Control>,
    /// Our side of its terminal.
    pub terminal: Option<OwnedFd>,
}

type Begun = io::Result<(u32, Option<ChildStdout>, Option<ChildStderr>)>;

impl Launch {
    /// Starts the child.
    ///
    /// # Errors
    /// The system refuses: no such program or folder, no more processes or descriptors.
    pub async fn spawn(self) -> io::Result<Spawned> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .env_clear()
            .envs(self.env)
            .env(MARK, &self.owner)
            .current_dir(&self.folder);
        let lines = match self.control {
            true => Some(UnixStream::pair()?),
            false => None,
        };
        let (ours, theirs) = lines.unzip();
        let terminal = match self.terminal {
            Some(size) => Some(open_terminal(size)?),
            None => None,
        };
        let (master, slave) = terminal.unzip();
        match &slave {
            Some(slave) => {
                command.stdin(slave.try_clone()?);
                command.stdout(slave.try_clone()?);
                command.stderr(slave.try_clone()?);
            }
            None => {
                command.stdin(Stdio::null());
                command.stdout(Stdio::piped());
                command.stderr(Stdio::piped());
            }
        }
        prepare(&mut command, self.limits, theirs.as_ref(), slave.is_some());
        let (report, exit) = watch::channel(None);
        let (sender, begun) = oneshot::channel::<Begun>();
        let thread = std::thread::Builder::new()
            .name("child".to_owned())
            .stack_size(STACK);
        thread.spawn(move || {
            // The ends of the child stay open until it has its own copies.
            let started = command.spawn();
            drop((command, theirs, slave));
            match started {
                Err(error) => {
                    // Whoever wanted it may have gone.
                    let _ = sender.send(Err(error));
                }
                Ok(mut child) => {
                    let parts = (child.id(), child.stdout.take(), child.stderr.take());
                    if sender.send(Ok(parts)).is_err() {
                        // SAFETY: a plain system call on the group of our own child.
                        unsafe { libc::kill(-(child.id() as i32), libc::SIGKILL) };
                    }
                    report.send_replace(Some(wait_for(&mut child)));
                }
            }
        })?;
        let (pid, stdout, stderr) = begun
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the starting thread ended early")))?;
        let process = Process::new(pid as i32, exit);
        Ok(Spawned {
            process,
            stdout,
            stderr,
            control: ours.map(Control::new).transpose()?,
            terminal: master,
        })
    }
}

/// A pair of terminal ends: ours and the child's.
fn open_terminal(size: WindowSize) -> io::Result<(OwnedFd, OwnedFd)> {
    let (mut master, mut slave) = (0, 0);
    let size = size.to_winsize();
    // SAFETY: writes the two descriptors, which belong to nobody else.
    unsafe {
        let opened = libc::openpty(
            &mut master,
            &mut slave,
            std::ptr::null_mut(),
            std::ptr::null(),
            &size,
        );
        if opened != 0 {
            return Err(io::Error::last_os_error());
        }
        for fd in [master, slave] {
            libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        }
        Ok((OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)))
    }
}

/// What happens in the child before its program runs.
fn prepare(command: &mut Command, limits: Limits, control: Option<&UnixStream>, terminal: bool) {
    // SAFETY: getpid cannot fail.
    let server = unsafe { libc::getpid() };
    let control = control.map(AsRawFd::as_raw_fd);
    let check = |result: i32| match result {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    };
    // SAFETY: the closure runs between fork and exec and makes async-signal-safe calls only.
    unsafe {
        command.pre_exec(move || {
            check(libc::setsid())?;
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
            // The server may have died before the line above took effect.
            if libc::getppid() != server {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            // What the server set for itself is not for others.
            libc::prctl(libc::PR_SET_THP_DISABLE, 0, 0, 0, 0);
            if terminal {
                check(libc::ioctl(0, libc::TIOCSCTTY, 0))?;
            }
            match control {
                // A copy onto itself would keep its close-on-exec flag.
                Some(CONTROL_FD) => check(libc::fcntl(CONTROL_FD, libc::F_SETFD, 0))?,
                Some(fd) => check(libc::dup2(fd, CONTROL_FD))?,
                None => {}
            }
            for (kind, value) in [
                (libc::RLIMIT_AS, limits.memory),
                (libc::RLIMIT_CPU, limits.cpu),
            ] {
                if value > 0 {
                    let limit = libc::rlimit {
                        rlim_cur: value,
                        rlim_max: value,
                    };
                    check(libc::setrlimit(kind, &limit))?;
                }
            }
            Ok(())
        });
    }
}
