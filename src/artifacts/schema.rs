//! What manifests may look like: the fields that everybody reads, and the schema of a collection
//! (artifacts.md 2).

use jsonschema::Draft;
use jsonschema::error::ValidationErrorKind;
use serde_json::{Map, Value as Json};

use crate::wire::Value;

type Fields = Map<String, Json>;

/// Most findings that an error names.
const NAMED: usize = 5;
/// Longest finding in characters.
const FINDING: usize = 300;

/// Why a manifest or a schema is refused. A `ValueError` to clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// A field of the manifest has another type than its readers expect.
    #[error("the manifest's field '{field}' must be {expected}")]
    Field {
        field: &'static str,
        expected: &'static str,
    },
    /// The schema of a collection is none, or refers to one elsewhere.
    #[error("collection_schema is no usable JSON schema: {0}")]
    Schema(String),
    /// The manifest is not what its collection asks for.
    #[error("ValidationError: {0}")]
    Manifest(String),
}

/// What a field of a manifest holds.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Object,
    Texts,
    Objects,
    /// Objects whose values are texts, such as authors.
    Persons,
    /// An object whose values are lists.
    Lists,
}

/// The fields that are checked; all others may be anything, and each of these may be null.
const FIELDS: &[(&str, Kind)] = &[
    ("type", Kind::Text),
    ("format_version", Kind::Text),
    ("name", Kind::Text),
    ("id", Kind::Text),
    ("description", Kind::Text),
    ("documentation", Kind::Text),
    ("version", Kind::Text),
    ("license", Kind::Text),
    ("git_repo", Kind::Text),
    ("source", Kind::Text),
    ("tags", Kind::Texts),
    ("covers", Kind::Texts),
    ("badges", Kind::Texts),
    ("links", Kind::Texts),
    ("authors", Kind::Persons),
    ("maintainers", Kind::Persons),
    ("files", Kind::Objects),
    ("attachments", Kind::Lists),
    ("config", Kind::Object),
];

impl Kind {
    fn holds(self, value: &Json) -> bool {
        let all = |test: fn(&Json) -> bool| value.as_array().is_some_and(|v| v.iter().all(test));
        let person = |one: &Json| {
            let fields = one.as_object();
            fields.is_some_and(|fields| fields.values().all(Json::is_string))
        };
        match self {
            Kind::Text => value.is_string(),
            Kind::Object => value.is_object(),
            Kind::Texts => all(Json::is_string),
            Kind::Objects => all(Json::is_object),
            Kind::Persons => all(person),
            Kind::Lists => {
                let fields = value.as_object();
                fields.is_some_and(|fields| fields.values().all(Json::is_array))
            }
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Kind::Text => "a text",
            Kind::Object => "an object",
            Kind::Texts => "a list of texts",
            Kind::Objects => "a list of objects",
            Kind::Persons => "a list of objects whose values are texts",
            Kind::Lists => "an object of lists",
        }
    }
}

/// Checks the well-known fields of a manifest; only those of `generic` artifacts and collections
/// have rules.
///
/// # Errors
/// A field has the wrong type, or the schema in a collection's manifest is none.
pub fn check_manifest(kind: &str, manifest: &Fields) -> Result<(), SchemaError> {
    if !matches!(kind, "generic" | "collection") {
        return Ok(());
    }
    for (field, holds) in FIELDS {
        let given = manifest.get(*field).filter(|given| !given.is_null());
        if given.is_some_and(|given| !holds.holds(given)) {
            let expected = holds.expected();
            return Err(SchemaError::Field { field, expected });
        }
    }
    match kind {
        "collection" => check_schema(manifest),
        _ => Ok(()),
    }
}

/// Checks that the `collection_schema` of a collection's configuration, if there is one, can be
/// used: better now than when the first child is committed.
///
/// # Errors
/// It is no JSON schema, or refers to one elsewhere.
pub fn check_schema(fields: &Fields) -> Result<(), SchemaError> {
    match fields.get("collection_schema") {
        None | Some(Json::Null) => Ok(()),
        Some(schema) => compiled(schema).map(|_| ()),
    }
}

/// Checks a manifest against the `collection_schema` in the configuration of its collection.
///
/// # Errors
/// It does not fit, or the schema is none.
pub fn check_child(config: &Fields, manifest: &Fields) -> Result<(), SchemaError> {
    let schema = match config.get("collection_schema") {
        None | Some(Json::Null) => return Ok(()),
        Some(schema) => schema,
    };
    let manifest = Json::Object(manifest.clone());
    let schema = compiled(schema)?;
    let mut findings = schema.iter_errors(&manifest);
    let found: Vec<String> = findings
        .by_ref()
        .take(NAMED)
        .map(|finding| {
            let at = finding.instance_path().to_string();
            let text = match finding.kind() {
                // Clients look for these words.
                ValidationErrorKind::Required { property } => {
                    let name = property.as_str().unwrap_or_default();
                    format!("'{name}' is a required property")
                }
                _ => short(&finding.to_string()),
            };
            match at.is_empty() {
                true => text,
                false => format!("{text} (at {at})"),
            }
        })
        .collect();
    if found.is_empty() {
        return Ok(());
    }
    let more = match findings.next() {
        Some(_) => "; and more",
        None => "",
    };
    Err(SchemaError::Manifest(format!("{}{more}", found.join("; "))))
}

/// Schemas that name no draft are of draft 7, as in the reference. References to schemas elsewhere
/// are not followed.
fn compiled(schema: &Json) -> Result<jsonschema::Validator, SchemaError> {
    let mut options = jsonschema::options();
    if schema.get("$schema").is_none() {
        options = options.with_draft(Draft::Draft7);
    }
    let built = options.build(schema);
    built.map_err(|error| SchemaError::Schema(short(&error.to_string())))
}

/// A finding quotes what it found, which may be a whole manifest.
fn short(text: &str) -> String {
    match text.char_indices().nth(FINDING) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// A value as JSON, with `"NaN"`, `"Infinity"` and `"-Infinity"` for the floats that JSON lacks,
/// as manifests and configurations are kept.
pub fn to_json(value: &Value) -> Json {
    match value {
        Value::F64(number) if number.is_nan() => Json::from("NaN"),
        Value::F64(number) if number.is_infinite() => Json::from(match number.is_sign_positive() {
            true => "Infinity",
            false => "-Infinity",
        }),
        Value::Array(items) => items.iter().map(to_json).collect(),
        Value::Map(map) => map.iter().map(|(key, v)| (key, to_json(v))).collect(),
        other => other.to_json(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::map;

    fn fields(json: Json) -> Fields {
        json.as_object().unwrap().clone()
    }

    #[test]
    fn well_known_fields_have_types() {
        let good = fields(json!({
            "name": "x", "tags": ["a"], "covers": null, "authors": [{ "name": "Ann" }],
            "attachments": { "files": [1] }, "anything": { "else": 1 }, "config": {},
        }));
        for kind in ["generic", "collection", "model"] {
            assert_eq!(check_manifest(kind, &good), Ok(()));
        }
        for (bad, field) in [
            (json!({ "name": 1 }), "name"),
            (json!({ "tags": "a" }), "tags"),
            (json!({ "tags": [1] }), "tags"),
            (json!({ "authors": [{ "name": 1 }] }), "authors"),
            (json!({ "files": ["a"] }), "files"),
            (json!({ "attachments": { "a": 1 } }), "attachments"),
            (json!({ "config": [] }), "config"),
        ] {
            let bad = fields(bad);
            let error = check_manifest("generic", &bad).unwrap_err();
            assert!(matches!(error, SchemaError::Field { field: f, .. } if f == field));
            assert_eq!(check_manifest("application", &bad), Ok(()));
        }
        let bad = fields(json!({ "collection_schema": { "type": "nonsense" } }));
        assert!(check_manifest("collection", &bad).is_err());
        assert!(check_manifest("generic", &bad).is_ok());
    }

    #[test]
    fn children_fit_the_schema_of_their_collection() {
        let config = fields(json!({ "collection_schema": {
            "type": "object",
            "properties": { "name": { "type": "string" }, "size": { "minimum": 1 } },
            "required": ["name"],
        }}));
        assert_eq!(check_schema(&config), Ok(()));
        assert_eq!(
            check_child(&config, &fields(json!({ "name": "a" }))),
            Ok(())
        );
        assert_eq!(check_child(&Fields::new(), &Fields::new()), Ok(()));
        let bad = check_child(&config, &fields(json!({ "size": 0 })));
        let text = bad.unwrap_err().to_string();
        assert!(text.starts_with("ValidationError: "), "{text}");
        assert!(text.contains("name") && text.contains("/size"), "{text}");
    }

    #[test]
    fn schemas_elsewhere_are_not_fetched() {
        for reference in ["http://127.0.0.1:1/schema.json", "file:///etc/hostname"] {
            let config = fields(json!({ "collection_schema": { "$ref": reference } }));
            let error = check_schema(&config).unwrap_err();
            assert!(matches!(error, SchemaError::Schema(_)), "{error}");
        }
    }

    #[test]
    fn errors_stay_short() {
        let config = fields(json!({ "collection_schema": { "maxProperties": 1 } }));
        let big = (0..5000)
            .map(|n| (n.to_string(), json!("x".repeat(20))))
            .collect();
        assert!(check_child(&config, &big).unwrap_err().to_string().len() < 2000);
    }

    #[test]
    fn odd_floats_become_texts() {
        let odd = Value::from(map! { "a" => f64::NAN, "b" => f64::INFINITY, "c" => 1.5 });
        let odd = Value::Array(vec![odd, Value::F64(f64::NEG_INFINITY)]);
        let json = json!([{ "a": "NaN", "b": "Infinity", "c": 1.5 }, "-Infinity"]);
        assert_eq!(to_json(&odd), json);
    }
}
