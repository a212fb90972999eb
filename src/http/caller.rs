//! Who calls over HTTP (http.md 1.1).

use std::sync::Arc;

use actix_web::http::header;
use actix_web::{HttpMessage, HttpRequest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::HttpError;
use super::cross_site::cookie_counts;
use super::foreign::Recognised;
use super::proxy::websocket::credentials;
use crate::admin::is_administrator;
use crate::identity::{Level, TokenError, UserInfo};
use crate::node::Node;
use crate::peer::CallContext;
use crate::workspace::PUBLIC;

/// Name of the cookie that the web pages keep a token in.
const COOKIE: &str = "access_token";

/// The token of a request: `Bearer`, the password of `Basic`, the raw header, or the cookie where
/// it counts; for a WebSocket to an application also a subprotocol or the query.
pub(super) fn token(request: &HttpRequest) -> Option<String> {
    if credentials::opens_websocket(request) {
        let header = request.headers().get(header::AUTHORIZATION);
        let header = header.and_then(|value| value.to_str().ok());
        return header
            .map(from_authorization)
            .or_else(|| credentials::token(request))
            .or_else(|| {
                let cookies = credentials::cookies_count(request);
                cookies.then(|| in_headers(request)).flatten()
            });
    }
    in_headers(request)
}

fn in_headers(request: &HttpRequest) -> Option<String> {
    for (name, value) in request.headers() {
        let Ok(text) = value.to_str() else {
            continue;
        };
        if name == header::AUTHORIZATION {
            return Some(from_authorization(text));
        }
        if name == header::COOKIE
            && cookie_counts(request)
            && let Some(token) = from_cookie(text)
        {
            return Some(token);
        }
    }
    None
}

/// The token in the value of an `Authorization` header, whatever its scheme.
pub(super) fn from_authorization(text: &str) -> String {
    let (scheme, rest) = text.split_once(' ').unwrap_or(("", text));
    if scheme.eq_ignore_ascii_case("bearer") {
        return rest.trim().to_owned();
    }
    if scheme.eq_ignore_ascii_case("basic")
        && let Ok(bytes) = STANDARD.decode(rest.trim())
        && let Ok(pair) = String::from_utf8(bytes)
        && let Some((_, password)) = pair.split_once(':')
    {
        return password.to_owned();
    }
    text.trim().to_owned()
}

fn from_cookie(text: &str) -> Option<String> {
    text.split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value.to_owned())
}

/// Whom the token of a request names; without a token the shared anonymous user.
///
/// # Errors
/// A bad token is never a fall-back to anonymous. 403 for users on the blocklist.
fn identify(request: &HttpRequest, node: &Node) -> Result<UserInfo, HttpError> {
    let recognised = request.extensions().get::<Recognised>().cloned();
    let found = match recognised {
        Some(Recognised(found)) => Some(found),
        None => token(request).map(|token| node.directory.tokens.parse(&token)),
    };
    let user = match found {
        Some(found) => usable(found)?,
        None => UserInfo::http_anonymous(),
    };
    let blocklist = &node.directory.blocklist;
    blocklist
        .check_user(&user)
        .map_err(|blocked| HttpError::Forbidden(blocked.to_string()))?;
    Ok(user)
}

/// The user that a token names, if it may be used for calls at all.
fn usable(found: Result<UserInfo, TokenError>) -> Result<UserInfo, HttpError> {
    found
        .and_then(|user| user.check_general_use().map(|()| user))
        .map_err(|error| HttpError::Unauthorized(error.to_string()))
}

/// The same user with the rights it has in a workspace. Its personal one is made when it does
/// not exist yet, as it is for clients that connect.
fn acting_in(user: &UserInfo, workspace: &str, node: &Node) -> UserInfo {
    let personal = !user.is_anonymous && workspace == user.personal_workspace();
    let info = if personal {
        node.directory.ensure(workspace, user).ok()
    } else {
        node.directory.get(workspace)
    };
    let owner = info.is_some_and(|info| info.is_owned_by(user));
    user.acting_in(workspace, user.scope.client_id.as_deref(), owner)
}

fn own_workspace(user: &UserInfo) -> String {
    let named = user.scope.current_workspace.clone();
    named.unwrap_or_else(|| user.personal_workspace())
}

/// The user of a request, acting in its own workspace.
///
/// # Errors
/// See [`HttpError::Unauthorized`].
pub fn user(request: &HttpRequest, node: &Node) -> Result<UserInfo, HttpError> {
    let user = identify(request, node)?;
    Ok(acting_in(&user, &own_workspace(&user), node))
}

/// The workspace that a request acts in when it names none.
///
/// # Errors
/// As for [`user`].
pub fn workspace(request: &HttpRequest, node: &Node) -> Result<String, HttpError> {
    let user = identify(request, node)?;
    let named = user.scope.current_workspace.clone();
    Ok(named
        .filter(|ws| ws != PUBLIC && !user.is_anonymous)
        .unwrap_or_else(|| user.personal_workspace()))
}

/// A caller in the workspace of the address, whether or not it may do anything there.
///
/// # Errors
/// As for [`user`].
pub fn in_workspace(
    request: &HttpRequest,
    node: &Node,
    workspace: &str,
) -> Result<CallContext, HttpError> {
    let user = identify(request, node)?;
    Ok(context(acting_in(&user, workspace, node), workspace, node))
}

/// As [`in_workspace`], where a token in the query comes first and tokens that were made for
/// certain files are welcome: what they are for is up to the route.
///
/// # Errors
/// As for [`user`].
pub fn with_files_token(
    request: &HttpRequest,
    node: &Node,
    workspace: &str,
    given: Option<&str>,
) -> Result<CallContext, HttpError> {
    let Some(token) = given.filter(|token| !token.is_empty()) else {
        return in_workspace(request, node, workspace);
    };
    let parsed = node.directory.tokens.parse(token);
    let user = parsed.map_err(|error| HttpError::Unauthorized(error.to_string()))?;
    let blocklist = &node.directory.blocklist;
    blocklist
        .check_user(&user)
        .map_err(|blocked| HttpError::Forbidden(blocked.to_string()))?;
    Ok(context(acting_in(&user, workspace, node), workspace, node))
}

/// A caller in the workspace of the address who is nobody in particular.
pub fn nobody_in(node: &Node, workspace: &str) -> CallContext {
    let user = acting_in(&UserInfo::http_anonymous(), workspace, node);
    context(user, workspace, node)
}

/// A caller of a service in workspace `target`, in the workspace that it calls from
/// (http.md 4.3): the one its token names; else the target if it may read there; else its own.
///
/// # Errors
/// As for [`user`], and the workspace does not exist.
pub fn calling(request: &HttpRequest, node: &Node, target: &str) -> Result<CallContext, HttpError> {
    let user = identify(request, node)?;
    let own = own_workspace(&user);
    let bound = user.scope.current_workspace.is_some();
    if !bound && !user.is_anonymous && target != own {
        if !node.directory.exists(target) {
            return Err(HttpError::NotFound(format!(
                "Workspace '{target}' not found"
            )));
        }
        let there = acting_in(&user, target, node);
        if target == PUBLIC || there.allows(target, Level::Read) {
            return Ok(context(there, target, node));
        }
    }
    Ok(context(acting_in(&user, &own, node), &own, node))
}

fn context(user: UserInfo, workspace: &str, node: &Node) -> CallContext {
    let address = node.directory.peer.address_in(workspace);
    CallContext::internal(workspace, address, Arc::new(user))
}

/// The user of a request to the administration: root, or somebody with the admin role.
///
/// # Errors
/// 401 without a token, 403 for everybody else.
pub fn admin(request: &HttpRequest, node: &Node) -> Result<UserInfo, HttpError> {
    let user = user(request, node)?;
    if is_administrator(&user) {
        return Ok(user);
    }
    if user.is_anonymous {
        return Err(HttpError::Unauthorized(
            "An administrator's token is required, as \"Authorization: Bearer <token>\"".into(),
        ));
    }
    Err(HttpError::Forbidden(format!(
        "{} is not an administrator of this server",
        user.id
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn tokens_are_found_wherever_clients_put_them() {
        for (name, value) in [
            ("Authorization", "Bearer tok"),
            ("Authorization", "bearer tok"),
            ("Authorization", "tok"),
            ("Authorization", "Basic dXNlcjp0b2s="),
            ("Cookie", "a=b; access_token=tok"),
        ] {
            let request = TestRequest::default()
                .insert_header((name, value))
                .to_http_request();
            assert_eq!(token(&request).as_deref(), Some("tok"), "{value}");
        }
        assert_eq!(token(&TestRequest::default().to_http_request()), None);
    }
}
