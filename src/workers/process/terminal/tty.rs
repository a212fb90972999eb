//! Our side of a terminal.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use tokio::io::unix::AsyncFd;

use crate::processes::WindowSize;

/// See the module's text.
pub struct Tty(AsyncFd<OwnedFd>);

impl Tty {
    /// Takes over the descriptor of a terminal.
    ///
    /// # Errors
    /// The system refuses to watch it.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        // SAFETY: sets a flag of a descriptor that we own.
        let set = unsafe {
            let flags = libc::fcntl(fd.as_raw_fd(), libc::F_GETFL);
            libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK)
        };
        if set < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor stays open, and the same, as long as its owner inside.
        let watched = unsafe { AsyncFd::register(fd) };
        Ok(Tty(watched.map_err(|error| error.into_parts().1)?))
    }

    /// Reads what the program wrote; 0 when nobody has the terminal open any more.
    pub async fn read(&self, buffer: &mut [u8]) -> usize {
        let read = self
            .0
            .async_io(tokio::io::Interest::READABLE, |fd| {
                // SAFETY: writes at most the length of the buffer into it.
                let read =
                    unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
                usize::try_from(read).map_err(|_| io::Error::last_os_error())
            })
            .await;
        // Linux reports a terminal whose last program has ended as an error.
        read.unwrap_or(0)
    }

    /// Types.
    ///
    /// # Errors
    /// Nobody has the terminal open any more.
    pub async fn write(&self, mut text: &[u8]) -> io::Result<()> {
        while !text.is_empty() {
            let written = self
                .0
                .async_io(tokio::io::Interest::WRITABLE, |fd| {
                    // SAFETY: reads at most the length of the text from it.
                    let written =
                        unsafe { libc::write(fd.as_raw_fd(), text.as_ptr().cast(), text.len()) };
                    usize::try_from(written).map_err(|_| io::Error::last_os_error())
                })
                .await?;
            text = &text[written..];
        }
        Ok(())
    }

    /// Gives the terminal another size, of which its program is told.
    ///
    /// # Errors
    /// The system refuses.
    pub fn resize(&self, size: WindowSize) -> io::Result<()> {
        let size = size.to_winsize();
        // SAFETY: only reads the struct that is passed.
        match unsafe { libc::ioctl(self.0.get_ref().as_raw_fd(), libc::TIOCSWINSZ, &size) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
