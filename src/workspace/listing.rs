//! `list_services`: queries over the registry (workspace.md 3.6).

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use super::directory::Directory;
use super::record::{ServiceRecord, Visibility};
use super::service_id::split;
use crate::identity::{Level, UserInfo};
use crate::peer::ServiceError;
use crate::wire::{self, Map, Value};

/// Keys that a query map may have; `id` is an alias of `service_id`.
const KEYS: [&str; 7] = [
    "visibility",
    "workspace",
    "client_id",
    "service_id",
    "type",
    "app_id",
    "id",
];

/// A parsed query: patterns with `*`, all of which must match.
#[derive(Debug, Default, PartialEq)]
struct Query {
    workspace: String,
    client: Option<String>,
    service: Option<String>,
    app: Option<String>,
    kind: Option<String>,
    visibility: Option<String>,
}

/// What else the caller said.
#[derive(Debug, Default, Clone, Copy)]
pub struct ListOptions {
    pub include_unlisted: bool,
    pub include_app_services: bool,
    pub prioritize_running: bool,
}

/// What a query found.
pub struct Listing {
    /// Registrations, and whether the caller is a member of their workspace.
    registered: Vec<(Arc<ServiceRecord>, bool)>,
    /// Services of apps that do not run.
    offered: Vec<Value>,
}

impl Listing {
    /// As one encoded list, spliced from what was encoded at registration.
    pub fn packed(&self) -> Bytes {
        let registered = self.registered.iter();
        let registered = registered.map(|(record, member)| record.packed(*member).clone());
        let offered = self.offered.iter().map(wire::encode);
        wire::splice_array(&registered.chain(offered).collect::<Vec<_>>())
    }

    /// As maps, to look into.
    pub fn into_maps(self) -> Vec<Map> {
        let registered = self.registered.iter();
        let registered = registered.map(|(record, member)| record.to_map(*member));
        let offered = self.offered.into_iter().filter_map(Value::into_map);
        registered.chain(offered).collect()
    }
}

fn checked(text: &str) -> Result<String, ServiceError> {
    let allowed =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/' | '|' | '*' | '.');
    if text.chars().all(allowed) {
        return Ok(text.to_owned());
    }
    Err(ServiceError::value(format!(
        "Invalid characters in query part: {text}"
    )))
}

impl Query {
    fn parse(query: &Value, own: &str) -> Result<Self, ServiceError> {
        match query {
            Value::Nil => Ok(Query {
                workspace: own.to_owned(),
                ..Query::default()
            }),
            Value::Str(text) => Query::from_text(text, own),
            Value::Map(map) => Query::from_map(map, own),
            other => Err(ServiceError::value(format!(
                "a query must be a string or an object, got {}",
                other.type_name()
            ))),
        }
    }

    fn from_text(text: &str, own: &str) -> Result<Self, ServiceError> {
        let parts = split(text)?;
        let some = |part: Option<&str>| part.map(checked).transpose();
        // A bare word names a workspace, not a service.
        if parts.workspace.is_none() && parts.client.is_none() && parts.app.is_none() {
            return Ok(Query {
                workspace: checked(parts.service)?,
                ..Query::default()
            });
        }
        Ok(Query {
            workspace: checked(parts.workspace.unwrap_or(own))?,
            client: some(parts.client)?,
            service: some(Some(parts.service))?,
            app: some(parts.app)?,
            ..Query::default()
        })
    }

    fn from_map(map: &Map, own: &str) -> Result<Self, ServiceError> {
        let unknown: Vec<String> = map
            .keys()
            .filter(|key| !KEYS.contains(key))
            .map(|key| format!("'{key}'"))
            .collect();
        if !unknown.is_empty() {
            return Err(ServiceError::value(format!(
                "Invalid query keys: {{{}}}",
                unknown.join(", ")
            )));
        }
        if map.contains_key("id") && map.contains_key("service_id") {
            return Err(ServiceError::assertion(
                "Cannot specify both 'id' and 'service_id' in the query.",
            ));
        }
        let text = |key: &str| map.get_str(key).map(checked).transpose();
        let mut query = Query {
            workspace: text("workspace")?.unwrap_or_else(|| own.to_owned()),
            client: text("client_id")?,
            kind: map.get_str("type").map(str::to_owned),
            visibility: text("visibility")?,
            app: text("app_id")?,
            service: None,
        };
        if let Some(id) = map.get_str("service_id").or_else(|| map.get_str("id")) {
            query.name(id, own)?;
        }
        Ok(query)
    }

    /// Takes a service id apart that may say more than the name.
    fn name(&mut self, id: &str, own: &str) -> Result<(), ServiceError> {
        let parts = split(id)?;
        self.service = Some(checked(parts.service)?);
        if let Some(app) = parts.app {
            if self.app.as_deref().is_some_and(|known| known != app) {
                return Err(ServiceError::assertion(format!(
                    "App id mismatch: {} != {app}",
                    self.app.as_deref().unwrap_or_default()
                )));
            }
            self.app = Some(checked(app)?);
        }
        if let Some(client) = parts.client {
            self.client = Some(checked(client)?);
        }
        if let Some(workspace) = parts.workspace
            && self.workspace == own
        {
            self.workspace = checked(workspace)?;
        }
        Ok(())
    }

    fn matches(&self, record: &ServiceRecord) -> bool {
        let fits = |pattern: &Option<String>, text: &str| {
            pattern.as_ref().is_none_or(|pattern| glob(pattern, text))
        };
        fits(&self.client, &record.client)
            && fits(&self.service, &record.name)
            && fits(&self.app, &record.app)
            && fits(&self.kind, &record.kind)
            && fits(&self.visibility, record.visibility.name())
    }
}

/// Matches a pattern in which `*` stands for any text.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        if let Some(part) = last.replace(part)
            && !part.is_empty()
        {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
    }
    match last {
        None => rest.is_empty(),
        Some(end) => rest.ends_with(end),
    }
}

impl Directory {
    /// The services that a caller in workspace `own` may see.
    ///
    /// # Errors
    /// The texts of workspace.md 3.6.
    pub async fn list_services(
        &self,
        query: &Value,
        options: ListOptions,
        own: &str,
        user: &UserInfo,
    ) -> Result<Listing, ServiceError> {
        let query = Query::parse(query, own)?;
        check_unlisted(&query, options, own)?;
        let member = |workspace: &str| user.allows(workspace, Level::Read);
        let records = if query.workspace == "*" {
            let hidden = query
                .visibility
                .as_deref()
                .is_some_and(|v| v != "public" && v != "*");
            if hidden {
                return Err(ServiceError::assertion(
                    "Cannot list protected or unlisted services in all workspaces.",
                ));
            }
            let mut records = self.registry.list(own);
            records.extend(self.registry.public_elsewhere(own));
            records
        } else {
            self.registry.list(&query.workspace)
        };
        let visible = |record: &Arc<ServiceRecord>| {
            query.matches(record) && self.is_listed(record, own, member(&record.workspace), options)
        };
        let found: Vec<_> = records.into_iter().filter(visible).collect();
        let mut offered = Vec::new();
        if options.include_app_services && query.workspace != "*" && member(&query.workspace) {
            offered = self.app_services(&query, &found, options).await;
        }
        let registered = found.into_iter().map(|record| {
            let member = member(&record.workspace);
            (record, member)
        });
        Ok(Listing {
            registered: registered.collect(),
            offered,
        })
    }

    fn is_listed(
        &self,
        record: &ServiceRecord,
        own: &str,
        member: bool,
        options: ListOptions,
    ) -> bool {
        // Every client has one; outside its workspace it would only tell who is there (rule S6).
        if record.is_built_in() {
            return member || record.workspace == own;
        }
        match record.visibility {
            Visibility::Public => true,
            Visibility::Protected => member || record.authorized.iter().any(|ws| ws == own),
            Visibility::Unlisted => options.include_unlisted && member,
        }
    }

    /// Services that installed apps would offer if they ran.
    async fn app_services(
        &self,
        query: &Query,
        running: &[Arc<ServiceRecord>],
        options: ListOptions,
    ) -> Vec<Value> {
        let Some(apps) = self.apps() else {
            return Vec::new();
        };
        let up: HashSet<(&str, &str)> = running
            .iter()
            .map(|record| (record.name.as_str(), record.app.as_str()))
            .collect();
        apps.app_services(&query.workspace)
            .await
            .into_iter()
            .filter(|service| {
                let name = service_name(service);
                let app = service.get_str("app_id").unwrap_or("*");
                let fits = |pattern: &Option<String>, text: &str| {
                    pattern.as_ref().is_none_or(|pattern| glob(pattern, text))
                };
                fits(&query.service, name)
                    && fits(&query.app, app)
                    && fits(&query.kind, service.get_str("type").unwrap_or_default())
                    && !(options.prioritize_running && up.contains(&(name, app)))
            })
            .map(Value::Map)
            .collect()
    }
}

fn service_name(service: &Map) -> &str {
    let id = service.get_str("id").unwrap_or_default();
    split(id).map_or("", |parts| parts.service)
}

fn check_unlisted(query: &Query, options: ListOptions, own: &str) -> Result<(), ServiceError> {
    if !options.include_unlisted || query.workspace == own {
        return Ok(());
    }
    if query.workspace == "*" {
        return Err(ServiceError::permission(
            "Cannot include unlisted services when searching all workspaces.",
        ));
    }
    Err(ServiceError::permission(format!(
        "Cannot include unlisted services from workspace {}. Only services from your current \
         workspace ({own}) can include unlisted services.",
        query.workspace
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map;

    #[test]
    fn globs() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "acb", false),
            ("a*b*", "xaxb", false),
            ("*b*d", "abcd", true),
            ("abc", "abcd", false),
            ("", "", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_bare_word_is_a_workspace() {
        let query = Query::parse(&"svc".into(), "own").unwrap();
        assert_eq!((query.workspace.as_str(), query.service), ("svc", None));
        let query = Query::parse(&"cid:svc".into(), "own").unwrap();
        assert_eq!(query.workspace, "own");
        assert_eq!(query.client.as_deref(), Some("cid"));
        let query = Query::parse(&Value::Nil, "own").unwrap();
        assert_eq!(query.workspace, "own");
    }

    #[test]
    fn maps_are_checked() {
        let text = |map: Map| {
            Query::parse(&Value::Map(map), "own")
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            text(map! { "bogus" => 1 }),
            "ValueError: Invalid query keys: {'bogus'}"
        );
        assert!(text(map! { "id" => "a", "service_id" => "b" }).contains("Cannot specify both"));
        assert!(text(map! { "id" => "a@x", "app_id" => "y" }).contains("App id mismatch: y != x"));
        assert!(
            text(map! { "client_id" => "a b" }).contains("Invalid characters in query part: a b")
        );
        let query = Query::parse(&Value::Map(map! { "service_id" => "svc@*" }), "own").unwrap();
        assert_eq!(query.app.as_deref(), Some("*"));
    }
}
