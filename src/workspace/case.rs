//! Renaming the members of a service object (`case_conversion` of `get_service`).

use crate::peer::ServiceError;
use crate::wire::{Map, Value};

/// Renames keys, also of nested maps, but leaves the inside of tagged values alone.
///
/// # Errors
/// An unknown conversion.
pub fn convert_keys(service: Map, case: &str) -> Result<Map, ServiceError> {
    let names: fn(&str) -> Vec<String> = match case {
        "camel" => |key| vec![to_camel(key)],
        "snake" => |key| vec![to_snake(key)],
        "camel+snake" | "snake+camel" => |key| {
            let (camel, snake) = (to_camel(key), to_snake(key));
            if camel == snake {
                vec![camel]
            } else {
                vec![camel, snake]
            }
        },
        other => {
            return Err(ServiceError::value(format!(
                "Invalid case_conversion: {other}, it must be 'camel', 'snake' or 'camel+snake'"
            )));
        }
    };
    Ok(rename(service, names))
}

fn rename(map: Map, names: fn(&str) -> Vec<String>) -> Map {
    let mut out = Map::new();
    for (key, value) in map {
        let value = match value {
            Value::Map(inner) if !inner.contains_key("_rtype") => Value::Map(rename(inner, names)),
            other => other,
        };
        for name in names(&key) {
            out.insert(name, value.clone());
        }
    }
    out
}

/// As the clients convert: `hello_world` and `HelloWorld` become `helloWorld`.
fn to_camel(key: &str) -> String {
    // Leading underscores mark private names; they stay.
    let body = key.trim_start_matches('_');
    if !body.contains('_') {
        return lower_first(key);
    }
    let mut out = key[..key.len() - body.len()].to_owned();
    for (at, part) in body.split('_').enumerate() {
        let mut chars = part.chars();
        match chars.next() {
            Some(first) if at > 0 => {
                out.extend(first.to_uppercase());
                out.push_str(chars.as_str());
            }
            _ => out.push_str(part),
        }
    }
    out
}

fn lower_first(key: &str) -> String {
    let mut chars = key.chars();
    let first = chars.next();
    first
        .into_iter()
        .flat_map(char::to_lowercase)
        .chain(chars)
        .collect()
}

fn to_snake(key: &str) -> String {
    let mut out = String::with_capacity(key.len() + 4);
    for c in key.chars() {
        if c.is_uppercase() {
            if !out.is_empty() && !out.ends_with('_') {
                out.push('_');
            }
            out.extend(c.to_lowercase());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map;

    #[test]
    fn names() {
        assert_eq!(to_camel("get_service_info"), "getServiceInfo");
        assert_eq!(to_camel("_rintf_id"), "_rintfId");
        assert_eq!(to_camel("HelloWorld"), "helloWorld");
        assert_eq!(to_camel("_private"), "_private");
        assert_eq!(to_camel(""), "");
        assert_eq!(to_snake("HelloWorld"), "hello_world");
        assert_eq!(to_snake("getServiceInfo"), "get_service_info");
    }

    #[test]
    fn tagged_values_keep_their_keys() {
        let service = map! {
            "do_it" => map! { "_rtype" => "method", "_rmethod" => "x" },
            "a_b" => map! { "c_d" => 1 },
        };
        let camel = convert_keys(service.clone(), "camel").unwrap();
        assert!(camel.get("doIt").unwrap().get("_rmethod").is_some());
        assert!(camel.get("aB").unwrap().get("cD").is_some());
        let both = convert_keys(service.clone(), "camel+snake").unwrap();
        assert!(both.contains_key("doIt") && both.contains_key("do_it"));
        assert!(convert_keys(service, "kebab").is_err());
    }
}
