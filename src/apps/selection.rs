//! Choosing one of several workers for an app (server-apps.md 3.3).

use super::ids::{AppRef, WorkerId};
use crate::workspace::{SelectionError, SelectionMode};

/// Why no worker can be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkerError {
    #[error(
        "Invalid selection mode: {0}. Must be 'random', 'first', 'last', 'exact', 'min_load' or have the format 'select:criteria:function'"
    )]
    Mode(String),
    #[error(transparent)]
    Selection(SelectionError),
    #[error("No server app worker found for app type: {0}")]
    NoWorker(String),
    #[error(
        "Multiple workers found for app_type {app_type}, but mode is 'exact'. Available workers: [{workers}]"
    )]
    ManyWorkers { app_type: String, workers: String },
    #[error("Worker '{id}' does not support app type '{app_type}'. Supported types: [{supported}]")]
    Unsupported {
        id: String,
        app_type: String,
        supported: String,
    },
    #[error("Worker with ID '{0}' is disabled")]
    Disabled(String),
    #[error("Worker with ID '{0}' not found")]
    UnknownWorker(String),
}

impl WorkerError {
    /// Exception class under which clients see this error.
    pub fn class(&self) -> &'static str {
        match self {
            Self::NoWorker(_) | Self::UnknownWorker(_) => "WorkerNotFoundError",
            Self::Disabled(_) => "RuntimeError",
            _ => "ValueError",
        }
    }
}

/// Reads the mode of a worker selection; nothing given means random.
///
/// # Errors
/// It is none.
pub fn worker_mode(text: Option<&str>) -> Result<SelectionMode, WorkerError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(SelectionMode::Random);
    };
    text.parse().map_err(|error| match error {
        SelectionError::Mode(mode) => WorkerError::Mode(mode),
        other => WorkerError::Selection(other),
    })
}

/// What the selection knows of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerCandidate {
    pub id: WorkerId,
    pub supported_types: Vec<String>,
    pub disabled: bool,
    /// The app that provides the worker.
    pub provider: Option<AppRef>,
    /// Offered by an installed app that does not run; choosing it starts the app.
    pub dormant: bool,
}

impl WorkerCandidate {
    fn supports(&self, app_type: &str) -> bool {
        self.supported_types.iter().any(|kind| kind == app_type)
    }

    /// Whether this worker runs on behalf of the app itself, which would start in circles.
    fn is_own(&self, workspace: &str, app: &str) -> bool {
        let provider = self.provider.as_ref();
        provider.is_some_and(|p| p.workspace_or(self.id.workspace()) == workspace && p.alias == app)
    }
}

/// The workers an app of `workspace` may run on: those of the workspace, else the public ones.
pub fn candidates<'a>(
    workers: &'a [WorkerCandidate],
    workspace: &str,
    app: &str,
    app_type: &str,
) -> Result<Vec<&'a WorkerCandidate>, WorkerError> {
    let fits = |worker: &&WorkerCandidate| {
        worker.supports(app_type) && !worker.disabled && !worker.is_own(workspace, app)
    };
    let within = |place: &str| -> Vec<&WorkerCandidate> {
        let all: Vec<_> = workers
            .iter()
            .filter(|worker| worker.id.workspace() == place)
            .filter(fits)
            .collect();
        awake_first(all)
    };
    let own = within(workspace);
    let found = match own.is_empty() {
        true => within("public"),
        false => own,
    };
    match found.is_empty() {
        true => Err(WorkerError::NoWorker(app_type.to_owned())),
        false => Ok(found),
    }
}

/// A running worker hides the dormant twin its app offers.
fn awake_first(all: Vec<&WorkerCandidate>) -> Vec<&WorkerCandidate> {
    let runs = |dormant: &WorkerCandidate| {
        let twin = |w: &&WorkerCandidate| !w.dormant && w.provider == dormant.provider;
        dormant.provider.is_some() && all.iter().copied().any(|worker| twin(&worker))
    };
    let keep = |worker: &&WorkerCandidate| !(worker.dormant && runs(worker));
    let mut kept: Vec<_> = all.iter().copied().filter(keep).collect();
    kept.sort_by_key(|worker| worker.dormant);
    kept
}

/// The worker a caller insists on.
pub fn named<'a>(
    workers: &'a [WorkerCandidate],
    id: &WorkerId,
    app_type: &str,
) -> Result<&'a WorkerCandidate, WorkerError> {
    let worker = workers.iter().find(|worker| worker.id == *id);
    let worker = worker.ok_or_else(|| WorkerError::UnknownWorker(id.to_string()))?;
    if worker.disabled {
        return Err(WorkerError::Disabled(id.to_string()));
    }
    if !worker.supports(app_type) {
        return Err(WorkerError::Unsupported {
            id: id.to_string(),
            app_type: app_type.to_owned(),
            supported: quoted(worker.supported_types.iter().map(String::as_str)),
        });
    }
    Ok(worker)
}

/// The refusal of mode `exact` when there are several workers.
pub fn many_workers(app_type: &str, found: &[&WorkerCandidate]) -> WorkerError {
    let ids: Vec<String> = found.iter().map(|worker| worker.id.to_string()).collect();
    WorkerError::ManyWorkers {
        app_type: app_type.to_owned(),
        workers: quoted(ids.iter().map(String::as_str)),
    }
}

fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let each = names.map(|name| format!("'{name}'"));
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[path = "selection_tests.rs"]
mod tests;
