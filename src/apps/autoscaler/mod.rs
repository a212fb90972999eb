//! Autoscaling of one app: how many sessions it has, decided by their load (server-apps.md 6).
//!
//! `decision` is pure; `actor` measures, asks it, and acts; `history` keeps what was decided and why.

mod actor;
mod config;
mod decision;
mod history;

pub use actor::AutoscalerActor;
pub use config::{Metric, ScalingConfig, ScalingError};
pub use decision::{Action, Decision, Fleet, Instance, LastSteps, decide};
pub use history::{ScalingHistory, ScalingTable};
