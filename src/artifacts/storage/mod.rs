//! Files of workspaces: the service `public/s3-storage` (artifacts.md 7).

mod methods;
mod service;

pub use service::StorageService;
