//! What the operating system tells about this process and its machine. Zero where it does not.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Memory of this process in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    pub resident: u64,
    pub mapped: u64,
}

/// Memory of this process now.
pub fn memory() -> Memory {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut pages = text.split(' ').map(|field| field.parse().unwrap_or(0));
    // SAFETY: asks for a constant of the system.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.max(0) as u64;
    let mut next = || pages.next().unwrap_or(0) * page;
    let mapped = next();
    Memory {
        mapped,
        resident: next(),
    }
}

/// A line of `/proc/meminfo` in bytes.
fn meminfo(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// Per cent of the machine's memory that is in use.
pub fn memory_percent() -> f64 {
    match (meminfo("MemTotal:"), meminfo("MemAvailable:")) {
        (Some(total), Some(free)) if total > 0 => {
            100.0 * total.saturating_sub(free) as f64 / total as f64
        }
        _ => 0.0,
    }
}

/// Bytes of memory that can still be used: of the machine, and of the container where that has less.
pub fn available_memory() -> Option<u64> {
    let machine = meminfo("MemAvailable:");
    machine.into_iter().chain(left_in_container()).min()
}

/// What the limit of the control group leaves; files that are merely cached count as free.
fn left_in_container() -> Option<u64> {
    let read = |name: &str| std::fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok();
    let limit: u64 = read("memory.max")?.trim().parse().ok()?;
    let used: u64 = read("memory.current")?.trim().parse().ok()?;
    let stat = read("memory.stat")?;
    let cached = stat
        .lines()
        .find_map(|line| line.strip_prefix("inactive_file "));
    let cached: u64 = cached?.trim().parse().ok()?;
    Some(limit.saturating_sub(used.saturating_sub(cached)))
}

/// Processes that ran or waited for a processor, on average over 1, 5 and 15 minutes.
pub fn load_average() -> [f64; 3] {
    let mut load = [0.0; 3];
    // SAFETY: writes at most the three numbers there is room for.
    unsafe { libc::getloadavg(load.as_mut_ptr(), 3) };
    load
}

/// Per cent of the file system under `path` that is in use.
pub fn disk_percent(path: &Path) -> f64 {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return 0.0;
    };
    // SAFETY: a zeroed struct of numbers is valid; the call writes nothing else.
    let stat = unsafe {
        let mut stat: libc::statvfs = std::mem::zeroed();
        if libc::statvfs(path.as_ptr(), &mut stat) != 0 {
            return 0.0;
        }
        stat
    };
    let used = stat.f_blocks.saturating_sub(stat.f_bfree) as f64;
    let usable = used + stat.f_bavail as f64;
    if usable > 0.0 {
        100.0 * used / usable
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_tells_everything() {
        let memory = memory();
        assert!(memory.resident > 1_000_000 && memory.mapped > memory.resident);
        assert!((1.0..100.0).contains(&memory_percent()));
        assert!(available_memory().is_some_and(|free| free > 1_000_000));
        assert!((0.1..=100.0).contains(&disk_percent(Path::new("/"))));
        assert_eq!(disk_percent(Path::new("/no/such/place")), 0.0);
        assert!(load_average()[0] >= 0.0);
    }
}
