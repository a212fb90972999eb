//! Running Python in the page of a web-python app (templates/apps/python-app.py).

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::Page;
use super::error::BrowserError;
use crate::map;
use crate::peer::{Callback, ErrorClass, ServiceError};
use crate::wire::Value;

/// Whether the caller means the page itself: `language` in the config of the call says so.
pub(super) fn is_for_page(config: &Value) -> bool {
    config.get("language").and_then(Value::as_str) == Some("javascript")
}

/// Runs a script in the app and returns what a notebook would show, as the workers for processes do:
/// `{status, outputs, error}` (server-apps.md 5.4).
///
/// # Errors
/// The page is gone or does not run an app.
pub(super) async fn execute(
    page: &Page,
    script: &str,
    limit: Duration,
    progress: Option<Callback>,
) -> Result<Value, ServiceError> {
    let tell = |kind: &str, message: String| {
        if let Some(progress) = &progress {
            progress(vec![Value::Map(
                map! { "type" => kind, "message" => message },
            )]);
        }
    };
    tell("info", "Executing script...".to_owned());
    let call = format!("__rhizomePython({})", Json::from(script));
    let outcome = match page.evaluate_within(&call, limit).await {
        Ok(Json::String(text)) => serde_json::from_str(&text).unwrap_or(Json::Null),
        Ok(_) => Json::Null,
        Err(BrowserError::Timeout { .. }) => took_too_long(limit),
        Err(error) => {
            return Err(ServiceError::new(
                ErrorClass::Named("WorkerError"),
                format!(
                    "Failed to execute script in session {}: {error}",
                    page.session()
                ),
            ));
        }
    };
    match outcome["error"].as_object() {
        None => tell("success", "Script executed successfully".to_owned()),
        Some(error) => {
            let text = |key: &str| error.get(key).and_then(Json::as_str).unwrap_or_default();
            let (name, value) = (text("ename"), text("evalue"));
            tell("error", format!("Script execution failed: {name}: {value}"));
        }
    }
    Ok(Value::from_json(outcome))
}

/// Python in a page cannot be interrupted; it goes on, and only the caller stops to wait.
fn took_too_long(limit: Duration) -> Json {
    let text = format!(
        "the script did not end within {} s; it goes on",
        limit.as_secs_f64()
    );
    json!({
        "status": "error",
        "outputs": [],
        "error": { "ename": "TimeoutError", "evalue": text, "traceback": [format!("TimeoutError: {text}")] },
    })
}
