//! `validate_app_manifest`: advice on a manifest, never an error.

use serde_json::{Map, Value, json};

const EXTENSIONS: [&str; 3] = [".html", ".js", ".py"];

/// The answer of `validate_app_manifest`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ValidationReport {
    pub errors: Vec<String>,
    pub warnings: Vec<String>,
    pub suggestions: Vec<String>,
}

impl ValidationReport {
    pub fn valid(&self) -> bool {
        self.errors.is_empty()
    }

    pub fn to_json(&self) -> Value {
        json!({
            "valid": self.valid(),
            "errors": self.errors,
            "warnings": self.warnings,
            "suggestions": self.suggestions,
        })
    }

    fn error(&mut self, text: impl Into<String>) {
        self.errors.push(text.into());
    }

    fn warning(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }
}

/// Checks a manifest; `known_types` are the app types some worker supports now.
pub fn validate_app_manifest(manifest: &Value, known_types: &[String]) -> ValidationReport {
    let mut report = ValidationReport::default();
    let Some(fields) = manifest.as_object() else {
        report.error("Manifest must be a dict");
        return report;
    };
    check_required(fields, &mut report);
    if let Some(kind) = fields.get("type").and_then(Value::as_str) {
        check_type(kind, known_types, &mut report);
        match kind {
            "mcp-server" => check_proxy(fields, "mcpServers", check_mcp_server, &mut report),
            "a2a-agent" => check_proxy(fields, "a2aAgents", check_a2a_agent, &mut report),
            _ => {}
        }
    }
    check_entry_point(fields, &mut report);
    for (field, text) in [
        (
            "description",
            "Consider adding a 'description' so that others know what the app does",
        ),
        (
            "tags",
            "Consider adding 'tags' so that the app can be found",
        ),
    ] {
        if fields.get(field).is_none_or(is_empty) {
            report.suggestions.push(text.to_owned());
        }
    }
    report
}

fn check_required(fields: &Map<String, Value>, report: &mut ValidationReport) {
    for field in ["name", "type", "version"] {
        match fields.get(field) {
            None | Some(Value::Null) => report.error(format!("Missing required field: {field}")),
            Some(Value::String(_)) => {}
            Some(_) => report.error(format!("Field '{field}' must be a string")),
        }
    }
}

fn check_type(kind: &str, known_types: &[String], report: &mut ValidationReport) {
    let proxies = ["mcp-server", "a2a-agent"];
    if !proxies.contains(&kind) && !known_types.iter().any(|known| known == kind) {
        report.warning(format!("Unusual application type: {kind}"));
    }
}

fn check_entry_point(fields: &Map<String, Value>, report: &mut ValidationReport) {
    let entry_point = fields.get("entry_point").and_then(Value::as_str);
    let Some(entry_point) = entry_point.filter(|path| !path.is_empty()) else {
        return;
    };
    if !EXTENSIONS.iter().any(|end| entry_point.ends_with(end)) {
        report.warning(format!("Entry point '{entry_point}' has unusual extension"));
    }
}

type EntryCheck = fn(&str, &Map<String, Value>, &mut ValidationReport);

/// Servers or agents an app stands in for: a non-empty dict of dicts.
fn check_proxy(
    fields: &Map<String, Value>,
    field: &str,
    check: EntryCheck,
    report: &mut ValidationReport,
) {
    let entries = match fields.get(field) {
        None | Some(Value::Null) => {
            return report.error(format!("Missing required field: {field}"));
        }
        Some(Value::Object(entries)) => entries,
        Some(_) => return report.error(format!("Field '{field}' must be a dict")),
    };
    if entries.is_empty() {
        return report.error(format!("Field '{field}' must not be empty"));
    }
    for (name, entry) in entries {
        match entry.as_object() {
            Some(entry) => check(name, entry, report),
            None => report.error(format!("Entry '{name}' of '{field}' must be a dict")),
        }
    }
}

fn check_mcp_server(name: &str, entry: &Map<String, Value>, report: &mut ValidationReport) {
    match entry.get("type").and_then(Value::as_str) {
        None => report.error(format!("MCP server '{name}' must have a 'type'")),
        Some("streamable-http" | "stdio") => {}
        Some(kind) => report.warning(format!("MCP server '{name}' has unusual type: {kind}")),
    }
    if entry.get("url").is_none_or(is_empty) {
        report.error(format!("MCP server '{name}' must have a 'url'"));
    }
}

fn check_a2a_agent(name: &str, entry: &Map<String, Value>, report: &mut ValidationReport) {
    match entry.get("url").and_then(Value::as_str) {
        None | Some("") => report.error(format!("A2A agent '{name}' must have a 'url'")),
        Some(url) if url.starts_with("http://") || url.starts_with("https://") => {}
        Some(url) => report.warning(format!("A2A agent '{name}' has unusual url: {url}")),
    }
    let headers = entry.get("headers");
    if !headers.is_none_or(|headers| headers.is_null() || headers.is_object()) {
        report.error(format!("Headers of A2A agent '{name}' must be a dict"));
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(manifest: Value) -> ValidationReport {
        validate_app_manifest(&manifest, &["web-worker".to_owned(), "my-type".to_owned()])
    }

    fn full(extra: Value) -> Value {
        let mut fields = json!({"name": "n", "type": "web-worker", "version": "1", "description": "d", "tags": ["t"]});
        for (key, value) in extra.as_object().unwrap() {
            fields[key] = value.clone();
        }
        fields
    }

    #[test]
    fn a_good_manifest_raises_nothing() {
        let report = check(full(json!({"entry_point": "index.html"})));
        assert_eq!(report, ValidationReport::default());
        assert_eq!(
            report.to_json(),
            json!({"valid": true, "errors": [], "warnings": [], "suggestions": []})
        );
    }

    #[test]
    fn every_complaint() {
        let table = [
            (json!([]), vec!["Manifest must be a dict"], vec![]),
            (
                json!({}),
                vec![
                    "Missing required field: name",
                    "Missing required field: type",
                    "Missing required field: version",
                ],
                vec![],
            ),
            (
                full(json!({"name": 1})),
                vec!["Field 'name' must be a string"],
                vec![],
            ),
            (
                full(json!({"version": 1.0})),
                vec!["Field 'version' must be a string"],
                vec![],
            ),
            (
                full(json!({"type": "odd"})),
                vec![],
                vec!["Unusual application type: odd"],
            ),
            (full(json!({"type": "my-type"})), vec![], vec![]),
            (
                full(json!({"entry_point": "a.exe"})),
                vec![],
                vec!["Entry point 'a.exe' has unusual extension"],
            ),
            (
                full(json!({"type": "mcp-server"})),
                vec!["Missing required field: mcpServers"],
                vec![],
            ),
            (
                full(json!({"type": "mcp-server", "mcpServers": {}})),
                vec!["Field 'mcpServers' must not be empty"],
                vec![],
            ),
            (
                full(json!({"type": "mcp-server", "mcpServers": [1]})),
                vec!["Field 'mcpServers' must be a dict"],
                vec![],
            ),
            (
                full(
                    json!({"type": "mcp-server", "mcpServers": {"a": 1, "b": {}, "c": {"type": "x", "url": "u"}, "d": {"type": "stdio", "url": "u"}}}),
                ),
                vec![
                    "Entry 'a' of 'mcpServers' must be a dict",
                    "MCP server 'b' must have a 'type'",
                    "MCP server 'b' must have a 'url'",
                ],
                vec!["MCP server 'c' has unusual type: x"],
            ),
            (
                full(
                    json!({"type": "a2a-agent", "a2aAgents": {"a": {}, "b": {"url": "ftp://x"}, "c": {"url": "https://x", "headers": []}}}),
                ),
                vec![
                    "A2A agent 'a' must have a 'url'",
                    "Headers of A2A agent 'c' must be a dict",
                ],
                vec!["A2A agent 'b' has unusual url: ftp://x"],
            ),
        ];
        for (manifest, errors, warnings) in table {
            let report = check(manifest.clone());
            assert_eq!(report.errors, errors, "{manifest}");
            assert_eq!(report.warnings, warnings, "{manifest}");
            assert_eq!(report.valid(), errors.is_empty());
        }
    }

    #[test]
    fn missing_descriptions_are_only_suggested() {
        let report = check(json!({"name": "n", "type": "web-worker", "version": "1", "tags": []}));
        assert!(report.valid());
        assert_eq!(report.suggestions.len(), 2);
    }
}
