//! Services of type `functions`: one function call answers one request (http.md 5.4).

use std::sync::Arc;

use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, ORIGIN};
use actix_web::http::{Method, StatusCode};
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, ResponseError};
use bytes::Bytes;
use futures::stream::{self, Stream};

use super::{TextError, Visit, body, failed, scope, text};
use crate::gateway::{HangUp, SocketHandle, hung_up};
use crate::http::HttpError;
use crate::http::reading::Patience;
use crate::http::services::Generator;
use crate::map;
use crate::node::Node;
use crate::peer::{CallError, CallOptions, Peer, Service, invoke, method_of};
use crate::wire::{Map, Value};

/// What answers a request.
struct Chosen {
    /// Dotted path of the function in its service.
    function: String,
    /// The path that the fallback function is told.
    fallback_for: Option<String>,
}

pub async fn serve(
    request: &HttpRequest,
    payload: Payload,
    visit: Visit,
) -> Result<HttpResponse, TextError> {
    let directory = &visit.node.directory;
    let own = directory
        .router
        .is_local_address(&visit.record.address())
        .then(|| {
            directory
                .peer
                .offered(&visit.record.workspace, &visit.record.name)
        })
        .flatten();
    let known = |steps: &[&str]| match &own {
        Some(service) => method_of(&**service, &steps.join(".")).is_some(),
        None => visit.record.function(steps).is_some(),
    };
    let path = visit.path.trim_matches('/');
    let Some(chosen) = choose(path, known) else {
        if is_preflight(request) {
            return Ok(with_cors(
                HttpResponse::build(StatusCode::NO_CONTENT),
                request,
                Content::Whole(Bytes::new()),
            ));
        }
        let shown = if path.is_empty() { "index" } else { path };
        return Err(HttpError::NotFound(format!("Function not found: {shown}")).into());
    };
    let mut event = scope::event(request, &visit);
    if let Some(path) = chosen.fallback_for {
        event.insert("function_path", path);
    }
    event.insert("user", visit.context.user.to_value());
    event.insert(
        "context",
        map! { "user" => visit.context.user.to_value(), "ws" => visit.context.ws.as_str() },
    );
    let body = body::whole(payload, &visit.node).await?;
    event.insert("body", (!body.is_empty()).then_some(body));
    let outcome = match own {
        Some(service) => call_own(service, &chosen.function, event, &visit).await,
        None => call_remote(&chosen.function, event, &visit).await,
    };
    let streams = Streams {
        request,
        node: &visit.node,
        provider: visit.record.address(),
        peer: &directory.peer,
        options: visit.options(),
    };
    Ok(match outcome {
        Ok(result) => answer(request, result, &streams)
            .unwrap_or_else(|error| text(500, format!("Internal Server Error: {error}"))),
        Err(error) => TextError(error).error_response(),
    })
}

/// What it takes to read the generators that functions return.
struct Streams<'a> {
    request: &'a HttpRequest,
    node: &'a Node,
    provider: String,
    peer: &'a Arc<Peer>,
    options: CallOptions,
}

impl Streams<'_> {
    /// The stream behind a value, if it is a generator of the provider.
    fn of(&self, value: &Value) -> Option<Content> {
        // The body of a page has no place for the stack of a failure.
        let generator =
            Generator::from_result(value, &self.provider, self.peer, &self.options, false)?;
        let patience = Patience::with(self.request, self.node);
        Some(Content::Pieces(Box::new(generator), patience))
    }
}

/// What is sent of a result.
enum Content {
    Whole(Bytes),
    Pieces(Box<Generator>, Patience),
}

/// The content of a value, and the type it has unless the function names one.
fn content(value: Value, streams: &Streams) -> (Content, Option<&'static str>) {
    if let Some(pieces) = streams.of(&value) {
        return (pieces, None);
    }
    let (bytes, kind) = match value {
        Value::Nil => (Bytes::new(), None),
        Value::Bin(bytes) => (bytes, None),
        Value::Str(text) => (Bytes::from(text), None),
        other => (
            Bytes::from(other.to_json().to_string()),
            Some("application/json"),
        ),
    };
    (Content::Whole(bytes), kind)
}

/// The type of a result that is no object: text may be a page.
fn kind_of(value: &Value) -> Option<&'static str> {
    match value {
        Value::Str(text) if text.trim_start().starts_with('<') => Some("text/html; charset=utf-8"),
        Value::Str(_) => Some("text/plain; charset=utf-8"),
        Value::Bin(_) => Some("application/octet-stream"),
        _ => None,
    }
}

fn is_preflight(request: &HttpRequest) -> bool {
    request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key("access-control-request-method")
}

/// The function at a path, its `index`, or the service's `default`.
fn choose(path: &str, known: impl Fn(&[&str]) -> bool) -> Option<Chosen> {
    let path = if path.is_empty() { "index" } else { path };
    let mut steps: Vec<&str> = path.split('/').collect();
    let found = |steps: &[&str]| {
        Some(Chosen {
            function: steps.join("."),
            fallback_for: None,
        })
    };
    if known(&steps) {
        return found(&steps);
    }
    steps.push("index");
    let has_default = known(&["default"]);
    // A single segment goes to `default` first, as in the reference.
    if known(&steps) && (steps.len() > 2 || !has_default) {
        return found(&steps);
    }
    has_default.then(|| Chosen {
        function: "default".into(),
        fallback_for: Some(match path {
            "index" => "/".to_owned(),
            path => format!("/{path}"),
        }),
    })
}

async fn call_own(
    service: Arc<dyn Service>,
    function: &str,
    event: Map,
    visit: &Visit,
) -> Result<Value, HttpError> {
    let method = method_of(&*service, function)
        .ok_or_else(|| HttpError::Application(format!("KeyError: '{function}'")))?;
    let args = vec![event.into()];
    invoke(service, method, args, Map::new(), visit.context.clone())
        .await
        .map_err(|error| HttpError::Application(error.to_string()))
}

async fn call_remote(function: &str, event: Map, visit: &Visit) -> Result<Value, HttpError> {
    let method = format!("services.{}.{function}", visit.record.name);
    visit
        .node
        .directory
        .peer
        .call(&visit.record.address(), &method)
        .options(visit.options())
        .counted()
        .arg(event)
        .send_to_living()
        .await
        .map_err(failed)
}

/// Whether an object describes an answer. One with a `status` of its own meaning, as in
/// `{status: "ok"}`, is the answer itself.
fn describes(map: &Map) -> bool {
    let status = map.get("status").and_then(status_code);
    map.contains_key("headers") || map.contains_key("body") || status.is_some()
}

fn status_code(status: &Value) -> Option<StatusCode> {
    StatusCode::from_u16(u16::try_from(status.as_i64()?).ok()?).ok()
}

/// The answer that a function's result describes. What is no object with an HTTP `status`, `headers`
/// or `body` is the body itself.
fn answer(request: &HttpRequest, result: Value, streams: &Streams) -> Result<HttpResponse, String> {
    let mut result = match result {
        Value::Map(map) if describes(&map) => map,
        bare => {
            let kind = kind_of(&bare);
            let (content, other) = content(bare, streams);
            let mut response = HttpResponse::Ok();
            if let Some(kind) = kind.or(other) {
                response.content_type(kind);
            }
            return Ok(with_cors(response, request, content));
        }
    };
    let status = match result.get("status") {
        None | Some(Value::Nil) => StatusCode::OK,
        Some(status) => {
            status_code(status).ok_or("AssertionError: status must be an HTTP status code")?
        }
    };
    let mut response = HttpResponse::build(status);
    for (name, value) in headers(result.get("headers"))? {
        response.append_header((name, value));
    }
    let (content, kind) = content(result.remove("body").unwrap_or_default(), streams);
    if let Some(kind) = kind.filter(|_| !names_its_type(result.get("headers"))) {
        response.content_type(kind);
    }
    Ok(with_cors(response, request, content))
}

fn names_its_type(given: Option<&Value>) -> bool {
    headers(given).is_ok_and(|headers| headers.iter().any(|(name, _)| name == CONTENT_TYPE))
}

/// The headers of a result: an object, or a list of pairs where a name occurs more than once.
fn headers(given: Option<&Value>) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let pairs: Vec<(String, String)> = match given {
        None | Some(Value::Nil) => Vec::new(),
        Some(Value::Map(map)) => map
            .iter()
            .flat_map(|(name, value)| match value {
                Value::Array(several) => several
                    .iter()
                    .map(|value| (name.to_owned(), as_text(value)))
                    .collect(),
                value => vec![(name.to_owned(), as_text(value))],
            })
            .collect(),
        Some(Value::Array(pairs)) => pairs
            .iter()
            .filter_map(|pair| match pair.as_array()? {
                [name, value] => Some((as_text(name), as_text(value))),
                _ => None,
            })
            .collect(),
        Some(other) => {
            return Err(format!(
                "TypeError: headers must be an object, got {}",
                other.type_name()
            ));
        }
    };
    pairs
        .into_iter()
        .filter(|(name, _)| !is_framing(name))
        .map(|(name, value)| {
            let parsed = HeaderName::try_from(name.as_str())
                .ok()
                .zip(HeaderValue::try_from(value.as_str()).ok());
            parsed.ok_or_else(|| format!("ValueError: invalid header {name}"))
        })
        .collect()
}

/// Headers about the transfer, which is the server's own matter.
pub(super) fn is_framing(name: &str) -> bool {
    [
        "connection",
        "transfer-encoding",
        "content-length",
        "keep-alive",
        "upgrade",
    ]
    .iter()
    .any(|framing| name.eq_ignore_ascii_case(framing))
}

fn as_text(value: &Value) -> String {
    match value {
        Value::Str(text) => text.clone(),
        Value::Bin(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => other.to_json().to_string(),
    }
}

fn with_cors(
    mut response: HttpResponseBuilder,
    request: &HttpRequest,
    content: Content,
) -> HttpResponse {
    let origin = request.headers().get(ORIGIN).cloned();
    let origin = origin.unwrap_or(HeaderValue::from_static("*"));
    response
        .insert_header(("access-control-allow-credentials", "true"))
        .insert_header(("access-control-allow-origin", origin))
        .insert_header((
            "access-control-allow-methods",
            "GET,POST,PUT,DELETE,OPTIONS",
        ))
        .insert_header(("access-control-allow-headers", "Authorization,Content-Type"))
        .insert_header(("access-control-expose-headers", "Content-Disposition"));
    match content {
        Content::Whole(bytes) => response.body(bytes),
        Content::Pieces(generator, patience) => {
            let watch = request
                .conn_data::<SocketHandle>()
                .and_then(|socket| socket.hang_up());
            response.streaming(patience.over(pieces(*generator, watch)))
        }
    }
}

/// The items of a generator, each when the socket has room for it: bytes and text as they are,
/// anything else as a line of JSON.
fn pieces(
    generator: Generator,
    watch: Option<HangUp>,
) -> impl Stream<Item = Result<Bytes, CallError>> {
    stream::unfold(Some((generator, watch)), |state| async move {
        let (mut generator, watch) = state?;
        let item = tokio::select! {
            item = generator.next() => item?,
            // Nobody is left to read: the generator is closed by being dropped.
            () = hung_up(watch.as_ref()) => return None,
        };
        let bytes = match item {
            Ok(Value::Bin(bytes)) => bytes,
            Ok(Value::Str(text)) => Bytes::from(text),
            Ok(other) => Bytes::from(format!("{}\n", other.to_json())),
            // The connection must break: the part is not the whole.
            Err(error) => return Some((Err(error), None)),
        };
        Some((Ok(bytes), Some((generator, watch))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(path: &str, known: &[&str]) -> Option<(String, Option<String>)> {
        choose(path, |steps| known.contains(&steps.join(".").as_str()))
            .map(|chosen| (chosen.function, chosen.fallback_for))
    }

    #[test]
    fn paths_lead_to_functions() {
        let found = |name: &str| Some((name.to_owned(), None));
        let fallback = |path: &str| Some(("default".to_owned(), Some(path.to_owned())));
        assert_eq!(chosen("", &["index"]), found("index"));
        assert_eq!(chosen("a/b", &["a.b"]), found("a.b"));
        assert_eq!(chosen("a/b", &["a.b.index", "default"]), found("a.b.index"));
        assert_eq!(chosen("a", &["a.index", "default"]), fallback("/a"));
        assert_eq!(chosen("a", &["a.index"]), found("a.index"));
        assert_eq!(chosen("", &["default"]), fallback("/"));
        assert_eq!(chosen("x/y", &["default"]), fallback("/x/y"));
        assert_eq!(chosen("x", &["y"]), None);
    }

    #[test]
    fn framing_headers_are_left_out() {
        let given = Value::Map(crate::map! {
            "Content-Length" => "5", "X-A" => 1, "Set-Cookie" => vec![Value::from("a=1"), "b=2".into()],
        });
        let names: Vec<String> = headers(Some(&given))
            .unwrap()
            .iter()
            .map(|(name, _)| name.to_string())
            .collect();
        assert_eq!(names, ["x-a", "set-cookie", "set-cookie"]);
        let bad = Value::Map(crate::map! { "bad name" => "x" });
        assert!(headers(Some(&bad)).is_err());
    }
}
