//! Logging in: the service `public/hypha-login`, its web page, and accounts kept by the server.
//!
//! A program that wants a token starts a login and hands its user an address with an unguessable
//! key. The user's browser proves there who they are and reports a token under that key; the
//! program, which waits with `check`, gets it once (protocol 7).

mod account_methods;
mod accounts;
mod arguments;
mod expiring;
mod methods;
mod page;
mod service;
mod sessions;

pub use accounts::Accounts;
pub use page::PageError;
pub use service::LoginService;
