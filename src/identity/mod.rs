//! Who somebody is and what they may do: users, scopes, levels and tokens.

mod address;
mod authority;
mod blocklist;
mod errors;
mod generate;
mod jwt;
mod level;
mod readable_id;
mod revocations;
mod root;
mod scope;
mod tokens;
mod user;
mod words;

use std::sync::Arc;

pub use address::{RangeError, parse_range};
pub use authority::{Authority, Trust};
pub use blocklist::{Block, Blocked, Blocklist};
pub use errors::{IdentityError, TokenError};
pub use generate::{TokenRequest, check_may_generate};
pub use level::{Level, LevelError};
pub use readable_id::{four_words, readable_id};
pub use revocations::{Revocations, TokenHash};
pub use root::{RootToken, RootTokenError};
pub use scope::{EVERYWHERE, Scope, ScopeError, is_client_id, is_extra_scope};
pub(crate) use tokens::is_user_id;
pub use tokens::{Tokens, TokensConfig};
pub use user::{ROOT, UserInfo};

/// Tells the time of day in seconds since 1970.
pub type UnixTime = Arc<dyn Fn() -> f64 + Send + Sync>;

#[cfg(test)]
mod tests;
