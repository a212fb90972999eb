//! How one of several equal services is picked (workspace.md 3.4).

use crate::peer::ServiceError;

/// What a `select:` mode looks for in the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Criterion {
    Min,
    Max,
    FirstSuccess,
}

/// See the module's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    Exact,
    Random,
    First,
    Last,
    MinLoad,
    /// Calls a function of each candidate.
    Select(Criterion, String),
}

impl Mode {
    /// Reads a mode's name. On one node `native:random` is the same as `random`.
    ///
    /// # Errors
    /// The texts of workspace.md 3.4.
    pub fn parse(text: &str) -> Result<Self, ServiceError> {
        Ok(match text {
            "exact" => Mode::Exact,
            "random" | "native:random" => Mode::Random,
            "first" => Mode::First,
            "last" => Mode::Last,
            "min_load" => Mode::MinLoad,
            _ if text.starts_with("select:") => return Mode::parse_select(text),
            _ => {
                return Err(ServiceError::value(format!(
                    "Invalid mode: {text}. Mode must be 'random', 'first', 'last', 'exact', \
                     'min_load', 'native:random', or 'select:criteria:function' format (e.g., \
                     'select:min:get_load')"
                )));
            }
        })
    }

    fn parse_select(text: &str) -> Result<Self, ServiceError> {
        let parts: Vec<&str> = text.split(':').collect();
        let [_, criterion, function] = parts.as_slice() else {
            return Err(ServiceError::value(format!(
                "Invalid select mode format: {text}. Expected 'select:criteria:function'"
            )));
        };
        let criterion = match *criterion {
            "min" => Criterion::Min,
            "max" => Criterion::Max,
            "first_success" => Criterion::FirstSuccess,
            other => {
                return Err(ServiceError::value(format!(
                    "Unknown selection criteria: {other}"
                )));
            }
        };
        Ok(Mode::Select(criterion, (*function).to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_errors() {
        assert_eq!(Mode::parse("native:random").unwrap(), Mode::Random);
        assert_eq!(
            Mode::parse("select:max:load").unwrap(),
            Mode::Select(Criterion::Max, "load".into())
        );
        for (text, expected) in [
            ("select:x", "Invalid select mode format: select:x."),
            ("select:bogus:f", "Unknown selection criteria: bogus"),
            ("weird", "Invalid mode: weird. Mode must be"),
        ] {
            let error = Mode::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
