//! Making artifacts, and copies of them.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::access::check_permissions;
use super::changes::{invalid, own, refuse_pending};
use super::{
    Artifact, ArtifactError, Draft, Fields, Inner, Place, Version, check_parent, granted, key,
};
use crate::artifacts::objects::{Pin, file_key};
use crate::artifacts::{alias, alias::Parts, schema};
use crate::identity::{Level, UserInfo};
use crate::store::Batch;

/// A new artifact.
pub struct Creation {
    pub workspace: String,
    /// Chosen, or a pattern; without one the server makes it.
    pub alias: Option<String>,
    pub user: Arc<UserInfo>,
    pub parent: Option<String>,
    pub manifest: Fields,
    pub kind: String,
    pub config: Fields,
    pub secrets: Fields,
    pub version: Option<String>,
    pub comment: Option<String>,
    pub overwrite: bool,
    pub stage: bool,
}

/// Where a copy goes.
pub struct Copying {
    pub workspace: String,
    /// As [`Creation::alias`].
    pub alias: Option<String>,
    pub parent: Option<String>,
    pub overwrite: bool,
    pub stage: bool,
}

impl Inner {
    /// Makes an artifact.
    ///
    /// # Errors
    /// The alias is taken or impossible, or it is not allowed.
    pub fn create(&self, new: Creation) -> Result<Json, ArtifactError> {
        let mut batch = Batch::new();
        let artifact = self.prepare(&mut batch, new)?;
        self.keep_version(&mut batch, &artifact)?;
        self.save(&mut batch, &artifact)?;
        self.store.apply(batch)?;
        self.shown(&artifact)
    }

    /// Checks a creation; the record of it, which the caller saves.
    fn prepare(&self, batch: &mut Batch, new: Creation) -> Result<Artifact, ArtifactError> {
        let (workspace, user) = (&new.workspace, &new.user);
        check_permissions(&new.config)?;
        schema::check_manifest(&new.kind, &new.manifest)?;
        schema::check_schema(&new.config)?;
        let parent = match &new.parent {
            Some(id) => Some(self.allowed(workspace, id, user, "list")?),
            None => None,
        };
        match &parent {
            Some(parent) => {
                if parent.workspace != *workspace {
                    return invalid("The collection is in another workspace.");
                }
                let operation = if new.stage { "draft" } else { "attach" };
                check_parent(parent, user, operation, Level::ReadWrite)?;
                if parent.manifest.is_none() {
                    let text = format!(
                        "Parent artifact with ID '{}' must be committed before creating a child artifact.",
                        parent.name()
                    );
                    return invalid(text);
                }
                self.mark_collection(batch, parent.clone())?;
            }
            None if user.allows(workspace, Level::ReadWrite) => {}
            None => {
                let (operation, on) = ("create", "workspace");
                return Err(ArtifactError::Denied { operation, on });
            }
        }
        let alias = self.alias_for(&new, parent.as_ref())?;
        let old = self.records.get(&key(workspace, &alias))?;
        if let Some(old) = &old {
            if !new.overwrite {
                return Err(ArtifactError::Exists(alias));
            }
            // Whoever may only add children may not take away what somebody else made.
            let may = user.allows(workspace, Level::ReadWrite) || granted(old, user, "edit");
            if !may {
                let (operation, on) = ("edit", "artifact");
                return Err(ArtifactError::Denied { operation, on });
            }
            let children = self.children(old)?.len();
            if children > 0 {
                return invalid(format!(
                    "Cannot overwrite artifact '{}' as it has {children} child artifacts.",
                    old.name()
                ));
            }
            refuse_pending(old)?;
        }
        let artifact = self.fresh(batch, new, alias, parent, old)?;
        self.index.add(batch, &artifact)?;
        Ok(artifact)
    }

    /// The alias of something new: the one that was chosen, or one that is free.
    fn alias_for(
        &self,
        new: &Creation,
        parent: Option<&Artifact>,
    ) -> Result<String, ArtifactError> {
        let pattern = new.alias.as_deref();
        if let Some(chosen) = pattern.filter(|chosen| !alias::is_pattern(chosen)) {
            alias::check(chosen)?;
            return Ok(chosen.to_owned());
        }
        let given = parent.and_then(|parent| parent.config.get("id_parts")?.as_object().cloned());
        let parts = Parts {
            given: given.unwrap_or_default(),
            timestamp: self.now(),
            user_id: new.user.id.clone(),
        };
        alias::free(pattern, &parts, &mut rand::rng(), |alias| {
            Ok(self.records.contains(&key(&new.workspace, alias))?)
        })
    }

    /// The record of a creation. Files of the first version of what it replaces stay.
    fn fresh(
        &self,
        batch: &mut Batch,
        new: Creation,
        alias: String,
        parent: Option<Artifact>,
        old: Option<Artifact>,
    ) -> Result<Artifact, ArtifactError> {
        let now = self.now();
        let mut config = new.config;
        own(&mut config, &new.user.id);
        if new.kind == "collection" {
            config.insert("is_collection".to_owned(), json!(true));
        }
        let (mut id, mut dir, mut next_dir) = (Uuid::now_v7().to_string(), 0, 1);
        if let Some(old) = old {
            self.index.remove(batch, &old);
            let staged = old.staging.iter().map(|draft| draft.dir);
            let mut dirs = old.versions.iter().map(|v| v.dir).chain(staged);
            let kept = dirs.next();
            if let Some(kept) = kept {
                self.objects.add_unstage_all(batch, &old.id, kept)?;
            }
            for other in dirs.filter(|other| Some(*other) != kept) {
                self.drop_dir(batch, &old.id, other)?;
            }
            dir = kept.unwrap_or(old.next_dir);
            next_dir = old.next_dir.max(dir + 1);
            id = old.id;
        }
        let mut artifact = Artifact {
            id,
            workspace: new.workspace,
            alias,
            kind: new.kind,
            parent_id: parent.map(|parent| parent.id),
            manifest: Some(new.manifest.clone()),
            staging: None,
            pending: None,
            versions: Vec::new(),
            current: None,
            next_dir,
            commits: 0,
            config,
            secrets: new.secrets,
            download_count: 0.0,
            view_count: 0.0,
            file_count: 0,
            created_at: now,
            last_modified: now,
            created_by: new.user.effective_id().to_owned(),
        };
        if new.stage {
            artifact.staging = Some(Draft::of(new.manifest, dir));
            return Ok(artifact);
        }
        let named = new
            .version
            .filter(|name| !matches!(name.as_str(), "new" | "stage"));
        artifact.versions.push(Version {
            version: named.unwrap_or_else(|| "v0".to_owned()),
            comment: new.comment.or_else(|| Some("Initial version".to_owned())),
            created_at: now,
            dir,
            failed: None,
            proven: false,
        });
        artifact.commits = 1;
        artifact.current = Some(dir);
        artifact.file_count = self
            .objects
            .files()
            .keys(&file_key(&artifact.id, dir, ""))?
            .len() as u64;
        Ok(artifact)
    }

    /// Copies the last version of an artifact; secrets are never copied.
    ///
    /// # Errors
    /// It has no version, the target exists, or it is not allowed.
    pub fn duplicate(&self, pin: &Pin, place: &Place, to: Copying) -> Result<Json, ArtifactError> {
        let source = self.allowed(&place.workspace, &place.id, &place.user, "read")?;
        let Some(from) = source.latest_dir() else {
            return invalid("An artifact that was never committed cannot be duplicated.");
        };
        let mut batch = Batch::new();
        let new = Creation {
            workspace: to.workspace,
            alias: to.alias,
            user: place.user.clone(),
            parent: to.parent,
            manifest: source.manifest.clone().unwrap_or_default(),
            kind: source.kind.clone(),
            config: source.config.clone(),
            secrets: Fields::new(),
            version: None,
            comment: Some(format!("Duplicated from {}", source.name())),
            overwrite: to.overwrite,
            stage: to.stage,
        };
        let mut copy = self.prepare(&mut batch, new)?;
        let draft = copy.staging.as_ref().map(|draft| draft.dir);
        let dir = draft.or(copy.current).unwrap_or_default();
        self.objects.add_remove_dir(&mut batch, &copy.id, dir)?;
        let count =
            self.objects
                .add_copy_dir(&mut batch, pin, (&source.id, from), (&copy.id, dir))?;
        if draft.is_none() {
            copy.file_count = count as u64;
        }
        self.keep_version(&mut batch, &copy)?;
        self.save(&mut batch, &copy)?;
        self.store.apply(batch)?;
        self.shown(&copy)
    }
}
