//! A handle on the TCP socket under a connection.
//!
//! A connection actor is polled only while its socket takes bytes. When a peer stops reading,
//! nothing inside the actor runs any more, so whoever watches it needs a way around it.

use std::any::Any;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::router::Cut;

/// The socket's number, noted when the connection is accepted.
#[derive(Clone, Copy)]
pub struct SocketHandle(RawFd);

impl SocketHandle {
    /// For `HttpServer::on_connect`.
    pub fn note(connection: &dyn Any, extensions: &mut Extensions) {
        if let Some(socket) = connection.downcast_ref::<TcpStream>() {
            // Small frames must not wait for each other; failure only costs latency.
            let _ = socket.set_nodelay(true);
            extensions.insert(SocketHandle(socket.as_raw_fd()));
        }
    }

    /// A second descriptor of the same socket. Call it while the connection's request is being
    /// handled, when the number is certain to be the connection's.
    pub fn cutter(self) -> Option<Box<dyn Cut>> {
        // SAFETY: the request that is being handled keeps its socket, and so this number, open.
        let socket = unsafe { BorrowedFd::borrow_raw(self.0) };
        let own = socket.try_clone_to_owned().ok()?;
        Some(Box::new(SocketCutter(own)))
    }

    /// Watches for the peer's leave, which the HTTP server notices only when it writes. Call it
    /// while a request of the connection is being handled.
    pub fn hang_up(self) -> Option<HangUp> {
        // SAFETY: as in `cutter`.
        let socket = unsafe { BorrowedFd::borrow_raw(self.0) };
        let own = socket.try_clone_to_owned().ok()?;
        // SAFETY: the descriptor is owned by what it is registered for, and closed after it.
        let watched = unsafe { AsyncFd::register_with_interest(own, Interest::READABLE) };
        watched.ok().map(HangUp)
    }
}

/// See [`SocketHandle::hang_up`].
pub struct HangUp(AsyncFd<OwnedFd>);

impl HangUp {
    /// Ends when the peer has closed its side.
    pub async fn wait(&self) {
        loop {
            let Ok(mut guard) = self.0.readable().await else {
                return;
            };
            if guard.ready().is_read_closed() {
                return;
            }
            // What arrived is for the HTTP server to read; the next arrival wakes us again.
            guard.clear_ready();
        }
    }
}

/// Waits for the peer's leave; for ever where it cannot be watched.
pub async fn hung_up(watch: Option<&HangUp>) {
    match watch {
        Some(watch) => watch.wait().await,
        None => std::future::pending().await,
    }
}

struct SocketCutter(OwnedFd);

impl Cut for SocketCutter {
    fn cut(&self) {
        // SAFETY: the descriptor is owned by this value. An error means the socket is shut already.
        unsafe {
            libc::shutdown(self.0.as_raw_fd(), libc::SHUT_RDWR);
        }
    }
}
