//! The order of results.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value as Json;

use super::filter::at;
use super::text::Plain;
use super::{QueryError, Row, invalid};

#[derive(Debug, PartialEq, Eq)]
enum By {
    Id,
    Views,
    Downloads,
    Modified,
    Created,
    Manifest(String),
    Config(String),
}

#[derive(Debug)]
pub(super) struct Order {
    by: By,
    descending: bool,
}

/// Where a record stands.
#[derive(Debug)]
pub(super) enum Place<'a> {
    Number(f64),
    Text(Cow<'a, str>),
    Missing,
}

impl Order {
    /// Reads `field`, `field<`, `field>` or `-field`. Unknown fields mean the id, as elsewhere.
    pub fn parse(text: Option<&str>) -> Result<Order, QueryError> {
        let text = text.unwrap_or_default().trim();
        let (text, minus) = match text.strip_prefix('-') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let (field, descending) = match text.find(['<', '>']) {
            Some(end) => (&text[..end], text[end..].starts_with('>')),
            None => (text, minus),
        };
        let by = match field.split_once('.') {
            Some(("manifest", key)) => By::Manifest(checked(field, key)?),
            Some(("config", key)) => By::Config(checked(field, key)?),
            _ => match field {
                "view_count" => By::Views,
                "download_count" => By::Downloads,
                "last_modified" => By::Modified,
                "created_at" => By::Created,
                _ => By::Id,
            },
        };
        Ok(Order { by, descending })
    }

    pub fn place<'a>(&self, row: &Row<'a>) -> Place<'a> {
        let json = |value: Option<&'a Json>| match value {
            None | Some(Json::Null) => Place::Missing,
            Some(Json::String(text)) => Place::Text(Cow::Borrowed(text)),
            Some(Json::Bool(set)) => Place::Number(f64::from(u8::from(*set))),
            Some(Json::Number(number)) => number.as_f64().map_or(Place::Missing, Place::Number),
            Some(other) => Place::Text(Cow::Owned(Plain(other).to_string())),
        };
        match &self.by {
            By::Id => Place::Text(Cow::Borrowed(row.id)),
            By::Views => Place::Number(row.view_count),
            By::Downloads => Place::Number(row.download_count),
            By::Modified => Place::Number(row.last_modified),
            By::Created => Place::Number(row.created_at),
            By::Manifest(key) => json(row.manifest.and_then(|manifest| at(manifest, key))),
            By::Config(key) => json(at(row.config, key)),
        }
    }

    /// Numbers before texts before what is missing, in both directions.
    pub fn compare(&self, a: &Place, b: &Place) -> Ordering {
        let within = match (a, b) {
            (Place::Number(a), Place::Number(b)) => a.total_cmp(b),
            (Place::Text(a), Place::Text(b)) => a.cmp(b),
            _ => return rank(a).cmp(&rank(b)),
        };
        if self.descending {
            within.reverse()
        } else {
            within
        }
    }
}

fn rank(place: &Place) -> u8 {
    match place {
        Place::Number(_) => 0,
        Place::Text(_) => 1,
        Place::Missing => 2,
    }
}

fn checked(field: &str, key: &str) -> Result<String, QueryError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if key.is_empty() || !key.chars().all(fits) {
        return Err(invalid(format!(
            "Invalid order_by field '{field}': a key has only letters, digits, '_', '.' and '-'."
        )));
    }
    Ok(key.to_owned())
}
