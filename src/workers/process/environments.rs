//! Python environments made from the requirements of apps, kept in the data folder by the hash of
//! what is in them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Map as JsonMap, Value as Json};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::settings::ProcessSettings;
use crate::processes::python::PythonError;
use crate::processes::{Exit, Launch, Limits, each_line, plain_environment};

/// Folder of all environments, in the data folder.
const FOLDER: &str = "environments";
/// A file that says that an environment is whole.
const WHOLE: &str = ".whole";
/// How long a step of building may take.
const BUILD_WITHIN: Duration = Duration::from_secs(900);
/// Lines of a failed step that are told.
const LINES: usize = 40;
/// What every environment has, so that apps can offer services.
const CLIENT: &str = "hypha-rpc";
/// Programs that make conda environments, the quickest first.
const CONDA: [&str; 3] = ["micromamba", "mamba", "conda"];

/// Why there is no environment.
#[derive(Debug, Clone, Error)]
pub enum EnvironmentError {
    #[error("{field} must be a list of texts, each a package, not {found}")]
    Field { field: &'static str, found: String },
    #[error("{0:?} is no requirement: options are not allowed")]
    Option(String),
    #[error(transparent)]
    Python(#[from] PythonError),
    #[error("{0}")]
    Io(String),
    #[error("the environment cannot be built: `{step}` ended with {exit}\n{output}")]
    Step {
        step: String,
        exit: Exit,
        output: String,
    },
    #[error("the environment cannot be built: `{step}` took longer than {} s", BUILD_WITHIN.as_secs())]
    Slow { step: String },
    #[error(
        "apps of this type need mamba, micromamba or conda on the PATH of the server, and there is \
         none; packages of PyPI can be had with the type \"python\""
    )]
    NoConda,
}

impl From<std::io::Error> for EnvironmentError {
    fn from(error: std::io::Error) -> Self {
        EnvironmentError::Io(error.to_string())
    }
}

/// What an environment is made of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Packages for pip.
    pub pip: Vec<String>,
    /// Packages for conda; none for an environment without it.
    pub conda: Option<Vec<String>>,
    pub channels: Vec<String>,
}

impl Wanted {
    /// Reads what a manifest of an app of this type asks for.
    ///
    /// # Errors
    /// A field has the wrong form.
    pub fn of(app_type: &str, manifest: &JsonMap<String, Json>) -> Result<Self, EnvironmentError> {
        let mut wanted = Wanted {
            pip: texts(manifest.get("requirements"), "requirements")?,
            ..Wanted::default()
        };
        let mut packages = Vec::new();
        for entry in entries(manifest.get("dependencies"), "dependencies")? {
            match entry {
                // As conda writes it: {"pip": [...]} among the packages.
                Json::Object(map) => wanted
                    .pip
                    .extend(texts(map.get("pip"), "dependencies.pip")?),
                other => packages.extend(texts(Some(&Json::Array(vec![other])), "dependencies")?),
            }
        }
        if super::python_worker::is_conda(app_type) {
            wanted.conda = Some(packages);
            wanted.channels = texts(manifest.get("channels"), "channels")?;
        } else {
            wanted.pip.extend(packages);
        }
        wanted.pip.sort();
        wanted.pip.dedup();
        let all = wanted.pip.iter().chain(wanted.conda.iter().flatten());
        match all
            .chain(&wanted.channels)
            .find(|text| text.starts_with('-'))
        {
            Some(option) => Err(EnvironmentError::Option(option.clone())),
            None => Ok(wanted),
        }
    }

    /// Whether the server's own interpreter will do.
    pub fn is_nothing(&self) -> bool {
        self.pip.is_empty() && self.conda.is_none()
    }

    fn has_client(&self) -> bool {
        self.pip.iter().any(|text| {
            let normal = text.to_lowercase().replace('_', "-");
            let name = normal.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '.');
            name.into_iter().next() == Some(CLIENT)
        })
    }
}

fn entries(value: Option<&Json>, field: &'static str) -> Result<Vec<Json>, EnvironmentError> {
    match value {
        None | Some(Json::Null) => Ok(Vec::new()),
        Some(Json::Array(items)) => Ok(items.clone()),
        Some(Json::String(text)) => Ok(text
            .split_whitespace()
            .map(|word| Json::String(word.to_owned()))
            .collect()),
        Some(other) => Err(EnvironmentError::Field {
            field,
            found: other.to_string(),
        }),
    }
}

fn texts(value: Option<&Json>, field: &'static str) -> Result<Vec<String>, EnvironmentError> {
    entries(value, field)?
        .into_iter()
        .map(|entry| match entry {
            Json::String(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
            other => Err(EnvironmentError::Field {
                field,
                found: other.to_string(),
            }),
        })
        .collect()
}

/// The environments of a node.
pub struct Environments {
    settings: Arc<ProcessSettings>,
    /// One builds, the others wait.
    locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Environments {
    pub fn new(settings: Arc<ProcessSettings>) -> Self {
        Environments {
            settings,
            locks: Mutex::default(),
        }
    }

    /// The interpreter of an environment, which is built if it is not there. `tell` hears how
    /// that goes on.
    ///
    /// # Errors
    /// See [`EnvironmentError`].
    pub async fn interpreter(
        &self,
        wanted: &Wanted,
        tell: impl Fn(&str),
    ) -> Result<PathBuf, EnvironmentError> {
        if wanted.is_nothing() {
            return Ok(self.settings.python.any().await?);
        }
        let tool = match &wanted.conda {
            Some(_) => Some(conda().ok_or(EnvironmentError::NoConda)?),
            None => None,
        };
        let python = self.settings.python.any().await?;
        let key = key(wanted, &python);
        let folder = std::path::absolute(self.settings.data_dir.join(FOLDER).join(&key))?;
        let lock = self.locks.lock().entry(key.clone()).or_default().clone();
        let built = {
            let _one_at_a_time = lock.lock().await;
            self.ensure(&folder, wanted, &python, tool.as_deref(), tell)
                .await
        };
        drop(lock);
        self.locks
            .lock()
            .retain(|_, lock| Arc::strong_count(lock) > 1);
        built?;
        Ok(folder.join("bin/python"))
    }

    async fn ensure(
        &self,
        folder: &Path,
        wanted: &Wanted,
        python: &Path,
        conda: Option<&Path>,
        tell: impl Fn(&str),
    ) -> Result<(), EnvironmentError> {
        if folder.join(WHOLE).exists() {
            return Ok(());
        }
        // A build that was interrupted left half of it.
        match tokio::fs::remove_dir_all(folder).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let parent = folder.parent().unwrap_or(folder);
        tokio::fs::create_dir_all(parent).await?;
        let mut pip = wanted.pip.clone();
        if !wanted.has_client() {
            pip.push(CLIENT.to_owned());
        }
        tell(&format!(
            "Building an environment with {}...",
            pip.join(", ")
        ));
        for step in steps(folder, wanted, &pip, python, conda) {
            if let Err(error) = self.step(parent, step).await {
                // Half an environment is of no use to anybody.
                let _ = tokio::fs::remove_dir_all(folder).await;
                return Err(error);
            }
        }
        tokio::fs::write(folder.join(WHOLE), pip.join("\n")).await?;
        tell("The environment is ready");
        Ok(())
    }

    async fn step(&self, folder: &Path, step: Vec<String>) -> Result<(), EnvironmentError> {
        let text = step.join(" ");
        let mut words = step.into_iter();
        let launch = Launch {
            program: words.next().unwrap_or_default().into(),
            args: words.collect(),
            env: plain_environment(),
            folder: folder.to_owned(),
            limits: Limits::default(),
            control: false,
            terminal: None,
            owner: self.settings.owner.clone(),
        };
        let spawned = launch.spawn().await?;
        let output = Arc::new(Mutex::new(Vec::new()));
        let (to_out, to_err) = (output.clone(), output.clone());
        let reading = async {
            let stdout = spawned.stdout.map(tokio::process::ChildStdout::from_std);
            let stderr = spawned.stderr.map(tokio::process::ChildStderr::from_std);
            if let (Some(Ok(stdout)), Some(Ok(stderr))) = (stdout, stderr) {
                tokio::join!(
                    each_line(stdout, |line| to_out.lock().push(line)),
                    each_line(stderr, |line| to_err.lock().push(line)),
                );
            }
            spawned.process.exited().await
        };
        let Ok(exit) = tokio::time::timeout(BUILD_WITHIN, reading).await else {
            return Err(EnvironmentError::Slow { step: text });
        };
        if exit == Exit::Code(0) {
            return Ok(());
        }
        let lines = output.lock();
        let last = &lines[lines.len().saturating_sub(LINES)..];
        Err(EnvironmentError::Step {
            step: text,
            exit,
            output: last.join("\n"),
        })
    }
}

/// The commands that build an environment.
fn steps(
    folder: &Path,
    wanted: &Wanted,
    pip: &[String],
    python: &Path,
    conda: Option<&Path>,
) -> Vec<Vec<String>> {
    let text = |path: &Path| path.display().to_string();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let (folder_text, own) = (text(folder), text(&folder.join("bin/python")));
    let uv = find_program("uv").map(|uv| text(&uv));
    let mut make: Vec<String> = match (conda, &uv) {
        (Some(conda), _) => words(&[
            &text(conda),
            "create",
            "--yes",
            "--quiet",
            "--prefix",
            &folder_text,
        ]),
        (None, Some(uv)) => words(&[
            uv,
            "venv",
            "--quiet",
            "--python",
            &text(python),
            &folder_text,
        ]),
        (None, None) => words(&[&text(python), "-m", "venv", &folder_text]),
    };
    if let Some(packages) = &wanted.conda {
        for channel in &wanted.channels {
            make.extend(["--channel".to_owned(), channel.clone()]);
        }
        let named = |name: &str| {
            packages.iter().any(|package| {
                package.strip_prefix(name).is_some_and(|rest| {
                    !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-' || c == '_')
                })
            })
        };
        for needed in ["python", "pip"] {
            if !named(needed) {
                make.push(needed.to_owned());
            }
        }
        make.extend(packages.iter().cloned());
    }
    let mut install: Vec<String> = match (&uv, conda) {
        (Some(uv), None) => words(&[uv, "pip", "install", "--quiet", "--python", &own]),
        _ => words(&[
            &own,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ]),
    };
    install.extend(pip.iter().cloned());
    vec![make, install]
}

fn key(wanted: &Wanted, python: &Path) -> String {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update(text.as_bytes());
        hash.update([0]);
    };
    part(&python.display().to_string());
    for list in [
        Some(&wanted.pip),
        wanted.conda.as_ref(),
        Some(&wanted.channels),
    ] {
        part("list");
        list.into_iter().flatten().for_each(|text| part(text));
    }
    let digest = hash.finalize();
    digest
        .iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A program that makes conda environments, where there is one.
pub fn conda() -> Option<PathBuf> {
    CONDA.iter().find_map(|name| find_program(name))
}

fn find_program(name: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wanted(app_type: &str, manifest: Json) -> Result<Wanted, EnvironmentError> {
        Wanted::of(app_type, manifest.as_object().unwrap())
    }

    #[test]
    fn requirements_come_from_both_fields() {
        let manifest = json!({
            "requirements": ["b==1", "a"],
            "dependencies": ["numpy", {"pip": ["c"]}],
            "channels": ["conda-forge"],
        });
        let python = wanted("python", manifest.clone()).unwrap();
        assert_eq!(python.pip, ["a", "b==1", "c", "numpy"]);
        let conda = wanted("conda", manifest).unwrap();
        assert_eq!(conda.pip, ["a", "b==1", "c"]);
        assert_eq!(conda.conda.unwrap(), ["numpy"]);
        assert!(wanted("python", json!({})).unwrap().is_nothing());
        assert!(!wanted("conda", json!({})).unwrap().is_nothing());
    }

    #[test]
    fn options_and_other_things_are_refused() {
        for bad in [
            json!({"requirements": ["--index-url=http://evil"]}),
            json!({"requirements": {"a": 1}}),
            json!({"requirements": [1]}),
            json!({"dependencies": [{"pip": ["-e ."]}]}),
        ] {
            assert!(wanted("python", bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_key_is_that_of_the_contents() {
        let python = Path::new("/p");
        let of = |manifest: Json| key(&wanted("python", manifest).unwrap(), python);
        assert_eq!(
            of(json!({"requirements": ["a", "b"]})),
            of(json!({"requirements": ["b"], "dependencies": ["a"]}))
        );
        assert_ne!(
            of(json!({"requirements": ["a"]})),
            of(json!({"requirements": ["ab"]}))
        );
        let client = |text: &str| {
            wanted("python", json!({"requirements": [text]}))
                .unwrap()
                .has_client()
        };
        assert!(client("hypha-rpc>=0.21") && client("hypha_rpc") && !client("hypha"));
    }
}
