//! What was found.

use serde::Serialize;

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `error` or `note`.
    pub severity: &'static str,
    /// What kind of thing it is; the list is in docs/operations.md.
    pub kind: &'static str,
    /// What it is about.
    pub subject: String,
    /// The matter in words.
    pub text: String,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Records of artifacts, apps among them.
    pub artifacts: usize,
    /// Committed versions.
    pub versions: usize,
    /// Files of artifacts, each version counted.
    pub files: usize,
    /// Files of workspaces.
    pub workspace_files: usize,
    /// Uploads in parts under way.
    pub uploads: usize,
    /// Contents that are referred to.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// The verdict.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// How much was looked at.
    pub counts: Counts,
    /// In the order in which they were found.
    pub findings: Vec<Finding>,
}

impl Report {
    /// How many findings are errors.
    pub fn errors(&self) -> usize {
        let errors = self.findings.iter().filter(|one| one.severity == "error");
        errors.count()
    }

    pub(super) fn error(
        &mut self,
        kind: &'static str,
        subject: impl Into<String>,
        text: impl Into<String>,
    ) {
        self.add("error", kind, subject.into(), text.into());
    }

    pub(super) fn note(
        &mut self,
        kind: &'static str,
        subject: impl Into<String>,
        text: impl Into<String>,
    ) {
        self.add("note", kind, subject.into(), text.into());
    }

    fn add(&mut self, severity: &'static str, kind: &'static str, subject: String, text: String) {
        self.findings.push(Finding {
            severity,
            kind,
            subject,
            text,
        });
    }
}
