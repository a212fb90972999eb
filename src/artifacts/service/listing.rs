//! Calls that list artifacts (artifacts.md 6): by collection, stage, type, alias and keywords.

use serde_json::{Value as Json, json};

use super::ArtifactService;
use super::arguments::{flag, object, text};
use crate::artifacts::store::{Artifact, Inner, Sight, granted};
use crate::identity::Level;
use crate::peer::{Arguments, CallContext, ServiceError};

/// What is wanted.
struct Wanted {
    parent: Option<String>,
    keywords: Vec<String>,
    filters: Vec<(String, Json)>,
    /// Committed, staged, or both.
    stage: Option<bool>,
    whole_workspace: bool,
}

impl Wanted {
    fn fits(&self, artifact: &Artifact) -> bool {
        let staged = match self.stage {
            Some(true) => artifact.staging.is_some(),
            Some(false) => !artifact.versions.is_empty(),
            None => true,
        };
        let text = json!(artifact.manifest).to_string().to_lowercase();
        staged
            && self.keywords.iter().all(|word| text.contains(word))
            && self
                .filters
                .iter()
                .all(|(field, wanted)| match field.as_str() {
                    "type" => artifact.kind.as_str() == wanted,
                    "alias" => artifact.alias.as_str() == wanted,
                    "workspace" => artifact.workspace.as_str() == wanted,
                    "created_by" => artifact.created_by.as_str() == wanted,
                    // `manifest`: each key must have just this value.
                    _ => wanted.as_object().is_some_and(|wanted| {
                        let manifest = artifact.manifest.as_ref();
                        wanted.iter().all(|(key, value)| {
                            manifest.and_then(|manifest| manifest.get(key)) == Some(value)
                        })
                    }),
                })
    }
}

impl ArtifactService {
    pub(super) async fn list(
        &self,
        args: &Arguments,
        context: &CallContext,
        counts: bool,
    ) -> Result<Json, ServiceError> {
        let filters = object(args, "filters")?.unwrap_or_default();
        const KNOWN: &[&str] = &["type", "alias", "workspace", "created_by", "manifest"];
        if let Some(odd) = filters.keys().find(|key| !KNOWN.contains(&key.as_str())) {
            return Err(ServiceError::value(format!("Invalid filter key: {odd}")));
        }
        if text(args, "mode")?.is_some_and(|mode| mode != "AND") || !args.get("order_by").is_nil() {
            let text = "only mode AND in the order of ids is supported";
            return Err(ServiceError::new(
                crate::peer::ErrorClass::Named("NotImplementedError"),
                text,
            ));
        }
        let words = args.get("keywords").as_array().unwrap_or_default();
        let words = words
            .iter()
            .filter_map(|word| Some(word.as_str()?.to_lowercase()));
        let wanted = Wanted {
            parent: text(args, "parent_id")?,
            keywords: words.collect(),
            filters: filters.into_iter().collect(),
            stage: match args.get("stage").as_str() {
                Some("all") => None,
                _ => Some(flag(args, "stage")?),
            },
            whole_workspace: !counts,
        };
        let bound = |name: &str| {
            let number = text(args, name)?.and_then(|text| text.parse::<usize>().ok());
            number
                .ok_or_else(|| ServiceError::value(format!("{name} must be a number of 0 or more")))
        };
        let (offset, limit) = (bound("offset")?, bound("limit")?);
        let views = counts && !flag(args, "silent")?;
        let pages = flag(args, "pagination")?;
        let (workspace, user) = (context.ws.clone(), context.user.clone());
        let found = self.store.read(move |inner: &Inner| {
            let mut all = match &wanted.parent {
                Some(id) => {
                    let parent = inner.allowed(&workspace, id, &user, "list")?;
                    if views {
                        inner.count(&parent, 1.0, 0.0)?;
                    }
                    inner.children(&parent)?
                }
                None => {
                    let mut all = inner.all_in(&workspace)?;
                    all.retain(|one| wanted.whole_workspace || one.parent_id.is_none());
                    if !user.allows(&workspace, Level::Read) {
                        all.retain(|one| granted(one, &user, "read"));
                    }
                    all
                }
            };
            all.retain(|artifact| wanted.fits(artifact));
            all.sort_by(|a, b| a.id.cmp(&b.id));
            let total = all.len();
            let shown = all.iter().skip(offset).take(limit).map(|artifact| {
                let staged = wanted.stage == Some(true) || artifact.versions.is_empty();
                match staged && artifact.staging.is_some() {
                    true => inner.view(artifact, Sight::Stage),
                    false => inner.view(artifact, artifact.sight(None)?),
                }
            });
            let items = shown.collect::<Result<Vec<Json>, _>>()?;
            Ok((items, total))
        });
        let (items, total) = found.await?;
        Ok(match pages {
            true => json!({ "items": items, "total": total, "offset": offset, "limit": limit }),
            false => Json::Array(items),
        })
    }
}
