//! Values of the page, as the DevTools describe them, as text.

use chromiumoxide::cdp::js_protocol::runtime::{
    ExceptionDetails, ObjectPreview, ObjectPreviewSubtype, PropertyPreview, PropertyPreviewType,
    RemoteObject, RemoteObjectSubtype, RemoteObjectType,
};

/// The arguments of one console call.
pub(crate) fn arguments(values: &[RemoteObject]) -> String {
    values.iter().map(value).collect::<Vec<_>>().join(" ")
}

/// One value: strings as they are, everything else as the console would show it.
pub(crate) fn value(object: &RemoteObject) -> String {
    if let Some(value) = &object.value {
        return value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
    }
    if let Some(special) = &object.unserializable_value {
        return special.inner().clone();
    }
    let description = object.description.clone().unwrap_or_default();
    match (&object.preview, &object.subtype) {
        _ if object.r#type == RemoteObjectType::Undefined => "undefined".to_owned(),
        (_, Some(RemoteObjectSubtype::Null)) => "null".to_owned(),
        // The description of an error holds its stack.
        (_, Some(RemoteObjectSubtype::Error)) => description,
        (Some(preview), _) => self::preview(preview),
        _ => description,
    }
}

fn preview(preview: &ObjectPreview) -> String {
    let list = preview.subtype == Some(ObjectPreviewSubtype::Array);
    let properties = preview.properties.iter().map(|property| {
        if list {
            short(property)
        } else {
            format!("{}: {}", property.name, short(property))
        }
    });
    let entries = preview.entries.iter().flatten().map(|entry| {
        let value = self::preview(&entry.value);
        entry.key.as_ref().map_or(value.clone(), |key| {
            format!("{} => {value}", self::preview(key))
        })
    });
    let mut parts: Vec<String> = properties.chain(entries).collect();
    let description = preview.description.as_deref().unwrap_or_default();
    if parts.is_empty() && description != "Object" && !list {
        return description.to_owned();
    }
    if preview.overflow {
        parts.push("…".to_owned());
    }
    let parts = parts.join(", ");
    match description {
        _ if list => format!("[{parts}]"),
        "" | "Object" => format!("{{{parts}}}"),
        kind => format!("{kind} {{{parts}}}"),
    }
}

fn short(property: &PropertyPreview) -> String {
    if let Some(nested) = &property.value_preview {
        return preview(nested);
    }
    let value = property.value.clone().unwrap_or_default();
    match property.r#type {
        PropertyPreviewType::String => format!("\"{value}\""),
        PropertyPreviewType::Function => "ƒ".to_owned(),
        _ => value,
    }
}

/// What was thrown, with its stack where it has one.
pub(crate) fn exception(details: &ExceptionDetails) -> String {
    match &details.exception {
        Some(thrown) => value(thrown),
        None => details.text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(object: serde_json::Value) -> String {
        value(&serde_json::from_value(object).unwrap())
    }

    #[test]
    fn primitives() {
        assert_eq!(
            render(json!({"type": "string", "value": "a \"b\""})),
            "a \"b\""
        );
        assert_eq!(
            render(json!({"type": "number", "value": 1.5, "description": "1.5"})),
            "1.5"
        );
        assert_eq!(
            render(json!({"type": "number", "unserializableValue": "NaN", "description": "NaN"})),
            "NaN"
        );
        assert_eq!(render(json!({"type": "undefined"})), "undefined");
        assert_eq!(
            render(json!({"type": "object", "subtype": "null", "value": null})),
            "null"
        );
    }

    #[test]
    fn objects() {
        let preview = json!({"type": "object", "description": "Object", "overflow": false, "properties": [
            {"name": "a", "type": "number", "value": "1"}, {"name": "b", "type": "string", "value": "x"}]});
        assert_eq!(
            render(json!({"type": "object", "description": "Object", "preview": preview})),
            "{a: 1, b: \"x\"}"
        );
        let preview = json!({"type": "object", "subtype": "array", "description": "Array(2)", "overflow": true, "properties": [
            {"name": "0", "type": "number", "value": "1"}]});
        assert_eq!(
            render(
                json!({"type": "object", "subtype": "array", "description": "Array(2)", "preview": preview})
            ),
            "[1, …]"
        );
        let error =
            json!({"type": "object", "subtype": "error", "description": "Error: x\n  at y"});
        assert_eq!(render(error), "Error: x\n  at y");
    }
}
