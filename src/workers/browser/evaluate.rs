//! Running scripts in a page.

use std::time::Duration;

use chromiumoxide::cdp::js_protocol::runtime::{
    CompileScriptParams, EvaluateParams, EvaluateReturns, RemoteObject, RemoteObjectType,
    TerminateExecutionParams,
};
use serde_json::Value;

use super::error::BrowserError;
use super::page::Page;
use super::render;
use super::script;

const WHAT: &str = "finish the script";
/// Longest result, in bytes of JSON.
const MAX_RESULT: usize = 10 << 20;
/// How long an idle page may take for the simplest of scripts.
const PROBE: Duration = Duration::from_millis(500);

impl Page {
    /// Runs `code` in the page and returns its result as JSON. It may be an expression, whose promise is awaited; a
    /// function, which is called; or statements, among them `await` and `return`.
    pub async fn evaluate(&self, code: &str) -> Result<Value, BrowserError> {
        self.evaluate_within(code, self.default_limit()).await
    }

    /// The same, with a time limit of its own.
    pub async fn evaluate_within(
        &self,
        code: &str,
        limit: Duration,
    ) -> Result<Value, BrowserError> {
        let deadline = tokio::time::Instant::now() + limit;
        let left = || deadline.saturating_duration_since(tokio::time::Instant::now());
        let mut code = code.to_owned();
        let mut done = self.run(code.clone(), left()).await?;
        if is_syntax_error(&done) && !self.compiles(&code).await? {
            // What is an object or a function in brackets is read as a block or a declaration without them.
            let bracketed = script::bracketed(&code);
            code = if self.compiles(&bracketed).await? {
                bracketed
            } else {
                script::as_body(&code)
            };
            done = self.run(code.clone(), left()).await?;
        }
        if done.exception_details.is_none() && done.result.r#type == RemoteObjectType::Function {
            done = self.run(script::as_call(&code), left()).await?;
        }
        match done.exception_details {
            Some(details) => Err(BrowserError::Script(
                self.scrub(render::exception(&details)),
            )),
            None => bounded(json(done.result)),
        }
    }

    async fn run(
        &self,
        expression: String,
        limit: Duration,
    ) -> Result<EvaluateReturns, BrowserError> {
        let mut params = EvaluateParams::new(expression);
        params.await_promise = Some(true);
        params.return_by_value = Some(true);
        params.user_gesture = Some(true);
        let done = self.command_within(WHAT, limit, params).await;
        if matches!(done, Err(BrowserError::Timeout { .. })) {
            self.free().await;
        }
        done
    }

    /// Stops a script that keeps the page busy. A page that merely waits is left alone, since the order would hit
    /// whatever it does next.
    async fn free(&self) {
        let probe = self
            .command_within(WHAT, PROBE, EvaluateParams::new("1"))
            .await;
        if matches!(probe, Err(BrowserError::Timeout { .. }))
            && let Err(error) = self
                .command_within("stop the script", PROBE, TerminateExecutionParams {})
                .await
        {
            tracing::warn!(session = self.session(), %error, "an endless script could not be stopped");
        }
    }

    /// Tells code that is no expression from code that throws a SyntaxError.
    async fn compiles(&self, code: &str) -> Result<bool, BrowserError> {
        let params = CompileScriptParams::new(code, "", false);
        Ok(self
            .command("compile the script", params)
            .await?
            .exception_details
            .is_none())
    }
}

/// A result that is not too big to be passed on.
fn bounded(result: Value) -> Result<Value, BrowserError> {
    let size = result
        .as_str()
        .map_or_else(|| result.to_string().len(), str::len);
    if size > MAX_RESULT {
        let most = MAX_RESULT;
        return Err(BrowserError::TooBig { size, most });
    }
    Ok(result)
}

fn is_syntax_error(done: &EvaluateReturns) -> bool {
    let thrown = done
        .exception_details
        .as_ref()
        .and_then(|details| details.exception.as_ref());
    thrown.and_then(|thrown| thrown.class_name.as_deref()) == Some("SyntaxError")
}

/// A result as JSON; what JSON lacks (NaN, bigints) as its name, `undefined` as null.
fn json(result: RemoteObject) -> Value {
    let special = result
        .unserializable_value
        .map(|special| Value::from(special.inner().as_str()));
    result.value.or(special).unwrap_or_default()
}
