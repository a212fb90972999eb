//! The current address of a child that may be restarted.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Handler, MailboxError, Message};
use parking_lot::Mutex;

/// A shared cell with the address of a child: filled at each start, empty while the child
/// is down. Keep the slot, never the `Addr`: that one changes with every restart.
///
/// All senders share the one `Addr` inside, so the mailbox bound holds (each clone of an
/// `Addr` would bring a place of its own).
pub struct AddrSlot<A: Actor> {
    inner: Arc<Inner<A>>,
}

struct Inner<A: Actor> {
    addr: Mutex<Option<Addr<A>>>,
    in_flight: Arc<AtomicUsize>,
}

impl<A: Actor> AddrSlot<A> {
    /// An empty slot.
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                addr: Mutex::new(None),
                in_flight: Arc::default(),
            }),
        }
    }

    /// The address of now, to be used at once.
    pub fn get(&self) -> Option<Addr<A>> {
        let addr = self.inner.addr.lock();
        addr.as_ref().filter(|addr| addr.connected()).cloned()
    }

    /// Whether the child is up.
    pub fn is_up(&self) -> bool {
        let addr = self.inner.addr.lock();
        addr.as_ref().is_some_and(Addr::connected)
    }

    /// Sends and waits for the answer; `Closed` when the child is down or ends meanwhile.
    pub fn send<M>(
        &self,
        message: M,
    ) -> impl Future<Output = Result<M::Result, MailboxError>> + Send + 'static + use<A, M>
    where
        M: Message + Send + Unpin + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        let request = self.inner.addr.lock().as_ref().map(|a| a.send(message));
        let counted = InFlight::enter(&self.inner.in_flight);
        async move {
            let _counted = counted;
            match request {
                Some(request) => request.await,
                None => Err(MailboxError::Closed),
            }
        }
    }

    /// Sends without waiting and without regard to the mailbox bound; says whether the
    /// child was up.
    pub fn do_send<M>(&self, message: M) -> bool
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        match self.inner.addr.lock().as_ref() {
            Some(addr) if addr.connected() => {
                addr.do_send(message);
                true
            }
            _ => false,
        }
    }

    /// Requests made through this slot that have no answer yet: the visible part of the
    /// mailbox (actix does not tell its length).
    pub fn in_flight(&self) -> usize {
        self.inner.in_flight.load(Ordering::Relaxed)
    }

    /// Puts a new address in; the guard takes it out again when dropped.
    pub(super) fn fill(&self, addr: Addr<A>) -> SlotGuard<A> {
        *self.inner.addr.lock() = Some(addr.clone());
        SlotGuard {
            slot: self.clone(),
            addr,
        }
    }

    pub(super) fn gauge(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.inner.in_flight)
    }
}

impl<A: Actor> Default for AddrSlot<A> {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Actor> Clone for AddrSlot<A> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<A: Actor> fmt::Debug for AddrSlot<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddrSlot")
            .field("up", &self.is_up())
            .field("in_flight", &self.in_flight())
            .finish()
    }
}

/// Empties the slot, unless a newer address is in it.
pub(super) struct SlotGuard<A: Actor> {
    slot: AddrSlot<A>,
    addr: Addr<A>,
}

impl<A: Actor> Drop for SlotGuard<A> {
    fn drop(&mut self) {
        let mut current = self.slot.inner.addr.lock();
        if current.as_ref() == Some(&self.addr) {
            *current = None;
        }
    }
}

struct InFlight(Arc<AtomicUsize>);

impl InFlight {
    fn enter(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
