//! Profile directories and their owners, so that nothing survives a server that was killed.
//!
//! Every profile directory names the server process it belongs to. At each launch, the directories whose server is no
//! more are removed together with every process that was started on them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// File in the profile directory that names its server.
const OWNER: &str = "rhizome-owner";
/// How the names of profile directories begin.
const PREFIX: &str = "profile-";
/// How long killed processes get to disappear.
const PATIENCE: Duration = Duration::from_secs(3);

/// A fresh profile directory in `parent`, owned by this process and readable by its user only.
pub(crate) fn new_profile(parent: &Path) -> std::io::Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::create_dir_all(parent)?;
    let profile = parent
        .canonicalize()?
        .join(format!("{PREFIX}{}", uuid::Uuid::new_v4().simple()));
    std::fs::DirBuilder::new().mode(0o700).create(&profile)?;
    let pid = std::process::id();
    std::fs::write(
        profile.join(OWNER),
        format!("{pid} {}", birth(pid).unwrap_or_default()),
    )?;
    Ok(profile)
}

/// Removes the profiles in `parent` whose server is gone, and ends the processes that still use them.
pub(crate) fn remove_orphans(parent: &Path) {
    // Process command lines show the path as new_profile made it.
    let Ok(entries) = parent.canonicalize().and_then(std::fs::read_dir) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && !owner_lives(&entry.path()) {
            tracing::info!(profile = %entry.path().display(), "removing what a former server left behind");
            remove_profile(&entry.path());
        }
    }
}

/// Ends every process that was started on `profile` and removes the directory.
pub(crate) fn remove_profile(profile: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while kill_users(profile) > 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    // A process that was just killed may still have had a file to create.
    while profile.exists() && std::fs::remove_dir_all(profile).is_err() {
        if Instant::now() > deadline {
            tracing::warn!(profile = %profile.display(), "a browser profile could not be removed");
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Kills the processes whose command line names `profile`; returns how many there were.
fn kill_users(profile: &Path) -> usize {
    let needle = profile.to_string_lossy().into_owned();
    let own = std::process::id();
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return 0;
    };
    let users = processes.flatten().filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let command = std::fs::read(entry.path().join("cmdline")).ok()?;
        (pid != own && String::from_utf8_lossy(&command).contains(&needle)).then_some(pid)
    });
    let mut killed = 0;
    for pid in users {
        // SAFETY: a plain system call on a process whose command line names our own fresh directory.
        unsafe { libc::kill(pid as i32, libc::SIGKILL) };
        killed += 1;
    }
    killed
}

fn owner_lives(profile: &Path) -> bool {
    let owner = std::fs::read_to_string(profile.join(OWNER)).unwrap_or_default();
    let Some((pid, born)) = owner.split_once(' ') else {
        // Without the file it may be a profile that another server is just making.
        return age(profile).is_some_and(|age| age < Duration::from_secs(60));
    };
    pid.parse()
        .ok()
        .and_then(birth)
        .is_some_and(|birth| birth == born)
}

fn age(path: &Path) -> Option<Duration> {
    std::fs::metadata(path)
        .ok()?
        .modified()
        .ok()?
        .elapsed()
        .ok()
}

/// When a process started, in the kernel's ticks: with the process id it names a process for good.
fn birth(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold spaces; the start time is the 20th field after it.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_of_a_living_server_stays() {
        let parent = std::env::temp_dir().join(format!("rhizome-sweep-{}", uuid::Uuid::new_v4()));
        let profile = new_profile(&parent).unwrap();
        remove_orphans(&parent);
        assert!(profile.exists());
        std::fs::remove_dir_all(parent).unwrap();
    }

    #[test]
    fn orphans_and_their_processes_go() {
        let parent = std::env::temp_dir().join(format!("rhizome-sweep-{}", uuid::Uuid::new_v4()));
        let profile = new_profile(&parent).unwrap();
        std::fs::write(profile.join(OWNER), format!("{} never", std::process::id())).unwrap();
        let argument = format!("--user-data-dir={}", profile.display());
        let mut child = std::process::Command::new("sh")
            .args(["-c", "read line", &argument])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        remove_orphans(&parent);
        assert!(!profile.exists());
        assert!(!child.wait().unwrap().success());
        std::fs::remove_dir_all(parent).unwrap();
    }
}
