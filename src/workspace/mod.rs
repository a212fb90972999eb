//! Workspaces: who belongs to them, what is registered in them, and the manager service.

mod case;
mod directory;
mod error;
mod event_log;
mod info;
pub mod iso_time;
mod listing;
mod lookup;
mod manager;
mod membership;
mod offering;
mod record;
mod registering;
mod registry;
mod selection;
pub mod service_id;

pub use directory::{AppHost, Directory, DirectoryParts, WorkspaceLimits};
pub use error::{WorkspaceError, store_failure};
pub use info::{ANONYMOUS, PUBLIC, ROOT, WorkspaceInfo, is_system};
pub use listing::ListOptions;
pub use lookup::{LookupOptions, may_use};
pub use manager::ManagerService;
pub use membership::HYPHA_VERSION;
pub use record::{ServiceRecord, Visibility};
pub use registry::{Registered, Registry};
pub use selection::{
    Criterion, DEFAULT_SELECT_TIMEOUT, Pick, SelectionError, SelectionMode, ask, settle,
};
