//! Files of artifacts: announcing, removing, finding, counting.

use serde_json::{Value as Json, json};

use super::{Artifact, ArtifactError, Fields, Inner, StagedFile, key};
use crate::artifacts::objects::{Object, Target, file_key};
use crate::identity::UserInfo;
use crate::store::Batch;

/// Whose artifact is meant, and who asks.
#[derive(Clone)]
pub struct Place {
    /// Workspace of the caller, for bare aliases.
    pub workspace: String,
    pub id: String,
    pub user: std::sync::Arc<UserInfo>,
}

/// A file that is to be put.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Clean path.
    pub path: String,
    pub weight: f64,
}

impl Inner {
    /// Notes files that will be put to the stage; where they are to go.
    ///
    /// # Errors
    /// It is not staged or not allowed.
    pub fn announce(&self, place: &Place, wishes: &[Wish]) -> Result<Vec<Target>, ArtifactError> {
        let mut batch = Batch::new();
        let targets = self.add_announced(&mut batch, place, wishes)?;
        self.store.apply(batch)?;
        Ok(targets)
    }

    fn add_announced(
        &self,
        batch: &mut Batch,
        place: &Place,
        wishes: &[Wish],
    ) -> Result<Vec<Target>, ArtifactError> {
        let mut artifact = self.allowed(&place.workspace, &place.id, &place.user, "put_file")?;
        let draft = artifact.staging.as_mut().ok_or(ArtifactError::NotStaged)?;
        for wish in wishes {
            draft.files.retain(|file| file.path != wish.path);
            draft.files.push(StagedFile {
                path: wish.path.clone(),
                weight: (wish.weight > 0.0).then_some(wish.weight),
                remove: false,
            });
        }
        let dir = draft.dir;
        self.save(batch, &artifact)?;
        let target = |wish: &Wish| artifact.target(dir, &wish.path);
        Ok(wishes.iter().map(target).collect())
    }

    /// Puts a file that is at hand to the stage.
    ///
    /// # Errors
    /// It is not staged or not allowed.
    pub fn put(&self, place: &Place, wish: Wish, object: &Object) -> Result<(), ArtifactError> {
        let mut batch = Batch::new();
        let targets = self.add_announced(&mut batch, place, &[wish])?;
        for target in &targets {
            batch.put(self.objects.files(), &target.key(), object)?;
        }
        Ok(self.store.apply(batch)?)
    }

    /// Takes a file off the stage; a committed one goes with the commit. One that is not there is
    /// no failure.
    ///
    /// # Errors
    /// It is not staged or not allowed.
    pub fn remove(&self, place: &Place, path: &str) -> Result<(), ArtifactError> {
        let mut artifact = self.allowed(&place.workspace, &place.id, &place.user, "remove_file")?;
        let committed = match artifact.latest_dir() {
            Some(dir) => self
                .objects
                .files()
                .contains(&file_key(&artifact.id, dir, path))?,
            None => false,
        };
        let draft = artifact.staging.as_mut().ok_or(ArtifactError::NotStaged)?;
        let at = file_key(&artifact.id, draft.dir, path);
        draft.files.retain(|file| file.path != path);
        if committed && !draft.new_version {
            draft.files.push(StagedFile {
                path: path.to_owned(),
                weight: None,
                remove: true,
            });
        }
        let mut batch = Batch::new();
        batch.remove(self.objects.files(), &at);
        self.save(&mut batch, &artifact)?;
        Ok(self.store.apply(batch)?)
    }

    /// A file of one version, and where it is.
    ///
    /// # Errors
    /// There is no such file.
    pub fn file(
        &self,
        artifact: &Artifact,
        selector: Option<&str>,
        path: &str,
    ) -> Result<(Target, Object), ArtifactError> {
        let missing = || ArtifactError::NoFile(path.to_owned());
        let dir = artifact
            .dir_of(artifact.sight(selector)?)
            .ok_or_else(missing)?;
        let target = artifact.target(dir, path);
        let object = self
            .objects
            .files()
            .get(&target.key())?
            .ok_or_else(missing)?;
        Ok((target, object))
    }

    /// Adds to the counters of an artifact.
    ///
    /// # Errors
    /// The store failed.
    pub fn count(&self, artifact: &Artifact, views: f64, loads: f64) -> Result<(), ArtifactError> {
        // A full disk is no reason not to read.
        if self.store.check_room().is_err() {
            return Ok(());
        }
        // Not in the middle of a change that would write the counters it has read before.
        let _writing = self.writing.lock();
        let at = key(&artifact.workspace, &artifact.alias);
        self.records.update(&at, |record: &mut Artifact| {
            record.view_count += views;
            record.download_count += loads;
        })?;
        Ok(())
    }
}

impl Artifact {
    fn target(&self, dir: u32, path: &str) -> Target {
        Target::Artifact {
            workspace: self.workspace.clone(),
            id: self.id.clone(),
            dir,
            path: path.to_owned(),
        }
    }

    /// What a download of a file counts.
    pub fn weight(&self, path: &str) -> f64 {
        let weights = self.config.get("download_weights");
        let weight = weights.and_then(|weights| weights.get(path));
        weight.and_then(Json::as_f64).unwrap_or(0.0)
    }

    /// Sets what a download of a file counts; nothing or less forgets it.
    pub fn set_weight(&mut self, path: &str, weight: f64) {
        let empty = || Json::Object(Fields::new());
        let weights = self.config.entry("download_weights").or_insert_with(empty);
        if let Some(weights) = weights.as_object_mut() {
            match weight > 0.0 {
                true => weights.insert(path.to_owned(), json!(weight)),
                false => weights.remove(path),
            };
        }
    }
}
