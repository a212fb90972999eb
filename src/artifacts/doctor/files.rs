//! Entries of files: each belongs to a directory that a record has, or that waits to be removed.

use std::collections::HashMap;

use super::records::Records;
use super::{Doctor, shown};
use crate::artifacts::objects::Target;
use crate::artifacts::store::SEPARATOR;
use crate::store::StoreError;

/// UUID, directory and the rest of a key of a file or a version.
pub(super) fn parts(key: &str) -> Option<(&str, u32, &str)> {
    let (id, rest) = key.split_once(SEPARATOR)?;
    let (dir, rest) = rest.split_once(SEPARATOR).unwrap_or((rest, ""));
    Some((id, dir.parse().ok()?, rest))
}

impl Doctor {
    /// What a file of an artifact is called in the report.
    pub(super) fn file_name(&self, key: &str) -> String {
        let Some((id, dir, path)) = parts(key) else {
            return shown(key);
        };
        match self.dirs.get(&(id.to_owned(), dir)) {
            Some(place) => format!("{place}: {path}"),
            None => format!("{} directory {dir}: {path}", self.name_of(id)),
        }
    }

    fn name_of(&self, id: &str) -> String {
        self.names.get(id).cloned().unwrap_or(id.to_owned())
    }

    /// The manifests and configurations of versions.
    pub(super) fn look_at_manifests(&mut self) -> Result<(), StoreError> {
        let mut strangers = Vec::new();
        Self::readable(&mut self.report, &self.manifests, |_, key, _| {
            let at = parts(&key).map(|(id, dir, _)| (id.to_owned(), dir));
            if at.is_none_or(|at| !self.dirs.contains_key(&at)) {
                strangers.push(key);
            }
            Ok(())
        })?;
        for key in strangers {
            let text = "a manifest of a version that no record has";
            self.report.error("unknown-version", shown(&key), text);
        }
        Ok(())
    }

    /// The directories that wait to be removed.
    pub(super) fn look_at_leftovers(&mut self) -> Result<(), StoreError> {
        let mut found = Vec::new();
        Self::readable(&mut self.report, &self.leftovers, |_, key, _| {
            found.push(key);
            Ok(())
        })?;
        for key in found {
            let Some((id, dir, _)) = parts(&key) else {
                let text = "a directory that waits to be removed has no name";
                self.report.error("unreadable", shown(&key), text);
                continue;
            };
            let at = (id.to_owned(), dir);
            if let Some(place) = self.dirs.get(&at) {
                let text = format!("directory {dir} is in use and waits to be removed");
                self.report.error("doomed-directory", place, text);
            }
            self.doomed.insert(at);
        }
        Ok(())
    }

    /// The files of artifacts, and how many of them each record counts.
    pub(super) fn look_at_files(&mut self, records: &Records) -> Result<(), StoreError> {
        let mut counted: HashMap<(String, u32), u64> = HashMap::new();
        let mut total = 0;
        Self::readable(&mut self.report, &self.files, |report, key, _| {
            total += 1;
            match parts(&key) {
                Some((id, dir, path)) if !path.is_empty() => {
                    *counted.entry((id.to_owned(), dir)).or_default() += 1;
                }
                _ => report.error("unreadable", shown(&key), "an entry of a file has no name"),
            }
            Ok(())
        })?;
        self.report.counts.files = total;
        for ((id, dir), count) in &counted {
            let at = (id.clone(), *dir);
            if !self.dirs.contains_key(&at) && !self.doomed.contains(&at) {
                let text = format!("{count} files of a directory that no record has");
                let subject = format!("{} directory {dir}", self.name_of(id));
                self.report.error("unknown-directory", subject, text);
            }
        }
        for artifact in records.values() {
            let Some(dir) = artifact.latest_dir() else {
                continue;
            };
            let count = counted.get(&(artifact.id.clone(), dir));
            let (count, said) = (count.copied().unwrap_or(0), artifact.file_count);
            if count != said {
                let text = format!("its record says {said} files, and there are {count}");
                self.report.error("file-count", artifact.name(), text);
            }
        }
        Ok(())
    }

    /// The files of workspaces, and those of them that go by themselves.
    pub(super) fn look_at_workspace_files(&mut self) -> Result<(), StoreError> {
        let mut total = 0;
        let mut by_workspace: HashMap<String, u64> = HashMap::new();
        Self::readable(&mut self.report, &self.workspace_files, |report, key, _| {
            total += 1;
            match key.split_once('/') {
                Some((workspace, _)) => *by_workspace.entry(workspace.to_owned()).or_default() += 1,
                None => report.error("unreadable", shown(&key), "an entry of a file has no name"),
            }
            Ok(())
        })?;
        self.report.counts.workspace_files = total;
        for (workspace, count) in by_workspace {
            if !self.has_workspace(&workspace)? {
                let text =
                    format!("{count} files of a workspace that is gone; the server removes them");
                self.report.note("no-workspace", workspace, text);
            }
        }
        for key in self.expiries.keys("")? {
            if !self.workspace_files.contains(&key)? {
                let text = "a file that is not there waits to be removed";
                self.report.error("expiry-without-file", key, text);
            }
        }
        Ok(())
    }

    /// Uploads in parts that are under way.
    pub(super) fn look_at_uploads(&mut self) -> Result<(), StoreError> {
        let names = &self.names;
        Self::readable(&mut self.report, &self.uploads, |report, id, upload| {
            report.counts.uploads += 1;
            if let Target::Artifact { id: artifact, .. } = &upload.session.target
                && !names.contains_key(artifact)
            {
                let text = "its artifact is gone; the server forgets it";
                report.note("upload-without-artifact", format!("upload {id}"), text);
            }
            Ok(())
        })
    }
}
