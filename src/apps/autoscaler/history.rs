//! What autoscalers decided, for people: the last steps of each app with their reasons.

use std::collections::VecDeque;
use std::sync::Arc;

use dashmap::DashMap;
use parking_lot::Mutex;
use serde_json::{Value as Json, json};

use super::decision::{Action, Decision, Fleet};
use crate::workspace::iso_time::format_iso;

/// Steps kept per app.
const KEPT: usize = 100;

#[derive(Default)]
struct Inner {
    steps: VecDeque<Json>,
    /// What the last look saw.
    now: Json,
}

/// See the module's text.
#[derive(Default)]
pub struct ScalingHistory {
    inner: Mutex<Inner>,
}

impl ScalingHistory {
    /// Notes a look and what followed from it. Looks that change nothing only replace the present.
    pub fn note(&self, fleet: &Fleet, draining: usize, decision: &Decision, at: f64) {
        let instances: Vec<Json> = fleet
            .running
            .iter()
            .map(|one| json!({ "id": one.id, "load": one.pressure, "busy": one.busy }))
            .collect();
        let look = json!({
            "at": format_iso(at),
            "instances": instances,
            "starting": fleet.starting,
            "draining": draining,
            "reason": decision.reason,
        });
        let mut inner = self.inner.lock();
        let action = match &decision.action {
            Action::Hold => {
                inner.now = look;
                return;
            }
            Action::Start(more) => json!({ "start": more }),
            Action::Drain(id) => json!({ "drain": id }),
        };
        let mut step = look.clone();
        step["action"] = action;
        inner.now = look;
        inner.steps.push_back(step);
        if inner.steps.len() > KEPT {
            inner.steps.pop_front();
        }
    }

    /// The present and the steps, oldest first.
    pub fn to_json(&self) -> Json {
        let inner = self.inner.lock();
        json!({ "now": inner.now, "steps": inner.steps })
    }
}

/// The histories of all apps that are being scaled.
#[derive(Default)]
pub struct ScalingTable {
    apps: DashMap<(String, String), Arc<ScalingHistory>>,
}

impl ScalingTable {
    /// The history of an app, a new one if it has none.
    pub fn of(&self, workspace: &str, app: &str) -> Arc<ScalingHistory> {
        self.apps
            .entry((workspace.to_owned(), app.to_owned()))
            .or_default()
            .clone()
    }

    /// The history of an app, if it was ever scaled.
    pub fn find(&self, workspace: &str, app: &str) -> Option<Arc<ScalingHistory>> {
        let key = (workspace.to_owned(), app.to_owned());
        self.apps.get(&key).map(|history| history.clone())
    }

    /// Forgets an app that is no more.
    pub fn forget(&self, workspace: &str, app: &str) {
        self.apps.remove(&(workspace.to_owned(), app.to_owned()));
    }
}
