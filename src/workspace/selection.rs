//! How one of several equal candidates is chosen: services of one name (workspace.md 3.4), and
//! workers for an app (server-apps.md 3.3).

use std::fmt;
use std::str::FromStr;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rand::Rng;

use crate::peer::ServiceError;

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

/// A mode that cannot be read; the texts are those of workspace.md 3.4.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    #[error(
        "Invalid mode: {0}. Mode must be 'random', 'first', 'last', 'exact', 'min_load', \
         'native:random', or 'select:criteria:function' format (e.g., 'select:min:get_load')"
    )]
    Mode(String),
    #[error("Invalid select mode format: {0}. Expected 'select:criteria:function'")]
    Format(String),
    #[error("Unknown selection criteria: {0}")]
    Criterion(String),
}

impl From<SelectionError> for ServiceError {
    fn from(error: SelectionError) -> Self {
        ServiceError::value(error.to_string())
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
    /// The function of every candidate must be asked; see [`ask`].
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
    /// Chooses among `count` candidates in their stable order; `load` is asked only when it
    /// matters.
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

/// Asks all candidates at the same time; the answers in candidate order, for [`settle`]. `None`
/// is a failure, a success without a number is NaN. With [`Criterion::FirstSuccess`] nobody is
/// waited for once somebody answered.
pub async fn ask<F>(criterion: Criterion, calls: Vec<F>) -> Vec<Option<f64>>
where
    F: Future<Output = Option<f64>>,
{
    let mut answers = vec![None; calls.len()];
    let mut waiting: FuturesUnordered<_> = calls
        .into_iter()
        .enumerate()
        .map(|(index, call)| async move { (index, call.await) })
        .collect();
    while let Some((index, answer)) = waiting.next().await {
        answers[index] = answer;
        if criterion == Criterion::FirstSuccess && answer.is_some() {
            break;
        }
    }
    answers
}

/// Compares the answers of the candidates' functions, given in candidate order; `None` is a
/// failure. When nobody answered, chance decides.
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

#[cfg(test)]
#[path = "selection_tests.rs"]
mod tests;
