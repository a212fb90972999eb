//! Functions as Python declares them. The server is not written in Python; for those who call it
//! from there, the declaration is what its source would tell them.

use serde_json::Value;

use super::catalog::ServiceDoc;
use super::method::{MethodDoc, ParamDoc};

/// Words that cannot name a function or parameter.
const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
    "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import",
    "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while",
    "with", "yield",
];

fn is_identifier(name: &str) -> bool {
    let start = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(start)
        && name.chars().all(|c| start(c) || c.is_ascii_digit())
        && !KEYWORDS.contains(&name)
}

/// `name(a, b=None)`; none when a name is not one in Python.
pub fn signature(name: &str, params: &[ParamDoc]) -> Option<String> {
    let named = name.split('.').all(is_identifier);
    if !named || !params.iter().all(|param| is_identifier(&param.name)) {
        return None;
    }
    let mut listed = Vec::new();
    let mut optional = false;
    for param in params {
        if param.required && optional {
            // Python would not have it behind one that may be left out.
            return None;
        }
        optional |= !param.required;
        listed.push(match &param.default {
            _ if param.required => param.name.clone(),
            Some(value) => format!("{}={}", param.name, literal(value)),
            None => format!("{}=None", param.name),
        });
    }
    Some(format!("{name}({})", listed.join(", ")))
}

/// A value as Python writes it.
fn literal(value: &Value) -> String {
    match value {
        Value::Null => "None".into(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(literal).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(key, value)| format!("{}: {}", Value::from(key.as_str()), literal(value)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        // JSON's escapes are Python's too.
        other => other.to_string(),
    }
}

/// The declaration of one function with its documentation; none as for [`signature`].
pub fn function(method: &MethodDoc) -> Option<String> {
    let signature = method
        .signature
        .as_ref()
        .filter(|_| !method.name.contains('.'))?;
    let mut doc = vec![docstring(&method.doc)];
    if !method.params.is_empty() {
        doc.extend([String::new(), "Args:".into()]);
        for param in &method.params {
            let text = docstring(&param.doc);
            doc.push(format!(
                "    {} ({}): {text}",
                param.name,
                docstring(&param.kind)
            ));
        }
    }
    let body: Vec<String> = doc
        .join("\n")
        .lines()
        .map(|line| format!("    {line}").trim_end().to_owned())
        .collect();
    let body = body.join("\n");
    Some(format!(
        "async def {signature}:\n    \"\"\"{}\n    \"\"\"\n",
        body.trim_start()
    ))
}

/// Text that cannot end the string it stands in.
fn docstring(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "'")
}

/// A service's name as that of a class.
pub fn class_name(service: &str) -> String {
    service
        .split(|c: char| !c.is_ascii_alphanumeric())
        .flat_map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(|letter| letter.to_ascii_uppercase());
            first.into_iter().chain(letters)
        })
        .collect()
}

/// All functions of a service in one file.
pub fn module(service: &ServiceDoc) -> String {
    let head = format!(
        "\"\"\"{}: what `await server.get_service(\"{}\")` returns, as declarations.\n\n\
         Generated from the method table of the running server. There are no bodies: the\n\
         functions run on the server.\n\"\"\"\n",
        docstring(&service.name),
        service.address,
    );
    let functions = service.methods.iter().filter_map(function);
    std::iter::once(head)
        .chain(functions)
        .collect::<Vec<_>>()
        .join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skills::method::methods_of;
    use serde_json::json;

    fn method(name: &str, params: Value, required: &[&str]) -> MethodDoc {
        let schema = json!({ name: { "type": "function", "function": {
            "description": "Does \"it\".\nReally.",
            "parameters": { "properties": params, "required": required } } } });
        methods_of(&schema, false).remove(0)
    }

    #[test]
    fn functions_are_declared() {
        let params = json!({
            "a": { "type": "string", "description": "one" },
            "b": { "default": true },
            "c": { "default": { "x": [1, null] } },
            "d": { "default": "q\"" },
            "e": {},
        });
        let method = method("do_it", params, &["a"]);
        assert_eq!(
            function(&method).unwrap(),
            "async def do_it(a, b=True, c={\"x\": [1, None]}, d=\"q\\\"\", e=None):\n    \
             \"\"\"Does 'it'.\n    Really.\n\n    Args:\n        a (string): one\n        \
             b (any):\n        c (any):\n        d (any):\n        e (any):\n    \"\"\"\n"
        );
    }

    #[test]
    fn names_that_python_does_not_have_are_left_out() {
        let none = json!({});
        assert_eq!(method("do-it", none.clone(), &[]).signature, None);
        assert_eq!(method("import", none, &[]).signature, None);
        assert_eq!(method("f", json!({ "a b": {} }), &[]).signature, None);
        assert_eq!(
            method("f", json!({ "a": {}, "b": {} }), &["b"]).signature,
            None
        );
        assert_eq!(class_name("Workspace manager-2"), "WorkspaceManager2");
    }
}
