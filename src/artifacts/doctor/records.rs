//! Records and the ways to them: each record is whole, and the index says what the records say.

use std::collections::{HashMap, HashSet};

use super::{Doctor, shown};
use crate::artifacts::objects::dir_key;
use crate::artifacts::store::{Artifact, SEPARATOR, key};
use crate::store::StoreError;

/// The records that could be read, by UUID.
pub(super) type Records = HashMap<String, Artifact>;

impl Doctor {
    pub(super) fn look_at_records(&mut self) -> Result<Records, StoreError> {
        let mut records = Records::new();
        let mut all = Vec::new();
        Self::readable(&mut self.report, &self.records, |_, at, artifact| {
            all.push((at, artifact));
            Ok(())
        })?;
        for (at, artifact) in all {
            self.report.counts.artifacts += 1;
            let name = artifact.name();
            if at != key(&artifact.workspace, &artifact.alias) {
                let text = format!("the record lies under the name {}", shown(&at));
                self.report.error("wrong-name", &name, text);
            }
            self.look_at_record(&artifact, &name)?;
            if let Some(other) = self.names.insert(artifact.id.clone(), name.clone()) {
                let text = format!("has the same UUID {} as {other}", artifact.id);
                self.report.error("same-uuid", &name, text);
            }
            records.insert(artifact.id.clone(), artifact);
        }
        for artifact in records.values() {
            self.look_at_parents(&records, artifact);
        }
        self.look_at_switches()?;
        Ok(records)
    }

    fn look_at_record(&mut self, artifact: &Artifact, name: &str) -> Result<(), StoreError> {
        let report = &mut self.report;
        report.counts.versions += artifact.versions.len();
        if artifact.pending.is_some() {
            let text = "an install was not finished; the next start of the server drops it";
            report.note("unfinished-install", name, text);
        }
        if artifact.versions.is_empty() && artifact.staging.is_none() && artifact.pending.is_none()
        {
            // Deleting the last version leaves such a record.
            let text = "neither a version nor a stage is left of it";
            report.note("empty", name, text);
        }
        let named = artifact.versions.iter().map(|v| (&*v.version, v.dir));
        let drafts = [("stage", &artifact.staging), ("install", &artifact.pending)];
        let drafts = drafts
            .into_iter()
            .filter_map(|(label, draft)| Some((label, draft.as_ref()?.dir)));
        for (label, dir) in named.clone().chain(drafts) {
            let place = format!("{name} {label}");
            if dir >= artifact.next_dir {
                let text = format!("directory {dir} is one that a new version would get");
                report.error("directory-number", &place, text);
            }
            let at = (artifact.id.clone(), dir);
            if let Some(other) = self.dirs.insert(at, place.clone()) {
                let text = format!("shares directory {dir} with {other}");
                report.error("shared-directory", place, text);
            }
        }
        if let Some(dir) = artifact.current
            && named.clone().all(|(_, other)| other != dir)
        {
            let text = format!("its current version has directory {dir}, which no version has");
            report.error("no-current-version", name, text);
        }
        for (label, dir) in named {
            let shown_by_record = artifact.latest_dir() == Some(dir) && artifact.manifest.is_some();
            if !shown_by_record && !self.manifests.contains(&dir_key(&artifact.id, dir))? {
                let place = format!("{name} {label}");
                report.error("no-manifest", place, "the version has no manifest");
            }
        }
        if !self.has_workspace(&artifact.workspace)? {
            let text = "its workspace is gone; the next start of the server removes it";
            self.report.note("no-workspace", name, text);
        }
        Ok(())
    }

    fn look_at_parents(&mut self, records: &Records, artifact: &Artifact) {
        let name = artifact.name();
        let mut seen = HashSet::new();
        let mut next = artifact.parent_id.as_ref();
        while let Some(id) = next {
            if *id == artifact.id {
                let text = "it is inside itself";
                return self.report.error("parent-cycle", name, text);
            }
            if !seen.insert(id) {
                // A cycle above it, which is reported where it is.
                return;
            }
            let Some(parent) = records.get(id) else {
                // Of what is above, its own child tells.
                if seen.len() == 1 {
                    let text = format!("its collection {id} does not exist");
                    self.report.error("no-parent", name, text);
                }
                return;
            };
            if parent.workspace != artifact.workspace {
                let text = format!("its collection {} is in another workspace", parent.name());
                return self.report.error("foreign-parent", name, text);
            }
            next = parent.parent_id.as_ref();
        }
    }

    /// The index by UUID and the one by collection, in both directions.
    pub(super) fn look_at_index(&mut self, records: &Records) -> Result<(), StoreError> {
        let name = |id: &str| records.get(id).map_or(id.to_owned(), Artifact::name);
        let place = |artifact: &Artifact| key(&artifact.workspace, &artifact.alias);
        Self::readable(&mut self.report, &self.ids, |report, id, at| {
            if records.get(&id).is_none_or(|found| place(found) != at) {
                let text = format!("the index leads to {}, where it is not", shown(&at));
                report.error("index-uuid", name(&id), text);
            }
            Ok(())
        })?;
        Self::readable(&mut self.report, &self.children, |report, entry, at| {
            let (parent, id) = entry.split_once(SEPARATOR).unwrap_or((&entry, ""));
            let fits = records
                .get(id)
                .is_some_and(|found| found.parent_id.as_deref() == Some(parent));
            if !fits || records.get(id).is_none_or(|found| place(found) != at) {
                let text = format!("the index has {} in it, which is not so", shown(&at));
                report.error("index-collection", name(parent), text);
            }
            Ok(())
        })?;
        for artifact in records.values() {
            if !self.ids.contains(&artifact.id)? {
                let text = "the index does not know its UUID";
                self.report.error("index-uuid", artifact.name(), text);
            }
            let Some(parent) = &artifact.parent_id else {
                continue;
            };
            let entry = format!("{parent}{SEPARATOR}{}", artifact.id);
            if !self.children.contains(&entry)? {
                let text = format!("the index does not have it in {}", name(parent));
                self.report.error("index-collection", artifact.name(), text);
            }
        }
        Ok(())
    }

    fn look_at_switches(&mut self) -> Result<(), StoreError> {
        for at in self.switches.keys("")? {
            if !self.records.contains(&at)? {
                let text = "a switch of an app that is gone; the next start of the server drops it";
                self.report.note("switch-without-app", shown(&at), text);
            }
        }
        Ok(())
    }
}
