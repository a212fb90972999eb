//! Ending the processes that a killed server left behind.
//!
//! The death signal reaches the children of a server, not what those have started in turn. All of
//! them carry a mark in their environment, the data folder of the server they belong to, which
//! only one server at a time can use.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Environment variable with the owner of a process.
pub const MARK: &str = "RHIZOME_OWNER";

/// Kills all processes of `owner`. To be called before anything of its own is started. It blocks.
pub fn sweep_orphans(owner: &str) -> usize {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return 0;
    };
    let wanted = format!("{MARK}={owner}");
    let own = std::process::id();
    let mut found = 0;
    for entry in processes.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if pid != own && is_marked(&entry.path(), wanted.as_bytes()) {
            // SAFETY: a plain system call; at worst the process has just ended by itself.
            unsafe { libc::kill(pid as i32, libc::SIGKILL) };
            found += 1;
        }
    }
    if found > 0 {
        tracing::info!(found, "ended processes that an earlier server left behind");
    }
    found
}

fn is_marked(process: &Path, wanted: &[u8]) -> bool {
    // Processes of other users cannot be read, and are not ours.
    std::fs::read(process.join("environ")).is_ok_and(|environ| {
        environ
            .split(|byte| *byte == 0)
            .any(|entry| entry == wanted)
    })
}

/// The owner that stands for a data folder.
pub fn owner_of(data_dir: &Path) -> String {
    let whole = std::fs::canonicalize(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    String::from_utf8_lossy(whole.as_os_str().as_bytes()).into_owned()
}
