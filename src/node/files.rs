//! Limits and settings of the operating system.

/// Keeps the kernel from backing the allocator's arenas with huge pages: an idle server would
/// hold 55 MB instead of 15 MB. To be called before anything else.
pub fn prefer_small_pages() {
    // SAFETY: sets a flag of this process. Where the kernel does not know it, memory is all it costs.
    unsafe {
        libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0);
    }
}

/// Raises the number of files this process may open as far as it is allowed to: each connection
/// takes two.
pub fn raise_limit() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls only read and write the struct that is passed.
    let raised = unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) != 0 {
            return;
        }
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit) == 0
    };
    tracing::debug!(raised, files = limit.rlim_max, "limit of open files");
}
