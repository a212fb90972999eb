//! Choosing one of several services or workers.

use std::fmt;
use std::str::FromStr;

use rand::Rng;

use super::ids::{AppRef, WorkerId};

/// How long a function asked for its opinion may take.
pub const DEFAULT_SELECT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);

/// Which answer wins in `select:` modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Criterion {
    Min,
    Max,
    FirstSuccess,
}

/// How one of several candidates is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SelectionMode {
    /// There must be only one.
    Exact,
    Random,
    First,
    Last,
    MinLoad,
    /// Random among those connected to this process, which on a single node are all.
    NativeRandom,
    /// Every candidate's function is called and the answers are compared.
    Select {
        criterion: Criterion,
        function: String,
    },
}

/// Why nothing can be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    #[error(
        "Invalid mode: {0}. Mode must be 'random', 'first', 'last', 'exact', 'min_load', 'native:random' or have the format 'select:criteria:function'"
    )]
    Mode(String),
    #[error("Invalid select mode format: {0}. Expected 'select:criteria:function'")]
    Format(String),
    #[error("Unknown selection criteria: {0}")]
    Criterion(String),
    #[error(
        "Invalid selection mode: {0}. Must be 'random', 'first', 'last', 'exact', 'min_load' or have the format 'select:criteria:function'"
    )]
    WorkerMode(String),
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
    #[error(
        "Multiple services found for {id}, e.g. [{examples}]. You can either specify the mode as 'random', 'first', 'last', 'native:random', or use 'select:criteria:function' format."
    )]
    ManyServices { id: String, examples: String },
}

impl SelectionError {
    /// Exception class under which clients see this error.
    pub fn class(&self) -> &'static str {
        match self {
            Self::NoWorker(_) | Self::UnknownWorker(_) => "WorkerNotFoundError",
            Self::Disabled(_) => "RuntimeError",
            _ => "ValueError",
        }
    }

    /// The refusal of an exact lookup with several matches, naming a few of them.
    pub fn many_services<'a>(id: &str, matches: impl Iterator<Item = &'a str>) -> Self {
        Self::ManyServices {
            id: id.to_owned(),
            examples: quoted(matches.take(5)),
        }
    }
}

impl FromStr for SelectionMode {
    type Err = SelectionError;

    fn from_str(text: &str) -> Result<Self, SelectionError> {
        Ok(match text {
            "exact" => Self::Exact,
            "random" => Self::Random,
            "first" => Self::First,
            "last" => Self::Last,
            "min_load" => Self::MinLoad,
            "native:random" => Self::NativeRandom,
            _ if text.starts_with("select:") => return parse_select(text),
            _ => return Err(SelectionError::Mode(text.to_owned())),
        })
    }
}

fn parse_select(text: &str) -> Result<SelectionMode, SelectionError> {
    let mut parts = text.split(':').skip(1);
    let (Some(criterion), Some(function), None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(SelectionError::Format(text.to_owned()));
    };
    if function.is_empty() {
        return Err(SelectionError::Format(text.to_owned()));
    }
    let criterion = match criterion {
        "min" => Criterion::Min,
        "max" => Criterion::Max,
        "first_success" => Criterion::FirstSuccess,
        other => return Err(SelectionError::Criterion(other.to_owned())),
    };
    Ok(SelectionMode::Select {
        criterion,
        function: function.to_owned(),
    })
}

impl fmt::Display for SelectionMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact => f.write_str("exact"),
            Self::Random => f.write_str("random"),
            Self::First => f.write_str("first"),
            Self::Last => f.write_str("last"),
            Self::MinLoad => f.write_str("min_load"),
            Self::NativeRandom => f.write_str("native:random"),
            Self::Select {
                criterion,
                function,
            } => {
                let criterion = match criterion {
                    Criterion::Min => "min",
                    Criterion::Max => "max",
                    Criterion::FirstSuccess => "first_success",
                };
                write!(f, "select:{criterion}:{function}")
            }
        }
    }
}

/// Outcome of a choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// The candidate at this index.
    Index(usize),
    /// The function of every candidate must be asked; see [`settle`].
    Ask {
        criterion: Criterion,
        function: String,
    },
    /// Several candidates although exactly one was demanded.
    Ambiguous,
    /// No candidate at all.
    Nothing,
}

impl SelectionMode {
    /// Reads the mode of a worker selection; nothing given means random.
    pub fn for_workers(text: Option<&str>) -> Result<Self, SelectionError> {
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return Ok(Self::Random);
        };
        text.parse().map_err(|error| match error {
            SelectionError::Mode(mode) => SelectionError::WorkerMode(mode),
            other => other,
        })
    }

    /// Chooses among `count` candidates in their stable order; `load` is asked only when it matters.
    pub fn pick(&self, count: usize, load: impl Fn(usize) -> f64, rng: &mut impl Rng) -> Pick {
        match self {
            _ if count == 0 => Pick::Nothing,
            _ if count == 1 => Pick::Index(0),
            Self::Exact => Pick::Ambiguous,
            Self::First => Pick::Index(0),
            Self::Last => Pick::Index(count - 1),
            Self::Random | Self::NativeRandom => Pick::Index(rng.random_range(0..count)),
            Self::MinLoad => Pick::Index(least(count, load, rng)),
            Self::Select {
                criterion,
                function,
            } => Pick::Ask {
                criterion: *criterion,
                function: function.clone(),
            },
        }
    }
}

/// The least loaded candidate; equals are drawn by lot, or the first would get every burst.
fn least(count: usize, load: impl Fn(usize) -> f64, rng: &mut impl Rng) -> usize {
    let loads: Vec<f64> = (0..count).map(load).collect();
    let lowest = loads.iter().copied().fold(f64::INFINITY, f64::min);
    let tied: Vec<usize> = (0..count).filter(|&index| loads[index] <= lowest).collect();
    match tied.len() {
        0 => rng.random_range(0..count),
        ties => tied[rng.random_range(0..ties)],
    }
}

/// Compares the answers of the candidates' functions, given in candidate order; `None` is a failure.
/// When nobody answered, chance decides.
pub fn settle(criterion: Criterion, answers: &[Option<f64>], rng: &mut impl Rng) -> Option<usize> {
    let given = answers
        .iter()
        .enumerate()
        .filter_map(|(index, answer)| answer.filter(|a| !a.is_nan()).map(|a| (index, a)));
    let chosen = match criterion {
        Criterion::Min => given.min_by(|a, b| a.1.total_cmp(&b.1)),
        // The last of equals would win otherwise.
        Criterion::Max => given.min_by(|a, b| b.1.total_cmp(&a.1)),
        Criterion::FirstSuccess => {
            let success = answers.iter().position(Option::is_some);
            success.map(|index| (index, 0.0))
        }
    };
    match chosen {
        Some((index, _)) => Some(index),
        None if answers.is_empty() => None,
        None => Some(rng.random_range(0..answers.len())),
    }
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
) -> Result<Vec<&'a WorkerCandidate>, SelectionError> {
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
        true => Err(SelectionError::NoWorker(app_type.to_owned())),
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
) -> Result<&'a WorkerCandidate, SelectionError> {
    let worker = workers.iter().find(|worker| worker.id == *id);
    let worker = worker.ok_or_else(|| SelectionError::UnknownWorker(id.to_string()))?;
    if worker.disabled {
        return Err(SelectionError::Disabled(id.to_string()));
    }
    if !worker.supports(app_type) {
        return Err(SelectionError::Unsupported {
            id: id.to_string(),
            app_type: app_type.to_owned(),
            supported: quoted(worker.supported_types.iter().map(String::as_str)),
        });
    }
    Ok(worker)
}

/// The refusal of mode `exact` when there are several workers.
pub fn many_workers(app_type: &str, found: &[&WorkerCandidate]) -> SelectionError {
    let ids: Vec<String> = found.iter().map(|worker| worker.id.to_string()).collect();
    SelectionError::ManyWorkers {
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
