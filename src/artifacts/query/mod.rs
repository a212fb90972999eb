//! Lists and searches of artifacts (artifacts.md 6), over borrowed views of records: no manifest is
//! copied, and only the page that is wanted is sorted.

mod filter;
mod order;
mod text;

use serde_json::{Map, Value as Json};

use filter::Condition;
use order::{Order, Place};

/// What a query looks at in a record.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    pub id: &'a str,
    pub alias: &'a str,
    pub workspace: &'a str,
    pub kind: &'a str,
    pub created_by: &'a str,
    /// Id of the collection it is in.
    pub parent_id: Option<&'a str>,
    pub manifest: Option<&'a Map<String, Json>>,
    pub config: &'a Map<String, Json>,
    /// Seconds since 1970.
    pub created_at: f64,
    /// Seconds since 1970.
    pub last_modified: f64,
    pub download_count: f64,
    pub view_count: f64,
    /// Something waits to be committed.
    pub staged: bool,
    /// There is at least one version.
    pub committed: bool,
}

/// Why a query is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// A `ValueError` to clients.
    #[error("{0}")]
    Invalid(String),
    /// An `AssertionError` to clients.
    #[error("{0}")]
    Assertion(&'static str),
}

/// How keywords and filters go together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    All,
    Any,
}

/// Which records are wanted by their state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Those with a version.
    #[default]
    Committed,
    /// Those with something that waits to be committed.
    Staged,
    Both,
}

/// The `parent_id` of the filters, as clients name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Parent {
    #[default]
    Any,
    /// Only what is in no collection.
    None,
    /// Only what is in the collection of this id.
    Is(String),
}

/// Only what is addressed to somebody, whatever else is asked for.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// Key in the manifest.
    pub field: String,
    /// Email of the caller; those without one see nothing.
    pub email: Option<String>,
}

impl Recipient {
    /// Whether a record is addressed to the one who asks. The comparison is exact: an email with a
    /// `*` in it is no pattern.
    pub fn gets(&self, row: &Row) -> bool {
        let named = row.manifest.and_then(|m| filter::at(m, &self.field));
        match (&self.email, named) {
            (Some(email), Some(Json::String(named))) => !email.is_empty() && email == named,
            _ => false,
        }
    }
}

/// The arguments of `list` and `search`.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub keywords: Vec<String>,
    pub filters: Map<String, Json>,
    pub mode: Mode,
    pub stage: Stage,
    pub order_by: Option<String>,
    /// Matches that are left out first.
    pub offset: usize,
    /// The most that are returned.
    pub limit: usize,
    pub recipient: Option<Recipient>,
}

/// A checked query.
#[derive(Debug)]
pub struct Query {
    /// Lower case.
    keywords: Vec<String>,
    conditions: Vec<Condition>,
    mode: Mode,
    stage: Stage,
    parent: Parent,
    recipient: Option<Recipient>,
    order: Order,
    offset: usize,
    limit: usize,
}

/// The page that was asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Found<T> {
    pub items: Vec<T>,
    /// Matches on all pages.
    pub total: usize,
}

impl Query {
    /// Checks the arguments. `resolve` turns the name of a collection in the filters into its id.
    ///
    /// # Errors
    /// A filter or the order is not one, or `resolve` failed.
    pub fn new<E: From<QueryError>>(
        request: Request,
        resolve: impl FnOnce(&str) -> Result<String, E>,
    ) -> Result<Query, E> {
        let mut filters = request.filters;
        if let Some(recipient) = &request.recipient
            && let Some(Json::Object(manifest)) = filters.get_mut("manifest")
        {
            manifest.remove(&recipient.field);
        }
        let parent = match filters.remove("parent_id") {
            None => Parent::Any,
            Some(Json::Null) => Parent::None,
            Some(Json::String(name)) => Parent::Is(resolve(&name)?),
            Some(_) => return Err(invalid("The filter parent_id must be a text or null").into()),
        };
        let stage = filter::stage(filters.remove("version"), request.stage)?;
        Ok(Query {
            keywords: request.keywords.iter().map(|k| k.to_lowercase()).collect(),
            conditions: filter::conditions(&filters)?,
            mode: request.mode,
            stage,
            parent,
            recipient: request.recipient,
            order: Order::parse(request.order_by.as_deref())?,
            offset: request.offset,
            limit: request.limit,
        })
    }

    /// The wanted page of the records that match. `row` gives the view of a record.
    pub fn run<'a, T: Copy>(
        &self,
        records: impl IntoIterator<Item = T>,
        row: impl Fn(T) -> Row<'a>,
    ) -> Found<T> {
        let mut scratch = String::new();
        let mut matches: Vec<(Place<'a>, &'a str, T)> = Vec::new();
        for record in records {
            let view = row(record);
            if self.matches(&view, &mut scratch) {
                matches.push((self.order.place(&view), view.id, record));
            }
        }
        let total = matches.len();
        let end = self.offset.saturating_add(self.limit).min(total);
        let start = self.offset.min(end);
        let by = |a: &(Place, &str, T), b: &(Place, &str, T)| {
            self.order.compare(&a.0, &b.0).then_with(|| a.1.cmp(b.1))
        };
        if end < total {
            matches.select_nth_unstable_by(end, by);
            matches.truncate(end);
        }
        matches.sort_unstable_by(by);
        let items = matches.drain(start..).map(|(_, _, item)| item).collect();
        Found { items, total }
    }

    fn matches(&self, row: &Row, scratch: &mut String) -> bool {
        let in_stage = match self.stage {
            Stage::Committed => row.committed,
            Stage::Staged => row.staged,
            Stage::Both => true,
        };
        let in_parent = match &self.parent {
            Parent::Any => true,
            Parent::None => row.parent_id.is_none(),
            Parent::Is(id) => row.parent_id == Some(id),
        };
        in_stage && in_parent && self.is_addressed(row) && self.is_wanted(row, scratch)
    }

    fn is_addressed(&self, row: &Row) -> bool {
        let recipient = self.recipient.as_ref();
        recipient.is_none_or(|recipient| recipient.gets(row))
    }

    fn is_wanted(&self, row: &Row, scratch: &mut String) -> bool {
        if self.conditions.is_empty() && self.keywords.is_empty() {
            return true;
        }
        let mut conditions = self.conditions.iter();
        match self.mode {
            Mode::All => {
                conditions.all(|condition| condition.holds(row))
                    && (self.keywords.is_empty() || {
                        text::render(row.manifest, scratch);
                        self.keywords.iter().all(|k| scratch.contains(k.as_str()))
                    })
            }
            Mode::Any => {
                conditions.any(|condition| condition.holds(row))
                    || (!self.keywords.is_empty() && {
                        text::render(row.manifest, scratch);
                        self.keywords.iter().any(|k| scratch.contains(k.as_str()))
                    })
            }
        }
    }
}

/// Only the fields of a shown artifact that its collection lists; all without such a list. Secrets
/// are never among them.
pub fn project(artifact: Map<String, Json>, list_fields: Option<&[String]>) -> Map<String, Json> {
    let Some(fields) = list_fields.filter(|fields| !fields.is_empty()) else {
        return artifact;
    };
    let listed = |name: &String| name != "secrets" && fields.contains(name);
    let kept = artifact.into_iter().filter(|(name, _)| listed(name));
    kept.collect()
}

fn invalid(text: impl Into<String>) -> QueryError {
    QueryError::Invalid(text.into())
}

#[cfg(test)]
mod tests;
