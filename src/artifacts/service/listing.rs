//! Calls that list artifacts (artifacts.md 6).

use std::collections::HashMap;

use serde_json::{Map, Value as Json, json};

use super::ArtifactService;
use super::arguments::{flag, object, text};
use crate::artifacts::query::{Mode, Query, QueryError, Recipient, Request, Row, Stage, project};
use crate::artifacts::store::{Artifact, ArtifactError, Inner, Sight, granted};
use crate::identity::{Level, UserInfo};
use crate::peer::{Arguments, CallContext, ServiceError};
use crate::wire::Value;

/// The most that one call returns.
const MAX_LIMIT: usize = 100_000;

impl ArtifactService {
    /// `list` counts a view of the collection; `search` does not, and without a collection it goes
    /// through the whole workspace.
    pub(super) async fn list(
        &self,
        args: &Arguments,
        context: &CallContext,
        counts: bool,
    ) -> Result<Json, ServiceError> {
        let request = request(args)?;
        let (offset, limit) = (request.offset, request.limit);
        let listing = Listing {
            parent: text(args, "parent_id")?,
            request,
            workspace: context.ws.clone(),
            user: context.user.clone(),
            roots_only: counts,
            views: counts && !flag(args, "silent")?,
        };
        let pages = flag(args, "pagination")?;
        let (items, total) = self.store.read(move |inner| listing.run(inner)).await?;
        Ok(match pages {
            true => json!({ "items": items, "total": total, "offset": offset, "limit": limit }),
            false => Json::Array(items),
        })
    }
}

struct Listing {
    parent: Option<String>,
    request: Request,
    workspace: String,
    user: std::sync::Arc<UserInfo>,
    roots_only: bool,
    views: bool,
}

impl Listing {
    fn run(mut self, inner: &Inner) -> Result<(Vec<Json>, usize), ArtifactError> {
        let (mut fields, staged) = (None, self.request.stage == Stage::Staged);
        let records = match &self.parent {
            Some(id) => {
                let parent = inner.allowed(&self.workspace, id, &self.user, "list")?;
                self.request.recipient = recipient(&parent, &self.user)?;
                fields = listed_fields(&parent)?;
                if self.views {
                    inner.count(&parent, 1.0, 0.0)?;
                }
                inner.children(&parent)?
            }
            None => self.of_workspace(inner)?,
        };
        let workspace = self.workspace;
        let resolve = |name: &str| Ok::<_, ArtifactError>(inner.find(&workspace, name)?.id);
        let query = Query::new(self.request, resolve)?;
        let found = query.run(&records, row);
        let shown = found.items.iter().map(|artifact| {
            let staged = staged || artifact.versions.is_empty();
            let sight = match staged && artifact.staging.is_some() {
                true => Sight::Stage,
                false => artifact.sight(None)?,
            };
            Ok(match inner.view(artifact, sight)? {
                Json::Object(shown) => Json::Object(project(shown, fields.as_deref())),
                other => other,
            })
        });
        Ok((shown.collect::<Result<_, ArtifactError>>()?, found.total))
    }

    /// What a user may see of a workspace.
    fn of_workspace(&self, inner: &Inner) -> Result<Vec<Artifact>, ArtifactError> {
        let mut all = inner.all_in(&self.workspace)?;
        if !self.user.allows(&self.workspace, Level::Admin) {
            let mut inboxes = HashMap::new();
            for one in &all {
                // One that does not say whom things are addressed to shows nobody anything.
                let nobody = || Recipient {
                    field: String::new(),
                    email: None,
                };
                let found = recipient(one, &self.user).unwrap_or_else(|_| Some(nobody()));
                if let Some(recipient) = found {
                    inboxes.insert(one.id.clone(), recipient);
                }
            }
            let inbox = |one: &Artifact| inboxes.get(one.parent_id.as_ref()?);
            all.retain(|one| inbox(one).is_none_or(|inbox| inbox.gets(&row(one))));
        }
        if !self.user.allows(&self.workspace, Level::Read) {
            let open = |one: &Artifact, operation| granted(one, &self.user, operation);
            all.retain(|one| open(one, "read") || open(one, "list"));
        }
        if self.roots_only {
            all.retain(|one| one.parent_id.is_none());
        }
        Ok(all)
    }
}

fn row(artifact: &Artifact) -> Row<'_> {
    let staged = artifact.staging.as_ref().map(|draft| &draft.manifest);
    Row {
        id: &artifact.id,
        alias: &artifact.alias,
        workspace: &artifact.workspace,
        kind: &artifact.kind,
        created_by: &artifact.created_by,
        parent_id: artifact.parent_id.as_deref(),
        manifest: artifact.manifest.as_ref().or(staged),
        config: &artifact.config,
        created_at: artifact.created_at as f64,
        last_modified: artifact.last_modified as f64,
        download_count: artifact.download_count,
        view_count: artifact.view_count,
        staged: artifact.staging.is_some(),
        committed: !artifact.versions.is_empty(),
    }
}

fn is_set(artifact: &Artifact, key: &str) -> bool {
    artifact.config.get(key) == Some(&json!(true))
}

/// Whose children of a collection are seen, when it shows each only to whom it is addressed.
fn recipient(parent: &Artifact, user: &UserInfo) -> Result<Option<Recipient>, ArtifactError> {
    if !is_set(parent, "private_children") || user.allows(&parent.workspace, Level::Admin) {
        return Ok(None);
    }
    let field = parent.config.get("recipient_field").and_then(Json::as_str);
    let Some(field) = field.filter(|field| !field.is_empty()) else {
        let text = "Collection has 'private_children' enabled but no valid string \
                    'recipient_field' configured.";
        return Err(ArtifactError::Invalid(text.to_owned()));
    };
    Ok(Some(Recipient {
        field: field.to_owned(),
        email: user.email.clone(),
    }))
}

/// The fields that a collection shows of its children; none means all.
fn listed_fields(parent: &Artifact) -> Result<Option<Vec<String>>, ArtifactError> {
    let wrong = |text| ArtifactError::Query(QueryError::Assertion(text));
    let Some(fields) = parent.config.get("list_fields").filter(|f| !f.is_null()) else {
        return Ok(None);
    };
    let list = fields.as_array();
    let list = list.ok_or_else(|| wrong("Invalid list_fields, it should be a list."))?;
    if list.iter().any(|field| field == "secrets") {
        return Err(wrong("Secrets cannot be included in list_fields."));
    }
    let names = list.iter().filter_map(|f| f.as_str().map(str::to_owned));
    Ok(Some(names.collect()))
}

fn request(args: &Arguments) -> Result<Request, ServiceError> {
    let mode = match text(args, "mode")?.as_deref() {
        None | Some("AND") => Mode::All,
        Some("OR") => Mode::Any,
        Some(_) => return Err(ServiceError::value("mode must be AND or OR")),
    };
    let stage = match args.get("stage") {
        Value::Nil => Stage::Both,
        value if value.as_str() == Some("all") => Stage::Both,
        _ if flag(args, "stage")? => Stage::Staged,
        _ => Stage::Committed,
    };
    Ok(Request {
        keywords: keywords(args)?,
        filters: object(args, "filters")?.unwrap_or_else(Map::new),
        mode,
        stage,
        order_by: text(args, "order_by")?,
        offset: number(args, "offset")?.unwrap_or(0),
        limit: number(args, "limit")?.unwrap_or(100).min(MAX_LIMIT),
        recipient: None,
    })
}

/// Words to look for. HTTP queries bring one as a text, or several as JSON or with commas.
fn keywords(args: &Arguments) -> Result<Vec<String>, ServiceError> {
    let wrong = || ServiceError::type_("argument 'keywords' must be a list of strings");
    match args.get("keywords") {
        Value::Nil => Ok(Vec::new()),
        Value::Str(text) => Ok(serde_json::from_str(text)
            .unwrap_or_else(|_| text.split(',').map(|word| word.trim().to_owned()).collect())),
        Value::Array(words) => {
            let words = words.iter().map(|word| word.as_str().map(str::to_owned));
            words.collect::<Option<_>>().ok_or_else(wrong)
        }
        _ => Err(wrong()),
    }
}

fn number(args: &Arguments, name: &str) -> Result<Option<usize>, ServiceError> {
    let given = text(args, name)?;
    let parsed = given.map(|text| text.parse::<usize>()).transpose();
    parsed.map_err(|_| ServiceError::value(format!("{name} must be a number of 0 or more")))
}
