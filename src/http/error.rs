//! Failures as HTTP answers: statuses and bodies of http.md 1.2 and 1.3.

use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use serde_json::json;
use thiserror::Error;

use crate::peer::{CallError, ErrorClass, ServiceError};

/// See the variants; the text goes to the client.
#[derive(Debug, Error)]
pub enum HttpError {
    #[error("{0}")]
    Unauthorized(String),
    #[error("{0}")]
    Forbidden(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    TooLarge(String),
    #[error("{0}")]
    Unavailable(String),
    #[error("{0}")]
    Conflict(String),
    /// There is no room for more files.
    #[error("{0}")]
    Full(String),
    #[error("{0}")]
    Internal(String),
    /// A web application of a client failed.
    #[error("Internal Server Error: {0}")]
    Application(String),
    /// A failed method of the server itself.
    #[error("{0}")]
    Service(#[from] ServiceError),
    /// A failed call of a client's service.
    #[error("RemoteException: {}", .0.described())]
    Remote(#[from] CallError),
    /// The same with the peer's stack, where the operator wants callers to see it.
    #[error("RemoteException: {}", .0.detailed())]
    RemoteInFull(CallError),
}

/// The status of an error text that came from elsewhere (http.md 1.3).
fn status_of_text(text: &str) -> StatusCode {
    let has = |needle: &str| text.contains(needle);
    if has("KeyError:") || text.to_ascii_lowercase().contains("not found") {
        StatusCode::NOT_FOUND
    } else if has("PermissionError:") || has("Permission denied") {
        StatusCode::FORBIDDEN
    } else if has("TypeError:") || has("ValueError:") || has("AssertionError:") {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    }
}

fn status_of_class(error: &ServiceError) -> StatusCode {
    match error.class {
        ErrorClass::Key | ErrorClass::FileNotFound => StatusCode::NOT_FOUND,
        ErrorClass::Permission => StatusCode::FORBIDDEN,
        ErrorClass::Value | ErrorClass::Type | ErrorClass::Assertion => StatusCode::BAD_REQUEST,
        ErrorClass::FileExists => StatusCode::CONFLICT,
        ErrorClass::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorClass::Busy => StatusCode::SERVICE_UNAVAILABLE,
        ErrorClass::Full => StatusCode::INSUFFICIENT_STORAGE,
        _ => status_of_text(&error.to_string()),
    }
}

fn status_of_call(error: &CallError) -> StatusCode {
    match error {
        CallError::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
        error => status_of_text(&error.described()),
    }
}

impl ResponseError for HttpError {
    fn status_code(&self) -> StatusCode {
        match self {
            HttpError::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            HttpError::Forbidden(_) => StatusCode::FORBIDDEN,
            HttpError::NotFound(_) => StatusCode::NOT_FOUND,
            HttpError::Invalid(_) => StatusCode::BAD_REQUEST,
            HttpError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            HttpError::Application(_) => StatusCode::INTERNAL_SERVER_ERROR,
            HttpError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            HttpError::Conflict(_) => StatusCode::CONFLICT,
            HttpError::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
            HttpError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            HttpError::Service(error) => status_of_class(error),
            HttpError::Remote(error) | HttpError::RemoteInFull(error) => status_of_call(error),
        }
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.status_code();
        // A bad token is answered in the shape of the authentication layer.
        let body = match self {
            HttpError::Unauthorized(text) => json!({ "detail": text }),
            other => json!({ "success": false, "detail": other.to_string() }),
        };
        let mut answer = HttpResponse::build(status);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            answer.insert_header((RETRY_AFTER, "1"));
        }
        answer.json(body)
    }
}

/// For paths that lead nowhere.
pub async fn no_route(request: HttpRequest) -> HttpResponse {
    no_page(request.path())
}

/// There is no such page.
pub fn no_page(path: &str) -> HttpResponse {
    let page = path.trim_start_matches('/');
    HttpResponse::NotFound()
        .json(json!({ "success": false, "detail": format!("File not found: {page}") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_peers_decide_the_status() {
        for (text, status) in [
            ("KeyError: 'x'", 404),
            ("Exception: Service not found", 404),
            ("PermissionError: no", 403),
            ("TypeError: bad", 400),
            ("Exception: boom", 500),
        ] {
            let error = HttpError::Remote(CallError::Remote(text.to_owned().into()));
            assert_eq!(error.status_code().as_u16(), status, "{text}");
        }
    }
}
