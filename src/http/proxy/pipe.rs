//! A way between a service and a socket that holds a bounded number of bytes, whatever the size
//! of its pieces. Whoever puts something in waits until there is room: that is the back-pressure.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::peer::ServiceError;

/// What a piece weighs beside its bytes.
const OVERHEAD: usize = 256;
/// Pieces that may wait for room. An application that awaits what it sends has one.
const MOST_WAITING: usize = 32;

type Item<T> = (T, Option<OwnedSemaphorePermit>);

/// The end to put pieces in.
pub struct Entrance<T> {
    items: UnboundedSender<Item<T>>,
    room: Arc<Semaphore>,
    size: usize,
    waiting: Arc<AtomicUsize>,
}

/// The end where pieces come out. Without it, what is put in goes nowhere.
pub struct Exit<T> {
    items: UnboundedReceiver<Item<T>>,
    room: Arc<Semaphore>,
}

/// A way that holds `size` bytes, and always at least one piece.
pub fn pipe<T>(size: usize) -> (Entrance<T>, Exit<T>) {
    let (sender, receiver) = unbounded_channel();
    let room = Arc::new(Semaphore::new(size));
    let entrance = Entrance {
        items: sender,
        room: room.clone(),
        size,
        waiting: Arc::default(),
    };
    let exit = Exit {
        items: receiver,
        room,
    };
    (entrance, exit)
}

impl<T: Send + 'static> Entrance<T> {
    /// Puts a piece of so many bytes in. Pieces keep the order of the calls; the future ends when
    /// there was room for this one, and at once when nobody is at the other end any more.
    ///
    /// # Errors
    /// Too many pieces wait already.
    pub fn put(&self, item: T, bytes: usize) -> Result<BoxFuture<'static, ()>, ServiceError> {
        let weight = u32::try_from((bytes + OVERHEAD).min(self.size)).unwrap_or(u32::MAX);
        match self.room.clone().try_acquire_many_owned(weight) {
            Ok(permit) => {
                let _ = self.items.send((item, Some(permit)));
                return Ok(futures::future::ready(()).boxed());
            }
            Err(TryAcquireError::Closed) => return Ok(futures::future::ready(()).boxed()),
            Err(TryAcquireError::NoPermits) => {}
        }
        let Some(place) = Place::take(&self.waiting) else {
            return Err(ServiceError::runtime(format!(
                "{MOST_WAITING} messages wait for the caller to read; await each send()"
            )));
        };
        let (room, items) = (self.room.clone(), self.items.clone());
        Ok(async move {
            if let Ok(permit) = room.acquire_many_owned(weight).await {
                let _ = items.send((item, Some(permit)));
            }
            drop(place);
        }
        .boxed())
    }

    /// Puts a small piece in even if there is no room.
    pub fn force(&self, item: T) {
        let _ = self.items.send((item, None));
    }

    /// Puts a piece in if there is room.
    pub fn offer(&self, item: T, bytes: usize) {
        let weight = u32::try_from((bytes + OVERHEAD).min(self.size)).unwrap_or(u32::MAX);
        if let Ok(permit) = self.room.clone().try_acquire_many_owned(weight) {
            let _ = self.items.send((item, Some(permit)));
        }
    }
}

impl<T> Exit<T> {
    /// The next piece; none when the other end is gone.
    pub async fn take(&mut self) -> Option<T> {
        let (item, _room) = self.items.recv().await?;
        Some(item)
    }
}

impl<T> Drop for Exit<T> {
    fn drop(&mut self) {
        self.room.close();
    }
}

/// One of those that wait.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(waiting: &Arc<AtomicUsize>) -> Option<Self> {
        let place = Place(waiting.clone());
        (waiting.fetch_add(1, Ordering::AcqRel) < MOST_WAITING).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_pipe_makes_its_writer_wait_and_keeps_the_order() {
        let (entrance, mut exit) = pipe(1000);
        entrance.put(1, 500).unwrap().await;
        let mut second = entrance.put(2, 500).unwrap();
        assert!((&mut second).now_or_never().is_none());
        assert_eq!(exit.take().await, Some(1));
        second.await;
        assert_eq!(exit.take().await, Some(2));
        // Larger than the whole pipe: it still passes, alone.
        entrance.put(3, 5000).unwrap().await;
        assert!(entrance.put(4, 0).unwrap().now_or_never().is_none());
        assert_eq!(exit.take().await, Some(3));
    }

    #[tokio::test]
    async fn writers_that_do_not_wait_are_refused() {
        let (entrance, exit) = pipe(10);
        entrance.put(0, 10).unwrap().await;
        let waiting: Vec<_> = (0..MOST_WAITING)
            .map(|n| entrance.put(n, 10).unwrap())
            .collect();
        assert!(entrance.put(0, 10).is_err());
        drop(waiting);
        assert!(entrance.put(0, 10).is_ok());
        drop(exit);
        entrance.put(0, 10).unwrap().await;
    }
}
