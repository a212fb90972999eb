//! A request as the map that services get (http.md 5.3), after the ASGI specification.

use actix_web::http::Version;
use actix_web::{HttpMessage, HttpRequest};
use bytes::Bytes;

use super::Visit;
use crate::gateway::client_ip;
use crate::http::edge::AtRoot;
use crate::map;
use crate::wire::{Map, Value};

/// The scope of a request to an ASGI application.
pub fn asgi(request: &HttpRequest, visit: &Visit) -> Map {
    with_bytes(common(request, visit), request, visit)
}

/// The scope of a WebSocket to an ASGI application.
pub fn websocket(request: &HttpRequest, visit: &Visit, subprotocols: Vec<String>) -> Map {
    let mut scope = with_bytes(common(request, visit), request, visit);
    let secure = scope.get_str("scheme") == Some("https");
    let subprotocols: Vec<Value> = subprotocols.into_iter().map(Value::from).collect();
    scope.remove("method");
    scope.insert("type", "websocket");
    scope.insert("scheme", if secure { "wss" } else { "ws" });
    scope.insert("subprotocols", subprotocols);
    let denial = map! { "websocket.http.response" => Map::new() };
    scope.insert("extensions", denial);
    scope
}

fn with_bytes(mut scope: Map, request: &HttpRequest, visit: &Visit) -> Map {
    let mut path = visit.path.clone();
    // Applications get the path below them and no root, as from the reference. Those that ask for
    // it are told where they are, in the way of the ASGI specification.
    if visit.record.setting("root_path").is_some_and(Value::truthy) && !at_root(request) {
        let root = format!("/{}/apps/{}", visit.workspace, visit.service_id);
        path.insert_str(0, &root);
        scope.insert("root_path", root);
        scope.insert("path", path.as_str());
    }
    scope.insert("raw_path", Bytes::from(path));
    scope.insert(
        "query_string",
        Bytes::copy_from_slice(request.query_string().as_bytes()),
    );
    let headers: Vec<Value> = request
        .headers()
        .iter()
        .map(|(name, value)| {
            let pair = [name.as_str().as_bytes(), value.as_bytes()];
            Value::Array(pair.map(|part| Bytes::copy_from_slice(part).into()).into())
        })
        .collect();
    scope.insert("headers", headers);
    scope
}

/// The event of a function: text instead of bytes, and headers by name (the last one counts).
pub fn event(request: &HttpRequest, visit: &Visit) -> Map {
    let mut event = common(request, visit);
    event.insert("raw_path", visit.path.as_str());
    event.insert("query_string", request.query_string());
    let mut headers = Map::new();
    for (name, value) in request.headers() {
        headers.insert(
            name.as_str(),
            String::from_utf8_lossy(value.as_bytes()).into_owned(),
        );
    }
    event.insert("headers", headers);
    event
}

/// Whether the app has a host of its own.
fn at_root(request: &HttpRequest) -> bool {
    request.extensions().get::<AtRoot>().is_some()
}

fn common(request: &HttpRequest, visit: &Visit) -> Map {
    let info = request.connection_info();
    // Behind a proxy the port is the proxy's, and so unknown.
    let port = request.peer_addr().map_or(0, |address| address.port());
    let peer = client_ip(request).map(|address| endpoint(&address.to_string(), port));
    let local = visit.node.config.server.port;
    map! {
        "type" => "http",
        "asgi" => map! { "version" => "3.0", "spec_version" => "2.3" },
        "http_version" => version(request.version()),
        "server" => endpoint(&visit.node.config.server.host, local),
        "client" => peer,
        "scheme" => info.scheme(),
        "method" => request.method().as_str(),
        "root_path" => match at_root(request) {
            true => String::new(),
            false => visit.node.config.server.prefix(),
        },
        "path" => visit.path.as_str(),
        "state" => Map::new(),
        "workspace" => visit.workspace.as_str(),
        "service_id" => visit.service_id.as_str(),
    }
}

fn endpoint(host: &str, port: u16) -> Value {
    Value::Array(vec![host.into(), port.into()])
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}
