//! JavaScript that the server itself writes.

use serde_json::Value;

/// Name of the function by which pages talk to the server.
pub(crate) const BINDING: &str = "__rhizomeSignal";
/// First words of a worker that forwards its own console.
pub(crate) const WORKER_MARK: &str = "__rhizome_worker__";

/// First words of a line that ends what a script has said.
pub(crate) const CAPTURE_MARK: &str = "__rhizome_capture__";

/// Script for the start of every document: gives `config` to the main frame, for pages of `origin` only, where nobody
/// who lists the window's properties sees it.
pub(crate) fn init_script(origin: &str, config: &Value) -> String {
    format!(
        "if (window === window.top && location.origin === {}) \
         Object.defineProperty(window, '__rhizome', {{ value: JSON.parse({}), configurable: true, enumerable: false }});",
        Value::from(origin),
        Value::from(config.to_string()),
    )
}

/// Script that hands an app to a page that waits for one.
pub(crate) fn claim(handed: &Value) -> String {
    format!(
        "__rhizomeClaim(JSON.parse({}))",
        Value::from(handed.to_string())
    )
}

/// `code` as the body of an async function that is called at once, so that `await` and `return` may be used.
pub(crate) fn as_body(code: &str) -> String {
    format!("(async () => {{\n{code}\n}})()")
}

/// `code` as an expression, if it can be one.
pub(crate) fn bracketed(code: &str) -> String {
    format!("(\n{}\n)", code.trim().trim_end_matches(';'))
}

/// `code`, known to be a function, called.
pub(crate) fn as_call(code: &str) -> String {
    format!("{}()", bracketed(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_is_data() {
        let script = init_script(
            "http://a\"b",
            &serde_json::json!({"token": "\"});alert(1)//"}),
        );
        assert!(script.contains(r#"location.origin === "http://a\"b""#));
        assert!(script.contains(r#"JSON.parse("{\"token\":\"\\\"});alert(1)//\"}")"#));
    }

    #[test]
    fn a_closing_comment_does_not_swallow_the_wrapper() {
        assert_eq!(
            as_body("return 1 // one"),
            "(async () => {\nreturn 1 // one\n})()"
        );
        assert_eq!(as_call(" () => 1; "), "(\n() => 1\n)()");
    }
}
