//! What names a startup function: `<module or file.py>:<function>` or `file.mjs[:<function>]`.

use thiserror::Error;

/// What a JavaScript file's function is called when nobody says so.
const DEFAULT_FUNCTION: &str = "hypha_startup";

/// Modules of the reference whose functions register what is built in here. They use the inside
/// of its process, so they would not run beside ours.
const BUILT_IN: [(&str, &str); 4] = [
    ("hypha.workers.python_eval", "python-worker"),
    ("hypha.workers.conda", "python-worker"),
    ("hypha.workers.terminal", "terminal-worker"),
    ("hypha.workers.browser", "browser-worker"),
];

/// Why an entry cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EntryError {
    #[error("Entrypoint is required for {0}, please use {0}:entrypoint_function")]
    NoFunction(String),
    #[error("\"{0}\" names no module or file")]
    NoTarget(String),
}

/// What runs a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runner {
    Python,
    Node,
    /// Nothing: the built-in worker of this name does the same.
    BuiltIn(&'static str),
}

/// One startup function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartupEntry {
    /// As it was configured.
    pub text: String,
    /// Module or file.
    pub target: String,
    pub function: String,
    pub runner: Runner,
}

impl StartupEntry {
    /// Reads one entry of the configuration.
    ///
    /// # Errors
    /// No module, or a Python module without a function.
    pub fn parse(text: &str) -> Result<Self, EntryError> {
        let text = text.trim();
        let (target, function) = match text.rsplit_once(':') {
            Some((target, function)) => (target, Some(function).filter(|name| !name.is_empty())),
            None => (text, None),
        };
        if target.is_empty() {
            return Err(EntryError::NoTarget(text.to_owned()));
        }
        let built_in = BUILT_IN.iter().find(|(module, _)| *module == target);
        let runner = match built_in {
            Some((_, worker)) => Runner::BuiltIn(worker),
            None if target.ends_with(".js") || target.ends_with(".mjs") => Runner::Node,
            None => Runner::Python,
        };
        let function = match (function, runner) {
            (Some(name), _) => name,
            (None, Runner::Node) => DEFAULT_FUNCTION,
            (None, _) => return Err(EntryError::NoFunction(target.to_owned())),
        };
        Ok(StartupEntry {
            text: text.to_owned(),
            target: target.to_owned(),
            function: function.to_owned(),
            runner,
        })
    }

    /// A short name for logs and the tree: the last part of the module, or the file's name.
    pub fn name(&self) -> String {
        let file = self.target.rsplit('/').next().unwrap_or(&self.target);
        let stem = match self.runner {
            Runner::Node => file.rsplit_once('.').map_or(file, |(stem, _)| stem),
            _ => file.strip_suffix(".py").unwrap_or(file),
        };
        let last = stem.rsplit('.').next().unwrap_or(stem);
        let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        last.chars().map(safe).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, String, Runner, String) {
        let entry = StartupEntry::parse(text).unwrap();
        (
            entry.target.clone(),
            entry.function.clone(),
            entry.runner,
            entry.name(),
        )
    }

    #[test]
    fn modules_files_and_scripts() {
        let is = |text: &str, target: &str, function: &str, runner, name: &str| {
            let expected = (target.into(), function.into(), runner, name.into());
            assert_eq!(parsed(text), expected, "{text}");
        };
        is("a.b.c:f", "a.b.c", "f", Runner::Python, "c");
        is(
            "./x/my file.py:f",
            "./x/my file.py",
            "f",
            Runner::Python,
            "my-file",
        );
        is("s.mjs", "s.mjs", "hypha_startup", Runner::Node, "s");
        is("/d/s.js:go", "/d/s.js", "go", Runner::Node, "s");
        is(
            "hypha.workers.terminal:hypha_startup",
            "hypha.workers.terminal",
            "hypha_startup",
            Runner::BuiltIn("terminal-worker"),
            "terminal",
        );
    }

    #[test]
    fn what_is_missing_is_said() {
        for text in ["./x.py", "./x.py:", "module"] {
            let error = StartupEntry::parse(text).unwrap_err();
            assert!(
                error.to_string().contains("Entrypoint is required"),
                "{error}"
            );
        }
        assert!(matches!(
            StartupEntry::parse(":f"),
            Err(EntryError::NoTarget(_))
        ));
    }
}
