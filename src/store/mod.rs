//! What the server remembers: typed trees in an embedded sled store.
//!
//! Writes are in memory until a flush. Whoever acknowledges something to a client first awaits
//! [`Store::durable`], which shares one disk sync among all who wait. Changes that belong together
//! go into a [`Batch`], so that a crash leaves all of them or none.

mod batch;
mod errors;
mod flusher;
mod migrations;
mod tree;

use std::fs::{File, OpenOptions, TryLockError};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use batch::Batch;
pub use errors::StoreError;
pub use tree::Tree;

use crate::metrics::{Histogram, Reading};
use flusher::Flusher;
use migrations::{MIGRATIONS, Migration, migrate};

/// Held for as long as the store is open, so that a second process is told so in clear words.
const LOCK_FILE: &str = "lock";

/// Page cache of the engine. Its own default is 1 GiB, more than all of our metadata.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes of the disk that are left to what must be written in any case: removals, counters, what
/// other rooms store.
const RESERVE: u64 = 8 * 1024 * 1024;

/// An open store. Clones share it; it closes with the last clone or tree.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

/// Fields are dropped in this order: the flush thread, the engine, and only then the lock.
#[derive(Debug)]
struct Inner {
    flusher: Flusher,
    flush_times: Arc<Histogram>,
    engine: sled::Db,
    /// The lock's own file also tells how much room its disk has.
    lock: Option<File>,
}

/// How long an earlier opening may take to let go of the engine.
const ENGINE_LETS_GO: Duration = Duration::from_secs(5);

impl Store {
    /// Opens the store in the directory `path`, which is created if need be, and brings its
    /// schema up to date.
    pub fn open(path: &Path) -> Result<Store, StoreError> {
        Store::open_with(path, MIGRATIONS)
    }

    fn open_with(path: &Path, migrations: &[Migration]) -> Result<Store, StoreError> {
        let lock = lock(path)?;
        let engine = open_engine(path).map_err(|error| fail(path, error))?;
        migrate(&engine, path, migrations)?;
        Store::around(engine, Some(lock)).map_err(|error| fail(path, error))
    }

    /// A store that disappears when it is closed.
    #[cfg(test)]
    pub(crate) fn temporary() -> Store {
        let config = sled::Config::new().temporary(true);
        let engine = configured(config).open().expect("a temporary store opens");
        Store::around(engine, None).expect("a thread starts")
    }

    fn around(engine: sled::Db, lock: Option<File>) -> std::io::Result<Store> {
        let flushed = engine.clone();
        let flush_times = Arc::new(Histogram::default());
        let times = flush_times.clone();
        let flusher = Flusher::start(move || {
            let began = Instant::now();
            flushed.flush()?;
            times.observe(began.elapsed());
            Ok(())
        })?;
        Ok(Store {
            inner: Arc::new(Inner {
                flusher,
                flush_times,
                engine,
                lock,
            }),
        })
    }

    /// The tree called `name`, created if need be.
    pub fn tree<T>(&self, name: &'static str) -> Result<Tree<T>, StoreError>
    where
        T: Serialize + DeserializeOwned,
    {
        Tree::open(self.inner.clone(), name)
    }

    /// Carries out all changes of `batch` or, on an error or a crash, none.
    pub fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        batch.apply()
    }

    /// Whether the disk has room for what changes next. The engine gives up for good when it
    /// cannot write, so whoever adds something asks first.
    ///
    /// # Errors
    /// [`StoreError::Full`]
    pub fn check_room(&self) -> Result<(), StoreError> {
        let Some(file) = &self.inner.lock else {
            return Ok(());
        };
        match free_bytes(file) {
            Ok(free) if free < RESERVE => Err(StoreError::Full),
            Ok(_) => Ok(()),
            Err(error) => Err(StoreError::Engine(error.to_string())),
        }
    }

    /// How long the flushes took.
    pub fn flush_times(&self) -> Reading {
        self.inner.flush_times.read()
    }

    /// Resolves when everything written before this call is on disk.
    ///
    /// The caller is queued by the call itself, not by the first poll. An error means that
    /// nothing may be acknowledged.
    pub fn durable(&self) -> impl Future<Output = Result<(), StoreError>> + use<> {
        self.inner.flusher.wait()
    }
}

fn configured(config: sled::Config) -> sled::Config {
    config.cache_capacity(CACHE_BYTES)
}

/// Opens the engine. Its own lock is let go by a background thread some time after the last handle
/// of an earlier opening is dropped; ours is held already, so that nobody else can be meant.
fn open_engine(path: &Path) -> sled::Result<sled::Db> {
    let began = Instant::now();
    let config = configured(sled::Config::new().path(path));
    loop {
        match config.open() {
            Err(error) if is_locked(&error) && began.elapsed() < ENGINE_LETS_GO => {
                std::thread::sleep(Duration::from_millis(5));
            }
            opened => return opened,
        }
    }
}

fn is_locked(error: &sled::Error) -> bool {
    error.to_string().contains("could not acquire lock")
}

fn fail(path: &Path, error: impl std::fmt::Display) -> StoreError {
    StoreError::Open {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

fn lock(path: &Path) -> Result<File, StoreError> {
    std::fs::create_dir_all(path).map_err(|error| fail(path, error))?;
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.join(LOCK_FILE))
        .map_err(|error| fail(path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(fail(path, error)),
    }
}

/// Bytes that may still be written to the file system of a file.
pub(crate) fn free_bytes(file: &File) -> std::io::Result<u64> {
    let mut stat = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the descriptor is open, and the call fills the structure when it returns 0.
    let stat = unsafe {
        if libc::fstatvfs(file.as_raw_fd(), stat.as_mut_ptr()) != 0 {
            return Err(std::io::Error::last_os_error());
        }
        stat.assume_init()
    };
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
