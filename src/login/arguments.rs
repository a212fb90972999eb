//! Arguments of the login service, checked: what is kept for a login is bounded.

use crate::peer::{Arguments, ErrorClass, ServiceError};
use crate::wire::Value;

/// Longest name, email, id or workspace that is kept for a login, in bytes.
pub const MAX_TEXT: usize = 256;
const MAX_ADDRESS: usize = 2048;
/// The longest life that anybody may ask for a token, in seconds.
const LONGEST_LIFETIME_S: i64 = 365 * 86_400;

pub fn too_long(name: &str, limit: usize) -> ServiceError {
    ServiceError::value(format!("argument '{name}' is longer than {limit} bytes"))
}

/// A text that is not too long; an empty one is none, as pages send it for what they do not know.
pub fn text(args: &Arguments, name: &str, limit: usize) -> Result<Option<String>, ServiceError> {
    match args.opt_str(name)? {
        None | Some("") => Ok(None),
        Some(text) if text.len() > limit => Err(too_long(name, limit)),
        Some(text) => Ok(Some(text.to_owned())),
    }
}

/// A whole number of seconds, or the text of one, or nothing.
pub fn lifetime(args: &Arguments) -> Result<Option<i64>, ServiceError> {
    let value = args.get("expires_in");
    let seconds = match value {
        Value::Nil => return Ok(None),
        Value::Str(text) if text.is_empty() => return Ok(None),
        Value::Str(text) => text.trim().parse::<f64>().ok(),
        other => other.as_f64(),
    };
    match seconds {
        // No time at all means the default, as it does for the reference.
        Some(0.0) => Ok(None),
        Some(seconds) if seconds >= 1.0 => Ok(Some((seconds as i64).min(LONGEST_LIFETIME_S))),
        Some(_) => Err(ServiceError::new(
            ErrorClass::Assertion,
            "expires_in should be greater than 0",
        )),
        None => Err(ServiceError::type_(format!(
            "argument 'expires_in' must be an integer, got {}",
            value.type_name()
        ))),
    }
}

pub fn flag(args: &Arguments, name: &str) -> Result<Option<bool>, ServiceError> {
    match args.get(name) {
        Value::Str(text) => match text.to_ascii_lowercase().as_str() {
            "" => Ok(None),
            "true" | "1" => Ok(Some(true)),
            "false" | "0" => Ok(Some(false)),
            _ => Err(ServiceError::type_(format!(
                "argument '{name}' must be true or false"
            ))),
        },
        _ => args.opt_bool(name),
    }
}

pub fn email(args: &Arguments) -> Result<Option<String>, ServiceError> {
    let email = text(args, "email", MAX_TEXT)?;
    match &email {
        Some(text) if !text.contains('@') => Err(ServiceError::value(
            "value is not a valid email address: it must have an @-sign",
        )),
        _ => Ok(email),
    }
}

pub fn picture(args: &Arguments) -> Result<Option<String>, ServiceError> {
    let picture = text(args, "picture", MAX_ADDRESS)?;
    match picture.as_deref().map(url::Url::parse) {
        None => Ok(None),
        Some(Ok(url)) if matches!(url.scheme(), "http" | "https") => Ok(picture),
        Some(_) => Err(ServiceError::value(
            "argument 'picture' must be an http or https address",
        )),
    }
}
