//! The room as a whole, with actors that die in every way there is.

mod faults;
mod restarts;
mod stopping;
mod support;
mod tree;

/// The parts that actors on other arbiters hold or are handed.
#[test]
fn the_parts_may_change_threads() {
    use crate::supervision::*;
    fn send<T: Send>() {}
    fn sync<T: Send + Sync>() {}
    send::<ChildSpec>();
    send::<StartedChild>();
    send::<Children<support::Boss>>();
    send::<Monitored<support::Boss>>();
    send::<Gone>();
    sync::<AddrSlot<support::Boss>>();
    sync::<ExitSlot>();
    sync::<SharedClock>();
}
