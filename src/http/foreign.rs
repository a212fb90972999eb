//! Requests whose token is none of ours, where the operator brings its own authentication: who
//! calls is found out before the routes see the request, since that may take a call elsewhere.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage};

use super::caller;
use crate::identity::{Authority, TokenError, UserInfo};
use crate::map;
use crate::node::Node;
use crate::wire::Value;

/// Who the operator's authentication says a request comes from.
#[derive(Clone)]
pub struct Recognised(pub Result<UserInfo, TokenError>);

/// The middleware.
///
/// # Errors
/// Those of the route.
pub async fn recognise<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let node = request.app_data::<Data<Node>>().cloned();
    if let Some(node) = node
        && let Some(authority) = node.directory.tokens.authority()
        && let Some(found) = ask(&request, &node, &*authority).await
    {
        request.extensions_mut().insert(found);
    }
    next.call(request).await
}

async fn ask(
    request: &ServiceRequest,
    node: &Node,
    authority: &dyn Authority,
) -> Option<Recognised> {
    let extracted = match authority.extract(scope(request)) {
        Some(extracted) => extracted.await,
        None => None,
    };
    // Without an own place the usual ones are looked at.
    let token = extracted.or_else(|| caller::token(request.request()))?;
    Some(Recognised(node.directory.tokens.recognise(&token).await))
}

/// The request as a function that looks for tokens expects it: an ASGI scope without its body.
fn scope(request: &ServiceRequest) -> Value {
    let headers: Vec<Value> = request
        .headers()
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            Value::Array(vec![name.as_str().into(), value.into()])
        })
        .collect();
    Value::Map(map! {
        "type" => "http",
        "method" => request.method().as_str(),
        "path" => request.path(),
        "query_string" => request.query_string(),
        "headers" => headers,
    })
}
