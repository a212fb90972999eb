//! What a session is told.

use actix::Message;

/// The session's client registered a service.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SeeService(pub String);

/// The session's client is connected.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ClientBack;

/// The session's client is gone.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ClientGone;

/// The client that runs the session's worker is gone.
#[derive(Message)]
#[rtype(result = "()")]
pub struct WorkerGone;

/// Ends the session; resolves when it is over.
#[derive(Message)]
#[rtype(result = "()")]
pub struct EndSession {
    pub cause: &'static str,
}
