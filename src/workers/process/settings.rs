//! What holds for all process workers of a node, and what an app may say beside it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map as JsonMap, Value as Json};

use super::actor::ProcessesActor;
use crate::apps::store::AppStore;
use crate::processes::python::Python;
use crate::processes::{Limits, plain_environment};
use crate::supervision::AddrSlot;
use crate::workers::StartOrder;

/// See the module's text.
pub struct ProcessSettings {
    /// Where the actors of the processes live.
    pub processes: AddrSlot<ProcessesActor>,
    /// Where the files of apps come from.
    pub store: Arc<AppStore>,
    pub python: Arc<Python>,
    pub data_dir: PathBuf,
    /// What the processes belong to.
    pub owner: String,
    /// Sessions of one worker that may have a process at the same time.
    pub max_sessions: usize,
    /// What a process may use at most.
    pub limits: Limits,
    /// How long an interpreter whose script is done waits for more to execute.
    pub linger: Duration,
}

const MEGABYTE: u64 = 1 << 20;

impl ProcessSettings {
    /// The limits of a session: its app may only ask for less than the server allows.
    pub fn limits_of(&self, order: &StartOrder) -> Limits {
        let wanted = |name: &str| {
            number(&order.additional, name)
                .or_else(|| number(&order.manifest, name))
                .unwrap_or(0)
        };
        let least = |allowed: u64, wanted: u64| match (allowed, wanted) {
            (0, wanted) => wanted,
            (allowed, 0) => allowed,
            (allowed, wanted) => allowed.min(wanted),
        };
        let memory = wanted("memory_limit_mb").saturating_mul(MEGABYTE);
        Limits {
            memory: least(self.limits.memory, memory),
            cpu: least(self.limits.cpu, wanted("cpu_limit_s")),
        }
    }
}

fn number(fields: &JsonMap<String, Json>, name: &str) -> Option<u64> {
    let number = fields.get(name)?.as_f64()?;
    (number > 0.0).then_some(number as u64)
}

/// The environment of a session (server-apps.md 3.4): a plain one, what the app and the starter
/// add, and who it is.
pub fn environment(order: &StartOrder) -> Vec<(String, String)> {
    let mut env = plain_environment();
    for source in [order.manifest.get("env"), order.additional.get("env")] {
        let Some(Json::Object(variables)) = source else {
            continue;
        };
        for (name, value) in variables {
            let text = match value {
                Json::String(text) => text.clone(),
                other => other.to_string(),
            };
            let usable = !name.is_empty() && !name.contains(['=', '\0']) && !text.contains('\0');
            if usable {
                env.push((name.clone(), text));
            }
        }
    }
    let own = [
        ("HYPHA_APP_ID", &order.app_id),
        ("HYPHA_SERVER_URL", &order.server_url),
        ("HYPHA_WORKSPACE", &order.workspace),
        ("HYPHA_CLIENT_ID", &order.client_id),
        ("HYPHA_TOKEN", &order.token),
    ];
    env.extend(own.map(|(name, value)| (name.to_owned(), value.clone())));
    env
}
