//! Progress messages of install and start. Clients print them; none waits for an answer.

use std::fmt;

use crate::map;
use crate::wire::Value;

use super::startup::WaitFor;

/// How a message is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressKind {
    Info,
    Success,
    Warning,
    Error,
}

impl ProgressKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Success => "success",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One message for a progress callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    pub kind: ProgressKind,
    pub message: String,
}

impl Progress {
    pub fn new(kind: ProgressKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// The argument of the callback.
    pub fn to_value(&self) -> Value {
        Value::Map(map! {"type" => self.kind.name(), "message" => self.message.as_str()})
    }
}

/// The steps of an install and of a start, in about the order they come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<'a> {
    ParsingManifest,
    Downloading { url: &'a str },
    CopyingArtifact { id: &'a str },
    Compiling { worker: &'a str },
    CompilationStarted,
    CompilingType { kind: &'a str },
    ProcessingSources,
    RenderingTemplate,
    PreparingFiles,
    Compiled { file: &'a str },
    CreatingArtifact,
    UploadingFile { path: &'a str },
    Committing,
    InitializingWorker { kind: &'a str },
    StartingApplication { kind: &'a str },
    InitializingBrowser,
    CreatingContext,
    LoadingApplication,
    ServiceRegistered { name: &'a str },
    DefaultConfigured,
    TargetFound { name: &'a str },
    Loaded,
    Waiting { target: &'a WaitFor },
    NoClient,
    Finalizing,
    UpdatingManifest,
    ManifestUpdated,
    ConfiguringAutoscaling,
    AutoscalingEnabled,
    Started,
    CleaningUp,
    InstallComplete,
}

impl Step<'_> {
    fn kind(&self) -> ProgressKind {
        match self {
            Self::Compiled { .. }
            | Self::ServiceRegistered { .. }
            | Self::Loaded
            | Self::Waiting {
                target: WaitFor::Nothing,
            }
            | Self::ManifestUpdated
            | Self::AutoscalingEnabled
            | Self::Started
            | Self::InstallComplete => ProgressKind::Success,
            Self::CleaningUp | Self::NoClient => ProgressKind::Warning,
            _ => ProgressKind::Info,
        }
    }

    fn fixed_text(&self) -> Option<&'static str> {
        Some(match self {
            Self::ParsingManifest => "Parsing app manifest...",
            Self::CompilationStarted => "Starting browser app compilation...",
            Self::ProcessingSources => "Processing source files and configurations...",
            Self::RenderingTemplate => "Compiling source code to HTML template...",
            Self::PreparingFiles => "Updating manifest and preparing files...",
            Self::CreatingArtifact => "Creating application artifact...",
            Self::Committing => "Committing application artifact...",
            Self::InitializingBrowser => "Initializing browser worker...",
            Self::CreatingContext => "Creating browser context...",
            Self::LoadingApplication => "Loading application...",
            Self::DefaultConfigured => "Default service configured",
            Self::Loaded => "Application loaded successfully",
            Self::Waiting {
                target: WaitFor::Client,
            } => "Waiting for client connection...",
            Self::Waiting {
                target: WaitFor::Nothing,
            } => "Application started in detached mode",
            Self::NoClient => "The page has loaded and connects to no service; treated as detached",
            Self::Finalizing => "Finalizing application startup...",
            Self::UpdatingManifest => "Updating application manifest...",
            Self::ManifestUpdated => "Application manifest updated successfully",
            Self::ConfiguringAutoscaling => "Configuring autoscaling...",
            Self::AutoscalingEnabled => "Autoscaling enabled",
            Self::Started => "Application startup completed successfully.",
            Self::CleaningUp => "Cleaning up failed installation...",
            Self::InstallComplete => "Installation complete!",
            _ => return None,
        })
    }
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compiling { worker } => write!(f, "Compiling app using worker {worker}..."),
            Self::Downloading { url } => write!(f, "Downloading source from {url}..."),
            Self::CopyingArtifact { id } => write!(f, "Installing app from artifact {id}..."),
            Self::CompilingType { kind } => write!(f, "Compiling {kind} application..."),
            Self::Compiled { file } => {
                write!(f, "Browser app compilation completed. Generated {file}")
            }
            Self::UploadingFile { path } => write!(f, "Uploading file {path}..."),
            Self::InitializingWorker { kind } => write!(f, "Initializing {kind} worker..."),
            Self::StartingApplication { kind } => write!(f, "Starting {kind} application..."),
            Self::ServiceRegistered { name } => {
                write!(f, "Service '{name}' registered successfully")
            }
            Self::TargetFound { name } => write!(f, "Target service '{name}' found"),
            Self::Waiting {
                target: WaitFor::Service(name),
            } => write!(f, "Waiting for service '{name}'..."),
            other => f.write_str(other.fixed_text().unwrap_or_default()),
        }
    }
}

impl From<Step<'_>> for Progress {
    fn from(step: Step<'_>) -> Self {
        Self::new(step.kind(), step.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_kinds() {
        let client = WaitFor::Client;
        let nothing = WaitFor::Nothing;
        let service = WaitFor::Service("default".to_owned());
        let table = [
            (Step::ParsingManifest, "info", "Parsing app manifest..."),
            (
                Step::Compiling { worker: "p/c:w" },
                "info",
                "Compiling app using worker p/c:w...",
            ),
            (
                Step::Compiled { file: "index.html" },
                "success",
                "Browser app compilation completed. Generated index.html",
            ),
            (
                Step::UploadingFile { path: "a/b" },
                "info",
                "Uploading file a/b...",
            ),
            (
                Step::InitializingWorker { kind: "window" },
                "info",
                "Initializing window worker...",
            ),
            (
                Step::StartingApplication { kind: "window" },
                "info",
                "Starting window application...",
            ),
            (
                Step::Waiting { target: &service },
                "info",
                "Waiting for service 'default'...",
            ),
            (
                Step::Waiting { target: &client },
                "info",
                "Waiting for client connection...",
            ),
            (
                Step::Waiting { target: &nothing },
                "success",
                "Application started in detached mode",
            ),
            (
                Step::CleaningUp,
                "warning",
                "Cleaning up failed installation...",
            ),
            (
                Step::Started,
                "success",
                "Application startup completed successfully.",
            ),
            (Step::InstallComplete, "success", "Installation complete!"),
        ];
        for (step, kind, text) in table {
            let progress = Progress::from(step);
            assert_eq!((progress.kind.name(), &*progress.message), (kind, text));
        }
    }

    #[test]
    fn a_message_is_a_map_of_type_and_text() {
        let value = Progress::new(ProgressKind::Error, "no").to_value();
        assert_eq!(value.get("type").and_then(Value::as_str), Some("error"));
        assert_eq!(value.get("message").and_then(Value::as_str), Some("no"));
    }
}
