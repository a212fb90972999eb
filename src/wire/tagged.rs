//! Maps with a `_rtype`: the few kinds the server makes and reads itself. All other kinds stay
//! plain maps and so pass through unchanged.

use bytes::Bytes;

use super::{DecodeError, Limits, Map, Value, decode};

/// The heartbeat interval of a call that names none or a senseless one: half the 30 seconds that
/// callers wait by default.
const DEFAULT_INTERVAL: f64 = 15.0;
/// Bounds on a requested heartbeat interval, so that a caller cannot ask for a flood.
const INTERVALS: std::ops::RangeInclusive<f64> = 0.1..=86_400.0;

/// Why a value is not a remote function.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaggedError {
    /// Not a map with `_rtype: "method"`.
    #[error("expected a remote function, found a {found}")]
    NotFunction { found: String },
    /// A remote function without one of its parts.
    #[error("the remote function has no text in `{0}`")]
    MissingPart(&'static str),
}

/// A function at another peer, `_rtype: "method"`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteFunction {
    /// The peer, `workspace/client`; callbacks come with the bare client id.
    pub target: String,
    /// The method at that peer.
    pub method: String,
    /// Whether a call has an answer.
    pub promise: bool,
    /// The name the function shows to people.
    pub name: Option<String>,
}

impl RemoteFunction {
    /// Completes a bare client id with the workspace of the peer that sent it.
    pub fn resolve_target(&mut self, sender_ws: &str) {
        if !self.target.contains('/') {
            self.target = format!("{sender_ws}/{}", self.target);
        }
    }

    /// The tagged map.
    pub fn to_value(&self) -> Value {
        let promise = if self.promise {
            Value::from("*")
        } else {
            Value::from(false)
        };
        let mut map = crate::map! {
            "_rtype" => "method",
            "_rtarget" => &self.target,
            "_rmethod" => &self.method,
            "_rpromise" => promise,
        };
        if let Some(name) = &self.name {
            map.insert("_rname", name);
        }
        map.into()
    }
}

impl TryFrom<&Value> for RemoteFunction {
    type Error = TaggedError;

    fn try_from(value: &Value) -> Result<Self, TaggedError> {
        let tag = value.get("_rtype").and_then(Value::as_str);
        if tag != Some("method") {
            let found = tag.unwrap_or(value.type_name()).to_owned();
            return Err(TaggedError::NotFunction { found });
        }
        let part = |key: &'static str| {
            let text = value.get(key).and_then(Value::as_str);
            text.map(str::to_owned).ok_or(TaggedError::MissingPart(key))
        };
        Ok(RemoteFunction {
            target: part("_rtarget")?,
            method: part("_rmethod")?,
            promise: value.get("_rpromise").is_some_and(Value::truthy),
            name: part("_rname").ok(),
        })
    }
}

impl From<&RemoteFunction> for Value {
    fn from(function: &RemoteFunction) -> Self {
        function.to_value()
    }
}

/// The tagged map that rejects a call. The text is `ErrorType: message`, which users match.
pub fn error_value(text: &str) -> Value {
    crate::map! { "_rtype" => "error", "_rvalue" => text, "_rtrace" => "" }.into()
}

/// The text of a tagged error, nothing for any other value.
pub fn error_text(value: &Value) -> Option<String> {
    if value.get("_rtype")?.as_str()? != "error" {
        return None;
    }
    let text = value.get("_rvalue").and_then(Value::as_str);
    Some(text.unwrap_or_default().to_owned())
}

/// Why the bytes after a header are not a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not MessagePack, or beyond the limits.
    #[error("malformed body: {0}")]
    Malformed(#[from] DecodeError),
    /// A part has the wrong type.
    #[error("`{part}` is a {found}, expected {expected}")]
    WrongType {
        part: &'static str,
        found: &'static str,
        expected: &'static str,
    },
    /// The body is encrypted for somebody else.
    #[error("encrypted messages are not supported by this peer")]
    Encrypted,
    /// A function inside `promise` is missing or malformed.
    #[error("the promise has no usable `{part}`: {source}")]
    Promise {
        part: &'static str,
        source: TaggedError,
    },
}

/// How a caller wants to hear of the outcome.
#[derive(Clone, Debug, PartialEq)]
#[allow(
    clippy::large_enum_variant,
    reason = "made once per call and consumed at once, so boxes would only cost"
)]
pub enum PromiseSpec {
    /// By methods of the call's session: `<session>.resolve` and so on.
    Session {
        /// Seconds between heartbeats.
        interval: f64,
    },
    /// By the functions given.
    Explicit {
        /// Called with the result.
        resolve: RemoteFunction,
        /// Called with the error.
        reject: RemoteFunction,
        /// Called while the method runs.
        heartbeat: Option<RemoteFunction>,
        /// Seconds between heartbeats.
        interval: f64,
    },
}

impl PromiseSpec {
    /// Completes bare client ids with the workspace of the caller.
    pub fn resolve_targets(&mut self, sender_ws: &str) {
        if let PromiseSpec::Explicit {
            resolve,
            reject,
            heartbeat,
            ..
        } = self
        {
            resolve.resolve_target(sender_ws);
            reject.resolve_target(sender_ws);
            if let Some(heartbeat) = heartbeat {
                heartbeat.resolve_target(sender_ws);
            }
        }
    }

    fn read(promise: &Value, t: Option<&Value>) -> Result<Option<PromiseSpec>, BodyError> {
        match promise {
            Value::Map(map) => PromiseSpec::explicit(map).map(Some),
            Value::Str(text) if text == "*" => Ok(Some(PromiseSpec::Session {
                interval: interval(t),
            })),
            other if !other.truthy() => Ok(None),
            other => Err(wrong_type("promise", other, "\"*\" or a dict")),
        }
    }

    fn explicit(map: &Map) -> Result<PromiseSpec, BodyError> {
        let function = |part: &'static str| {
            RemoteFunction::try_from(map.get(part).unwrap_or(&Value::Nil))
                .map_err(|source| BodyError::Promise { part, source })
        };
        let heartbeat = match map.get("heartbeat") {
            None | Some(Value::Nil) => None,
            Some(_) => Some(function("heartbeat")?),
        };
        Ok(PromiseSpec::Explicit {
            resolve: function("resolve")?,
            reject: function("reject")?,
            heartbeat,
            interval: interval(map.get("interval")),
        })
    }
}

/// The body of a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallBody {
    /// The positional arguments.
    pub args: Vec<Value>,
    /// The keyword arguments.
    pub kwargs: Map,
    /// How to answer, if the caller waits.
    pub promise: Option<PromiseSpec>,
}

impl CallBody {
    /// Decodes the bytes after the header; none at all is a call without arguments.
    pub fn decode(body: &Bytes, limits: &Limits) -> Result<CallBody, BodyError> {
        if body.is_empty() {
            return Ok(CallBody::default());
        }
        let mut map = match decode(body, limits)? {
            Value::Map(map) => map,
            other => return Err(wrong_type("body", &other, "a dict")),
        };
        if map.contains_key("_enc") {
            return Err(BodyError::Encrypted);
        }
        let mut args = match map.remove("args") {
            None | Some(Value::Nil) => Vec::new(),
            Some(Value::Array(args)) => args,
            Some(other) => return Err(wrong_type("args", &other, "a list")),
        };
        let kwargs = match map.get("with_kwargs") {
            Some(flag) if flag.truthy() => take_kwargs(&mut args)?,
            _ => Map::new(),
        };
        let promise = match map.get("promise") {
            Some(promise) => PromiseSpec::read(promise, map.get("t"))?,
            None => None,
        };
        Ok(CallBody {
            args,
            kwargs,
            promise,
        })
    }
}

/// With `with_kwargs` the last argument holds the keywords.
fn take_kwargs(args: &mut Vec<Value>) -> Result<Map, BodyError> {
    match args.pop() {
        Some(Value::Map(kwargs)) => Ok(kwargs),
        other => Err(wrong_type(
            "the keyword argument",
            &other.unwrap_or_default(),
            "a dict",
        )),
    }
}

/// A heartbeat interval from the network, made safe to count with.
fn interval(value: Option<&Value>) -> f64 {
    match value.and_then(Value::as_f64) {
        Some(seconds) if seconds > 0.0 => seconds.clamp(*INTERVALS.start(), *INTERVALS.end()),
        _ => DEFAULT_INTERVAL,
    }
}

fn wrong_type(part: &'static str, value: &Value, expected: &'static str) -> BodyError {
    BodyError::WrongType {
        part,
        found: value.type_name(),
        expected,
    }
}
