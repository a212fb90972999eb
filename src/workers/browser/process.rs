//! The Chromium process: started as the leader of its own process group, and dying with this server.
//!
//! Linux sends the death signal when the *thread* that started the child ends, hence a thread of its own for each
//! Chromium, which also waits for it.

use std::collections::VecDeque;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{ChildStderr, Command, Stdio};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::{oneshot, watch};

use super::error::BrowserError;
use super::settings::BrowserSettings;
use super::sweep;

/// Environment variables that Chromium gets to see; the server's others may hold secrets.
const ENVIRONMENT: [&str; 20] = [
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "FONTCONFIG_PATH",
    "FONTCONFIG_FILE",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
];

/// Lines of Chromium's own output kept for the report of a failed launch.
const LAST_LINES: usize = 20;

/// A running Chromium. Dropping it kills the process group.
pub(crate) struct BrowserProcess {
    /// Process and process group id.
    pub pid: i32,
    /// Where its DevTools listen.
    pub address: String,
    profile: PathBuf,
    exit: watch::Receiver<Option<String>>,
}

/// What the starting thread reports: the process id and its output.
type Started = std::io::Result<(u32, Option<ChildStderr>)>;

impl BrowserProcess {
    /// Clears away what earlier servers left in the profile directory and starts Chromium.
    pub async fn start(settings: &BrowserSettings) -> Result<Self, BrowserError> {
        let program = settings.program()?;
        if !settings.has_sandbox() {
            static TOLD: std::sync::Once = std::sync::Once::new();
            TOLD.call_once(|| {
                tracing::warn!(
                    "Chromium runs without its sandbox: it has none for root, or the configuration says so (apps.no_sandbox). \
                     Run the server as another user where apps are not trusted"
                );
            });
        }
        let parent = settings.profile_dir.clone();
        let profile = tokio::task::spawn_blocking(move || {
            sweep::remove_orphans(&parent);
            sweep::new_profile(&parent)
        })
        .await
        .map_err(|error| BrowserError::Launch(error.to_string()))?
        .map_err(|error| BrowserError::Launch(format!("no profile directory: {error}")))?;

        let mut command = Command::new(&program);
        command
            .args(settings.arguments(&profile))
            .current_dir(&profile)
            .env_clear();
        command.envs(
            ENVIRONMENT
                .iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?))),
        );
        let (exit_sender, exit) = watch::channel(None);
        let (pid, stderr) = match spawn_thread(command, exit_sender).await {
            Ok(started) => started,
            Err(error) => {
                let _ = std::fs::remove_dir_all(&profile);
                return Err(BrowserError::Launch(format!(
                    "{}: {error}",
                    program.display()
                )));
            }
        };
        let mut process = Self {
            pid: pid as i32,
            address: String::new(),
            profile,
            exit,
        };
        process.address = process
            .find_address(stderr, settings.launch_timeout)
            .await?;
        Ok(process)
    }

    /// Reads Chromium's output up to the line that names its address, and goes on draining it afterwards.
    async fn find_address(
        &self,
        stderr: Option<ChildStderr>,
        limit: std::time::Duration,
    ) -> Result<String, BrowserError> {
        let failed = |error: std::io::Error| BrowserError::Launch(error.to_string());
        let stderr =
            stderr.ok_or_else(|| BrowserError::Launch("its output cannot be read".to_owned()))?;
        let mut lines =
            BufReader::new(tokio::process::ChildStderr::from_std(stderr).map_err(failed)?).lines();
        let last = Arc::new(Mutex::new(VecDeque::new()));
        let (found, address) = oneshot::channel();
        let kept = last.clone();
        tokio::spawn(async move {
            let mut found = Some(found);
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(address) = line.strip_prefix("DevTools listening on ")
                    && let Some(found) = found.take()
                {
                    let _ = found.send(address.trim().to_owned());
                }
                let mut kept = kept.lock();
                kept.push_back(line);
                if kept.len() > LAST_LINES {
                    kept.pop_front();
                }
            }
        });
        let said = || Vec::from(last.lock().clone()).join("\n");
        tokio::select! {
            found = tokio::time::timeout(limit, address) => match found {
                Ok(Ok(address)) => Ok(address),
                Ok(Err(_)) => Err(BrowserError::Launch(format!("{}; it said: {}", self.exited().await, said()))),
                Err(_) => Err(BrowserError::Launch(format!("it was not up after {} s; it said: {}", limit.as_secs_f64(), said()))),
            },
            status = self.exited() => Err(BrowserError::Launch(format!("{status}; it said: {}", said()))),
        }
    }

    /// The profile directory.
    pub fn profile(&self) -> &std::path::Path {
        &self.profile
    }

    /// Waits for the end of the process and says how it ended.
    pub async fn exited(&self) -> String {
        let mut exit = self.exit.clone();
        let status = exit
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|status| status.clone());
        status.unwrap_or_else(|| "Chromium was lost sight of".to_owned())
    }

    /// Kills the browser and all its children, unless it has ended.
    pub fn kill(&self) {
        if self.exit.borrow().is_none() {
            // SAFETY: a plain system call; the id is ours as long as no exit was reported.
            unsafe { libc::kill(-self.pid, libc::SIGKILL) };
        }
    }

    /// Removes the profile directory. Children of a killed browser may write for a moment longer: those are ended first.
    pub async fn remove_profile(&self) {
        let profile = self.profile.clone();
        let _ = tokio::task::spawn_blocking(move || sweep::remove_profile(&profile)).await;
    }
}

impl Drop for BrowserProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts `command` in a thread that stays until the process has ended.
async fn spawn_thread(mut command: Command, exit: watch::Sender<Option<String>>) -> Started {
    // SAFETY: getpid cannot fail.
    let server = unsafe { libc::getpid() };
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    // SAFETY: the closure runs between fork and exec and makes async-signal-safe system calls only.
    unsafe {
        command.pre_exec(move || {
            if libc::setsid() < 0 || libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) < 0 {
                return Err(std::io::Error::last_os_error());
            }
            // The server may have died before the line above took effect.
            if libc::getppid() != server {
                return Err(std::io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        })
    };
    let (sender, started) = oneshot::channel::<Started>();
    let thread = std::thread::Builder::new().name("chromium".to_owned());
    thread.spawn(move || match command.spawn() {
        Err(error) => {
            let _ = sender.send(Err(error));
        }
        Ok(mut child) => {
            let pid = child.id();
            if sender.send(Ok((pid, child.stderr.take()))).is_err() {
                // Whoever wanted it has gone.
                let _ = child.kill();
            }
            let status = child.wait();
            let text = status.map_or_else(
                |error| error.to_string(),
                |status| format!("Chromium ended ({status})"),
            );
            exit.send_replace(Some(text));
        }
    })?;
    started
        .await
        .unwrap_or_else(|_| Err(std::io::Error::other("the starting thread ended early")))
}
