//! Users and addresses that are kept out, each with a reason and an end.
//!
//! Checks look at memory only; the store is what a restart reads. Every transport asks here.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use ipnet::IpNet;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{UnixTime, UserInfo, parse_range};
use crate::store::{Store, StoreError, Tree};

const TREE: &str = "blocklist";
/// Seconds of a block whose length is not given: 30 days (workspace.md 2.8).
const LONGEST: f64 = 30.0 * 86_400.0;
const USER: &str = "user:";
const ADDRESS: &str = "ip:";

/// Somebody is kept out; the text is for them.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Blocked {
    #[error("User is blocked: {0}")]
    User(String),
    #[error("IP is blocked: {0}")]
    Address(String),
}

impl Blocked {
    /// Why an open connection is closed.
    pub fn close_reason(&self) -> String {
        match self {
            Blocked::User(reason) => format!("User blocked: {reason}"),
            Blocked::Address(reason) => format!("IP blocked: {reason}"),
        }
    }
}

/// A block that is in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// A user id, an address or a range.
    pub id: String,
    pub reason: String,
    /// Seconds until it ends.
    pub rest: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    reason: String,
    /// Seconds since 1970.
    until: f64,
}

#[derive(Default)]
struct Known {
    users: HashMap<String, Entry>,
    hosts: HashMap<IpAddr, Entry>,
    ranges: HashMap<IpNet, Entry>,
}

impl Known {
    fn is_empty(&self) -> bool {
        self.users.is_empty() && self.hosts.is_empty() && self.ranges.is_empty()
    }

    fn put(&mut self, range: IpNet, entry: Entry) {
        if is_host(range) {
            self.hosts.insert(range.addr(), entry);
        } else {
            self.ranges.insert(range, entry);
        }
    }

    fn remove(&mut self, range: IpNet) {
        if is_host(range) {
            self.hosts.remove(&range.addr());
        } else {
            self.ranges.remove(&range);
        }
    }
}

fn is_host(range: IpNet) -> bool {
    range.prefix_len() == range.max_prefix_len()
}

/// See the module's text.
pub struct Blocklist {
    tree: Tree<Entry>,
    known: RwLock<Known>,
    /// Whether anything is blocked at all, so that the common case takes no lock.
    any: AtomicBool,
    now: UnixTime,
}

impl Blocklist {
    /// Reads what the store remembers.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn open(store: &Store, now: UnixTime) -> Result<Self, StoreError> {
        let tree: Tree<Entry> = store.tree(TREE)?;
        let mut known = Known::default();
        for stored in tree.iter() {
            let (key, entry) = stored?;
            if let Some(user) = key.strip_prefix(USER) {
                known.users.insert(user.to_owned(), entry);
            } else if let Some(Ok(range)) = key.strip_prefix(ADDRESS).map(parse_range) {
                known.put(range, entry);
            }
        }
        Ok(Blocklist {
            any: AtomicBool::new(!known.is_empty()),
            tree,
            known: RwLock::new(known),
            now,
        })
    }

    fn entry(&self, seconds: f64, reason: &str) -> Entry {
        let seconds = if seconds > 0.0 { seconds } else { LONGEST };
        let reason = if reason.is_empty() { "blocked" } else { reason };
        Entry {
            reason: reason.to_owned(),
            until: (self.now)() + seconds,
        }
    }

    /// Keeps a user out for that many seconds; 0 means 30 days. On disk after the store's next
    /// flush.
    ///
    /// # Errors
    /// The store failed.
    pub fn block_user(&self, id: &str, seconds: f64, reason: &str) -> Result<(), StoreError> {
        let entry = self.entry(seconds, reason);
        let mut known = self.known.write();
        self.tree.put(&format!("{USER}{id}"), &entry)?;
        known.users.insert(id.to_owned(), entry);
        self.any.store(true, Ordering::Release);
        Ok(())
    }

    /// Keeps an address or a range out; otherwise as [`Blocklist::block_user`].
    ///
    /// # Errors
    /// The store failed.
    pub fn block_ip(&self, range: IpNet, seconds: f64, reason: &str) -> Result<(), StoreError> {
        let entry = self.entry(seconds, reason);
        let mut known = self.known.write();
        self.tree.put(&format!("{ADDRESS}{range}"), &entry)?;
        known.put(range, entry);
        self.any.store(true, Ordering::Release);
        Ok(())
    }

    /// Lets a user in again.
    ///
    /// # Errors
    /// The store failed.
    pub fn unblock_user(&self, id: &str) -> Result<(), StoreError> {
        let mut known = self.known.write();
        self.tree.discard(&format!("{USER}{id}"))?;
        known.users.remove(id);
        Ok(())
    }

    /// Lets an address in again.
    ///
    /// # Errors
    /// The store failed.
    pub fn unblock_ip(&self, range: IpNet) -> Result<(), StoreError> {
        let mut known = self.known.write();
        self.tree.discard(&format!("{ADDRESS}{range}"))?;
        known.remove(range);
        Ok(())
    }

    /// Refuses a user who is kept out, be it as the child of somebody who is.
    ///
    /// # Errors
    /// [`Blocked::User`]
    pub fn check_user(&self, user: &UserInfo) -> Result<(), Blocked> {
        if !self.any.load(Ordering::Acquire) {
            return Ok(());
        }
        let (known, now) = (self.known.read(), (self.now)());
        let ids = [Some(&user.id), user.parent.as_ref()];
        let found = ids
            .into_iter()
            .flatten()
            .filter_map(|id| known.users.get(id));
        in_force(found, now).map_or(Ok(()), |entry| Err(Blocked::User(entry.reason.clone())))
    }

    /// Refuses an address that is kept out; one that is not known passes.
    ///
    /// # Errors
    /// [`Blocked::Address`]
    pub fn check_ip(&self, address: Option<IpAddr>) -> Result<(), Blocked> {
        let Some(address) = address.filter(|_| self.any.load(Ordering::Acquire)) else {
            return Ok(());
        };
        let (known, now) = (self.known.read(), (self.now)());
        let within = known
            .ranges
            .iter()
            .filter(|(range, _)| range.contains(&address));
        let found = known
            .hosts
            .get(&address)
            .into_iter()
            .chain(within.map(|(_, entry)| entry));
        in_force(found, now).map_or(Ok(()), |entry| Err(Blocked::Address(entry.reason.clone())))
    }

    /// Both checks: what every transport asks.
    ///
    /// # Errors
    /// [`Blocked`]
    pub fn check(&self, user: &UserInfo, address: Option<IpAddr>) -> Result<(), Blocked> {
        self.check_user(user)?;
        self.check_ip(address)
    }

    /// The blocks in force: users, then addresses, each sorted by id.
    pub fn list(&self) -> (Vec<Block>, Vec<Block>) {
        let (known, now) = (self.known.read(), (self.now)());
        let block = |id: String, entry: &Entry| Block {
            id,
            reason: entry.reason.clone(),
            rest: entry.until - now,
        };
        let sorted = |blocks: Vec<Block>| {
            let mut blocks: Vec<_> = blocks
                .into_iter()
                .filter(|block| block.rest > 0.0)
                .collect();
            blocks.sort_by(|one, other| one.id.cmp(&other.id));
            blocks
        };
        let users = known
            .users
            .iter()
            .map(|(id, entry)| block(id.clone(), entry));
        let hosts = known
            .hosts
            .iter()
            .map(|(id, entry)| block(id.to_string(), entry));
        let ranges = known
            .ranges
            .iter()
            .map(|(id, entry)| block(id.to_string(), entry));
        (
            sorted(users.collect()),
            sorted(hosts.chain(ranges).collect()),
        )
    }

    /// Forgets the blocks that are over.
    ///
    /// # Errors
    /// The store failed.
    pub fn sweep(&self) -> Result<(), StoreError> {
        if !self.any.load(Ordering::Acquire) {
            return Ok(());
        }
        let now = (self.now)();
        let over = |entry: &Entry| entry.until <= now;
        // Memory and store change under one lock: a block made meanwhile must not be lost.
        let mut known = self.known.write();
        let mut keys = Vec::new();
        let users = known.users.iter().filter(|(_, entry)| over(entry));
        keys.extend(users.map(|(id, _)| format!("{USER}{id}")));
        let hosts = known.hosts.iter().filter(|(_, entry)| over(entry));
        keys.extend(hosts.map(|(address, _)| format!("{ADDRESS}{}", IpNet::from(*address))));
        let ranges = known.ranges.iter().filter(|(_, entry)| over(entry));
        keys.extend(ranges.map(|(range, _)| format!("{ADDRESS}{range}")));
        for key in keys {
            self.tree.discard(&key)?;
        }
        known.users.retain(|_, entry| !over(entry));
        known.hosts.retain(|_, entry| !over(entry));
        known.ranges.retain(|_, entry| !over(entry));
        self.any.store(!known.is_empty(), Ordering::Release);
        Ok(())
    }
}

fn in_force<'a>(mut found: impl Iterator<Item = &'a Entry>, now: f64) -> Option<&'a Entry> {
    found.find(|entry| entry.until > now)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::supervision::{Clock, ManualClock};

    fn open(store: &Store, clock: &ManualClock) -> Blocklist {
        let clock = clock.clone();
        Blocklist::open(store, Arc::new(move || clock.unix())).unwrap()
    }

    fn child_of(parent: &str) -> UserInfo {
        UserInfo {
            parent: Some(parent.to_owned()),
            ..UserInfo::anonymous("kid")
        }
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn users_and_their_children_are_kept_out_until_the_end() {
        let (store, clock) = (Store::temporary(), ManualClock::new());
        let list = open(&store, &clock);
        let mallory = UserInfo::anonymous("mallory");
        list.check_user(&mallory).unwrap();
        list.block_user("mallory", 60.0, "spam").unwrap();
        let refused = list.check_user(&mallory).unwrap_err();
        assert_eq!(refused.to_string(), "User is blocked: spam");
        assert_eq!(refused.close_reason(), "User blocked: spam");
        assert!(list.check_user(&child_of("mallory")).is_err());
        list.check_user(&UserInfo::anonymous("mallory2")).unwrap();
        clock.advance(std::time::Duration::from_secs(60));
        list.check_user(&mallory).unwrap();
        assert_eq!(list.list(), (vec![], vec![]));
    }

    #[test]
    fn addresses_and_ranges_are_kept_out() {
        let (store, clock) = (Store::temporary(), ManualClock::new());
        let list = open(&store, &clock);
        list.block_ip(parse_range("192.0.2.7").unwrap(), 0.0, "")
            .unwrap();
        list.block_ip(parse_range("2001:db8::/32").unwrap(), 10.0, "net")
            .unwrap();
        let refused = |text: &str| {
            list.check_ip(ip(text))
                .map_err(|blocked| blocked.to_string())
        };
        assert_eq!(refused("192.0.2.7"), Err("IP is blocked: blocked".into()));
        assert_eq!(refused("192.0.2.8"), Ok(()));
        assert_eq!(refused("2001:db8::9"), Err("IP is blocked: net".into()));
        list.check_ip(None).unwrap();
        assert!(
            list.check(&UserInfo::anonymous("x"), ip("192.0.2.7"))
                .is_err()
        );
        let (users, addresses) = list.list();
        assert!(users.is_empty());
        assert_eq!(addresses[0].id, "192.0.2.7");
        assert_eq!(addresses[0].rest, LONGEST);
        assert_eq!(addresses[1].id, "2001:db8::/32");
        list.unblock_ip(parse_range("192.0.2.7").unwrap()).unwrap();
        list.check_ip(ip("192.0.2.7")).unwrap();
    }

    #[test]
    fn blocks_survive_and_the_sweep_forgets_them_after_their_end() {
        let (store, clock) = (Store::temporary(), ManualClock::new());
        let list = open(&store, &clock);
        list.block_user("short", 10.0, "").unwrap();
        list.block_user("long", 100.0, "").unwrap();
        list.block_ip(parse_range("192.0.2.7").unwrap(), 10.0, "")
            .unwrap();
        list.block_ip(parse_range("10.0.0.0/8").unwrap(), 10.0, "")
            .unwrap();
        clock.advance(std::time::Duration::from_secs(11));
        let again = open(&store, &clock);
        assert!(again.check_user(&UserInfo::anonymous("long")).is_err());
        again.sweep().unwrap();
        assert_eq!(
            store.tree::<Entry>(TREE).unwrap().keys("").unwrap(),
            ["user:long"]
        );
        assert!(again.check_user(&UserInfo::anonymous("long")).is_err());
        again.unblock_user("long").unwrap();
        assert!(open(&store, &clock).known.read().is_empty());
    }
}
