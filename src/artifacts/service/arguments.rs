//! Arguments as HTTP queries bring them: numbers for names, words for truth.

use crate::artifacts::objects::{Part, clean};
use crate::artifacts::schema::to_json;
use crate::artifacts::store::Fields;
use crate::artifacts::transfer::{Base, MAX_EXPIRY_S, UrlOptions};
use crate::peer::{Arguments, ServiceError};
use crate::wire::Value;

pub(super) fn text(args: &Arguments, name: &str) -> Result<Option<String>, ServiceError> {
    as_text(args.get(name), name)
}

fn as_text(value: &Value, name: &str) -> Result<Option<String>, ServiceError> {
    Ok(match value {
        Value::Nil => None,
        Value::Str(text) => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        Value::UInt(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => {
            return Err(ServiceError::type_(format!(
                "argument '{name}' must be a string"
            )));
        }
    })
}

pub(super) fn flag(args: &Arguments, name: &str) -> Result<bool, ServiceError> {
    match args.get(name) {
        Value::Nil => Ok(false),
        Value::Bool(flag) => Ok(*flag),
        value => match value.as_str() {
            Some("true" | "True" | "1") => Ok(true),
            Some("false" | "False" | "0" | "") => Ok(false),
            _ => Err(ServiceError::type_(format!(
                "argument '{name}' must be a boolean"
            ))),
        },
    }
}

pub(super) fn object(args: &Arguments, name: &str) -> Result<Option<Fields>, ServiceError> {
    let given = args.get(name);
    let parsed = given
        .as_str()
        .and_then(|text| serde_json::from_str(text).ok());
    match parsed.unwrap_or_else(|| to_json(given)) {
        serde_json::Value::Null => Ok(None),
        serde_json::Value::Object(fields) => Ok(Some(fields)),
        _ => Err(ServiceError::value(format!("{name} must be an object"))),
    }
}

/// The version that is meant: `stage` when that is asked for.
pub(super) fn version(args: &Arguments) -> Result<Option<String>, ServiceError> {
    match flag(args, "stage")? {
        true => Ok(Some("stage".to_owned())),
        false => text(args, "version"),
    }
}

/// Paths, and whether they came as a list. Each stands as given and clean.
pub(super) fn paths(args: &Arguments) -> Result<(Vec<(String, String)>, bool), ServiceError> {
    let given = args.get("file_path");
    let list = given.as_array();
    let one = std::slice::from_ref(given);
    let values = list.unwrap_or(one);
    if values.is_empty() {
        return Err(ServiceError::value(
            "file_path list must contain at least one path",
        ));
    }
    let mut paths = Vec::with_capacity(values.len());
    for value in values {
        let path = as_text(value, "file_path")?.unwrap_or_default();
        let cleaned = clean(&path)?;
        paths.push((path, cleaned));
    }
    Ok((paths, list.is_some()))
}

pub(super) fn weights(args: &Arguments, count: usize) -> Result<Vec<f64>, ServiceError> {
    let wrong =
        || ServiceError::value("Download weight must be a non-negative number, one for each file.");
    let weight = |value: &Value| {
        let weight = value
            .as_f64()
            .or_else(|| value.as_i64().map(|weight| weight as f64));
        weight
            .filter(|weight| *weight >= 0.0 && weight.is_finite())
            .ok_or_else(wrong)
    };
    match args.get("download_weight") {
        Value::Nil => Ok(vec![0.0; count]),
        Value::Array(list) if list.len() == count => list.iter().map(weight).collect(),
        Value::Array(_) => Err(wrong()),
        value => Ok(vec![weight(value)?; count]),
    }
}

pub(super) fn options(args: &Arguments) -> Result<UrlOptions, ServiceError> {
    let expires_in = args.opt_f64("expires_in")?.unwrap_or(3600.0);
    if !(expires_in > 0.0 && expires_in <= MAX_EXPIRY_S) {
        let text = format!("expires_in must be above 0 and at most {MAX_EXPIRY_S} seconds");
        return Err(ServiceError::value(text));
    }
    let base = match args.get("use_local_url").as_str() {
        Some(base) if base.contains("://") => Base::Given(base.to_owned()),
        _ if flag(args, "use_local_url")? => Base::Local,
        _ => Base::Public,
    };
    let use_proxy = match args.get("use_proxy") {
        Value::Nil => None,
        _ => Some(flag(args, "use_proxy")?),
    };
    Ok(UrlOptions {
        expires_in,
        use_proxy,
        base,
    })
}

pub(super) fn parts(args: &Arguments) -> Result<Vec<Part>, ServiceError> {
    let wrong = || ServiceError::value("each part needs a part_number and an etag");
    let list = args.get("parts").as_array().ok_or_else(wrong)?;
    let part = |part: &Value| {
        Some(Part {
            number: u32::try_from(part.get("part_number")?.as_u64()?).ok()?,
            etag: part.get("etag")?.as_str()?.to_owned(),
        })
    };
    list.iter()
        .map(part)
        .collect::<Option<_>>()
        .ok_or_else(wrong)
}
