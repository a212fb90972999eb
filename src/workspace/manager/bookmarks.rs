//! Bookmarks: a list in the caller's personal workspace (workspace.md 2.6).

use serde_json::{Value as Json, json};

use super::ManagerService;
use crate::identity::Level;
use crate::peer::{Arguments, CallContext, Reply, ServiceError};
use crate::wire::Value;
use crate::workspace::error::WorkspaceError;
use crate::workspace::info::{BOOKMARKS, WorkspaceInfo};
use crate::workspace::lookup::LookupOptions;

/// Most bookmarks of one user.
const MAX_BOOKMARKS: usize = 1000;

/// `bookmark_type` and `id` of an item.
fn read_item(args: &Arguments) -> Result<(String, String), ServiceError> {
    let item = args
        .opt_map("item")?
        .ok_or_else(|| ServiceError::assertion("Bookmark type must be provided."))?;
    let kind = item
        .get_str("bookmark_type")
        .ok_or_else(|| ServiceError::assertion("Bookmark type must be provided."))?;
    if !matches!(kind, "workspace" | "service") {
        return Err(ServiceError::value(format!(
            "Invalid bookmark type: {kind}"
        )));
    }
    let id = item
        .get_str("id")
        .ok_or_else(|| ServiceError::assertion("Bookmark id must be provided."))?;
    Ok((kind.to_owned(), id.to_owned()))
}

fn is_entry(entry: &Json, kind: &str, id: &str) -> bool {
    entry["bookmark_type"] == kind && entry["id"] == id
}

impl ManagerService {
    pub(super) async fn bookmark(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let (kind, id) = read_item(args)?;
        let entry = if kind == "workspace" {
            let info = self
                .directory
                .get(&id)
                .ok_or_else(|| WorkspaceError::NotFound(id.clone()))?;
            if !info.is_owned_by(&context.user) {
                self.directory.require(&context.user, &id, Level::Read)?;
            }
            workspace_entry(&info)
        } else {
            let options = LookupOptions::default();
            let info = self.directory.service_info(&id, &options, context).await?;
            let text = |key: &str| info.get(key).map(Value::to_json).unwrap_or_default();
            json!({
                "bookmark_type": "service",
                "id": text("id"),
                "name": text("name"),
                "description": text("description"),
                "config": text("config"),
            })
        };
        self.add_entry(entry, context).await?;
        Ok(Value::Nil.into())
    }

    async fn add_entry(&self, entry: Json, context: &CallContext) -> Result<(), ServiceError> {
        let personal = context.user.personal_workspace();
        self.directory.ensure(&personal, &context.user)?;
        let full = self
            .directory
            .change(&personal, |info| {
                let list = bookmarks(info);
                let kind = entry["bookmark_type"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                let id = entry["id"].as_str().unwrap_or_default().to_owned();
                list.retain(|old| !is_entry(old, &kind, &id));
                if list.len() >= MAX_BOOKMARKS {
                    return true;
                }
                list.push(entry);
                false
            })
            .await?;
        if full {
            return Err(ServiceError::runtime(format!(
                "a user has at most {MAX_BOOKMARKS} bookmarks"
            )));
        }
        Ok(())
    }

    pub(super) async fn unbookmark(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let (kind, id) = read_item(args)?;
        let personal = context.user.personal_workspace();
        self.directory
            .change(&personal, |info| {
                bookmarks(info).retain(|entry| !is_entry(entry, &kind, &id));
            })
            .await?;
        Ok(Value::Nil.into())
    }

    /// Bookmarks a new workspace for its creator; the creation stands without it.
    pub(super) async fn keep_bookmark(&self, info: &WorkspaceInfo, context: &CallContext) {
        if let Err(error) = self.add_entry(workspace_entry(info), context).await {
            tracing::debug!(%error, workspace = info.id, "a new workspace was not bookmarked");
        }
    }

    /// Takes a deleted thing off the caller's list; it is no error when there is none.
    pub(super) async fn drop_bookmark(&self, kind: &str, id: &str, context: &CallContext) {
        let personal = context.user.personal_workspace();
        let dropped = self
            .directory
            .change(&personal, |info| {
                bookmarks(info).retain(|entry| !is_entry(entry, kind, id));
            })
            .await;
        if let Err(error) = dropped {
            tracing::debug!(%error, id, "no bookmark to drop");
        }
    }
}

fn workspace_entry(info: &WorkspaceInfo) -> Json {
    json!({
        "bookmark_type": "workspace",
        "id": info.id,
        "name": info.name,
        "description": info.description,
    })
}

fn bookmarks(info: &mut WorkspaceInfo) -> &mut Vec<Json> {
    let entry = info.config.entry(BOOKMARKS).or_insert_with(|| json!([]));
    if !entry.is_array() {
        *entry = json!([]);
    }
    match entry {
        Json::Array(list) => list,
        _ => unreachable!("made an array above"),
    }
}
