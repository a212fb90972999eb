//! Filters: what must hold of a record.

use serde_json::{Map, Value as Json};

use super::text::{Pattern, Plain};
use super::{QueryError, Row, Stage, invalid};

/// How deep `$and` and `$or` may go.
const MAX_DEPTH: usize = 16;

#[derive(Debug)]
pub(super) enum Field {
    Alias,
    Kind,
    Workspace,
    CreatedBy,
}

#[derive(Debug)]
pub(super) enum Measure {
    Created,
    Modified,
    Downloads,
    Views,
}

#[derive(Debug)]
pub(super) enum Condition {
    Text(Field, Json),
    Between(Measure, Option<f64>, Option<f64>),
    Manifest(String, Test),
    Permission(String, Json),
    All(Vec<Condition>),
    Any(Vec<Condition>),
}

#[derive(Debug)]
pub(super) enum Test {
    Equals(Json),
    Like(Pattern),
    AnyOf(Vec<Json>),
    AllOf(Vec<Json>),
}

/// The state that the `version` of the filters means, along with the `stage` argument.
pub(super) fn stage(version: Option<Json>, stage: Stage) -> Result<Stage, QueryError> {
    const BOTH: &str = "Stage parameter cannot be used with version filter.";
    match version.as_ref().map(Json::as_str) {
        None => Ok(stage),
        Some(Some("stage")) if stage == Stage::Both => Err(QueryError::Assertion(BOTH)),
        Some(Some("stage")) => Ok(Stage::Staged),
        Some(Some("latest" | "committed")) if stage == Stage::Staged => {
            Err(QueryError::Assertion(BOTH))
        }
        Some(Some("latest" | "committed")) => Ok(Stage::Committed),
        Some(_) => Err(QueryError::Assertion(
            "Invalid version value, it should be 'stage', 'latest' or 'committed'.",
        )),
    }
}

pub(super) fn conditions(filters: &Map<String, Json>) -> Result<Vec<Condition>, QueryError> {
    let mut conditions = Vec::new();
    for (key, value) in filters {
        let text = |field| Condition::Text(field, value.clone());
        let condition = match (key.as_str(), value) {
            ("type", _) => text(Field::Kind),
            ("alias", _) => text(Field::Alias),
            ("workspace", _) => text(Field::Workspace),
            ("created_by", _) => text(Field::CreatedBy),
            ("created_at", _) => between(Measure::Created, key, value)?,
            ("last_modified", _) => between(Measure::Modified, key, value)?,
            ("download_count", _) => between(Measure::Downloads, key, value)?,
            ("view_count", _) => between(Measure::Views, key, value)?,
            ("manifest", Json::Object(manifest)) => {
                if manifest.is_empty() {
                    continue;
                }
                Condition::All(of_manifest(manifest, 0)?)
            }
            ("config", Json::Object(config)) => {
                if let Some(Json::Object(wanted)) = config.get("permissions") {
                    let one = |(who, what): (&String, &Json)| {
                        Condition::Permission(who.clone(), what.clone())
                    };
                    conditions.extend(wanted.iter().map(one));
                }
                continue;
            }
            _ => return Err(invalid(format!("Invalid filter key: {key}"))),
        };
        conditions.push(condition);
    }
    Ok(conditions)
}

fn between(measure: Measure, key: &str, value: &Json) -> Result<Condition, QueryError> {
    let wrong = || invalid(format!("The filter {key} must be a number or [min, max]"));
    let bound = |value: &Json| match value {
        Json::Null => Ok(None),
        other => other.as_f64().map(Some).ok_or_else(wrong),
    };
    match value {
        Json::Array(bounds) => match bounds.as_slice() {
            [min, max] => Ok(Condition::Between(measure, bound(min)?, bound(max)?)),
            _ => Err(wrong()),
        },
        Json::Null => Err(wrong()),
        min => Ok(Condition::Between(measure, bound(min)?, None)),
    }
}

fn of_manifest(wanted: &Map<String, Json>, depth: usize) -> Result<Vec<Condition>, QueryError> {
    if depth > MAX_DEPTH {
        return Err(invalid("The filters are nested too deeply"));
    }
    let mut conditions = Vec::new();
    for (key, value) in wanted {
        let test = match value {
            _ if key == "$and" => {
                conditions.push(Condition::All(branches(key, value, depth)?));
                continue;
            }
            _ if key == "$or" => {
                conditions.push(Condition::Any(branches(key, value, depth)?));
                continue;
            }
            Json::Object(operators) => {
                for (operator, operand) in operators {
                    let test = operation(operator, operand)?;
                    conditions.push(Condition::Manifest(key.clone(), test));
                }
                continue;
            }
            Json::Array(all) => Test::AllOf(all.clone()),
            Json::String(text) if text.contains('*') => Test::Like(Pattern::new(text)),
            other => Test::Equals(other.clone()),
        };
        conditions.push(Condition::Manifest(key.clone(), test));
    }
    Ok(conditions)
}

fn branches(key: &str, value: &Json, depth: usize) -> Result<Vec<Condition>, QueryError> {
    let wrong = || invalid(format!("{key} must be a list of filters"));
    let branch = |one: &Json| {
        let filters = one.as_object().ok_or_else(wrong)?;
        Ok(Condition::All(of_manifest(filters, depth + 1)?))
    };
    let list = value.as_array().ok_or_else(wrong)?;
    list.iter().map(branch).collect()
}

fn operation(operator: &str, operand: &Json) -> Result<Test, QueryError> {
    match (operator, operand) {
        ("$like", Json::String(text)) => Ok(Test::Like(Pattern::new(text))),
        ("$in", Json::Array(any)) => Ok(Test::AnyOf(any.clone())),
        ("$all", Json::Array(all)) => Ok(Test::AllOf(all.clone())),
        ("$like" | "$in" | "$all", _) => Err(invalid(format!("Invalid value of {operator}"))),
        _ => Err(invalid(format!("Invalid filter operator: {operator}"))),
    }
}

impl Condition {
    pub fn holds(&self, row: &Row) -> bool {
        match self {
            Condition::Text(field, wanted) => {
                let is = match field {
                    Field::Alias => row.alias,
                    Field::Kind => row.kind,
                    Field::Workspace => row.workspace,
                    Field::CreatedBy => row.created_by,
                };
                wanted.as_str() == Some(is)
            }
            Condition::Between(measure, min, max) => {
                let is = match measure {
                    Measure::Created => row.created_at,
                    Measure::Modified => row.last_modified,
                    Measure::Downloads => row.download_count,
                    Measure::Views => row.view_count,
                };
                min.is_none_or(|min| is >= min) && max.is_none_or(|max| is <= max)
            }
            Condition::Manifest(key, test) => {
                let value = row.manifest.and_then(|manifest| at(manifest, key));
                value.is_some_and(|value| test.holds(value))
            }
            Condition::Permission(who, what) => {
                let given = row.config.get("permissions").and_then(|all| all.get(who));
                given.is_some_and(|given| same(given, what))
            }
            Condition::All(list) => list.iter().all(|condition| condition.holds(row)),
            // Nothing to choose from demands nothing.
            Condition::Any(list) => {
                list.is_empty() || list.iter().any(|condition| condition.holds(row))
            }
        }
    }
}

impl Test {
    fn holds(&self, value: &Json) -> bool {
        let has = |wanted: &Json| match value {
            Json::Array(items) => items.iter().any(|item| same(item, wanted)),
            single => same(single, wanted),
        };
        match self {
            Test::Equals(wanted) => same(value, wanted),
            Test::AnyOf(any) => any.iter().any(has),
            Test::AllOf(all) => all.iter().all(has),
            Test::Like(pattern) => match value {
                Json::Null => false,
                Json::String(text) => pattern.fits(text),
                other => pattern.fits(&Plain(other).to_string()),
            },
        }
    }
}

/// Whether two values are the same to a database: numbers by value, null like nothing.
fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Null, _) | (_, Json::Null) => false,
        (Json::Number(a), Json::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

/// What lies at a key, or along a dotted path. A key that holds the dots itself goes first.
pub(super) fn at<'a>(fields: &'a Map<String, Json>, path: &str) -> Option<&'a Json> {
    if let Some(value) = fields.get(path) {
        return Some(value);
    }
    let (first, rest) = path.split_once('.')?;
    at(fields.get(first)?.as_object()?, rest)
}
