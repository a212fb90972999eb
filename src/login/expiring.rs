//! A table whose entries live for a fixed time, and of which the oldest goes when it is full.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// See the module's text. Times are those of one clock; the caller passes the present one.
pub struct Expiring<V> {
    lifetime: Duration,
    capacity: usize,
    entries: HashMap<String, Entry<V>>,
    by_deadline: BTreeMap<(Duration, u64), String>,
    next: u64,
}

struct Entry<V> {
    value: V,
    place: (Duration, u64),
}

impl<V> Expiring<V> {
    pub fn new(lifetime: Duration, capacity: usize) -> Self {
        Expiring {
            lifetime,
            capacity: capacity.max(1),
            entries: HashMap::new(),
            by_deadline: BTreeMap::new(),
            next: 0,
        }
    }

    /// Sets `key`, which lives from now on; makes room by removing what would expire first.
    pub fn insert(&mut self, key: &str, value: V, now: Duration) {
        self.remove(key);
        self.sweep(now);
        while self.entries.len() >= self.capacity {
            let Some((_, oldest)) = self.by_deadline.pop_first() else {
                break;
            };
            self.entries.remove(&oldest);
        }
        let place = self.place(now);
        self.by_deadline.insert(place, key.to_owned());
        self.entries.insert(key.to_owned(), Entry { value, place });
    }

    /// The living value of `key`.
    pub fn get_mut(&mut self, key: &str, now: Duration) -> Option<&mut V> {
        self.sweep(now);
        self.entries.get_mut(key).map(|entry| &mut entry.value)
    }

    /// Lets `key` live its whole time again from now on.
    pub fn renew(&mut self, key: &str, now: Duration) {
        let place = self.place(now);
        if let Some(entry) = self.entries.get_mut(key) {
            self.by_deadline.remove(&entry.place);
            entry.place = place;
            self.by_deadline.insert(place, key.to_owned());
        }
    }

    /// When `key` expires.
    pub fn deadline(&self, key: &str) -> Option<Duration> {
        self.entries.get(key).map(|entry| entry.place.0)
    }

    pub fn remove(&mut self, key: &str) -> Option<V> {
        let entry = self.entries.remove(key)?;
        self.by_deadline.remove(&entry.place);
        Some(entry.value)
    }

    fn place(&mut self, now: Duration) -> (Duration, u64) {
        self.next += 1;
        (now.saturating_add(self.lifetime), self.next)
    }

    fn sweep(&mut self, now: Duration) {
        while let Some(first) = self.by_deadline.first_entry() {
            if first.key().0 > now {
                break;
            }
            self.entries.remove(&first.remove());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn entries_expire_on_time_and_renewed_ones_later() {
        let mut table = Expiring::new(at(10), 9);
        table.insert("a", 1, at(0));
        table.insert("b", 2, at(0));
        table.renew("b", at(5));
        assert_eq!(table.get_mut("a", at(9)), Some(&mut 1));
        assert_eq!(table.get_mut("a", at(10)), None);
        assert_eq!(table.deadline("b"), Some(at(15)));
        assert_eq!(table.get_mut("b", at(14)), Some(&mut 2));
        assert_eq!(table.get_mut("b", at(15)), None);
        assert!(table.entries.is_empty() && table.by_deadline.is_empty());
    }

    #[test]
    fn the_oldest_goes_when_the_table_is_full() {
        let mut table = Expiring::new(at(10), 2);
        for (second, key) in ["a", "b", "c"].into_iter().enumerate() {
            table.insert(key, second, at(second as u64));
        }
        assert_eq!(table.get_mut("a", at(3)), None);
        assert_eq!(table.get_mut("b", at(3)), Some(&mut 1));
        assert_eq!(table.get_mut("c", at(3)), Some(&mut 2));
    }

    #[test]
    fn replacing_and_removing_leave_nothing_behind() {
        let mut table = Expiring::new(at(10), 2);
        for second in 0..100 {
            table.insert("a", second, at(0));
        }
        assert_eq!(table.by_deadline.len(), 1);
        assert_eq!(table.remove("a"), Some(99));
        assert_eq!(table.remove("a"), None);
        assert!(table.by_deadline.is_empty());
    }
}
