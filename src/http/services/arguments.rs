//! Arguments of a call over HTTP, from the query or the body (http.md 4.3).

use actix_web::HttpRequest;
use actix_web::http::{Method, header};
use bytes::Bytes;

use super::super::HttpError;
use crate::wire::{self, Limits, Map, Value};

/// Names that belong to the route and are no arguments, unless the function is known to have a
/// parameter of the name.
const RESERVED: [&str; 4] = ["workspace", "service_id", "function_key", "_mode"];

/// How a request is encoded, and so its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    MessagePack,
}

/// What a function is called with.
#[derive(Debug, Default, PartialEq)]
pub struct CallArguments {
    pub args: Vec<Value>,
    pub kwargs: Map,
}

impl Format {
    /// The format of a request by its content type; JSON when there is none. A GET has no body,
    /// so the type only chooses the answer's.
    ///
    /// # Errors
    /// A type that is neither.
    pub fn of(request: &HttpRequest) -> Result<Self, HttpError> {
        let Some(given) = request.headers().get(header::CONTENT_TYPE) else {
            return Ok(Format::Json);
        };
        let essence = given.to_str().unwrap_or_default();
        let essence = essence.split(';').next().unwrap_or_default().trim();
        match essence.to_ascii_lowercase().as_str() {
            "application/msgpack" | "application/x-msgpack" => Ok(Format::MessagePack),
            "" | "application/json" => Ok(Format::Json),
            _ if request.method() == Method::GET => Ok(Format::Json),
            other => Err(HttpError::Invalid(format!(
                "Invalid request body: unsupported content type {other}, use application/json or \
                 application/msgpack"
            ))),
        }
    }
}

/// Arguments in a query. `schema` is that of the function: parameters it calls strings stay
/// text, though they look like numbers.
///
/// # Errors
/// A value that begins like a JSON object and is none.
pub fn from_query(query: &str, schema: Option<&Map>) -> Result<CallArguments, HttpError> {
    let mut kwargs = Map::new();
    for (key, text) in url::form_urlencoded::parse(query.as_bytes()) {
        if RESERVED.contains(&key.as_ref()) && property(schema, &key).is_none() {
            continue;
        }
        let value = if is_string(schema, &key) {
            Value::from(text.as_ref())
        } else {
            guessed(&text).map_err(|error| {
                HttpError::Invalid(format!("Invalid request body: argument '{key}': {error}"))
            })?
        };
        kwargs.insert(key, value);
    }
    Ok(CallArguments {
        args: Vec::new(),
        kwargs,
    })
}

/// What a function's schema says about a parameter.
fn property<'a>(schema: Option<&'a Map>, name: &str) -> Option<&'a Value> {
    schema?.get("parameters")?.get("properties")?.get(name)
}

/// Whether a function's schema declares a parameter to be a string and nothing else.
fn is_string(schema: Option<&Map>, name: &str) -> bool {
    property(schema, name).and_then(|property| property.get("type")?.as_str()) == Some("string")
}

/// Texts in queries become numbers where they look like some.
fn guessed(text: &str) -> Result<Value, serde_json::Error> {
    if !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(number) = text.parse::<u64>()
    {
        return Ok(number.into());
    }
    if let Ok(number) = text.trim().parse::<f64>() {
        return Ok(number.into());
    }
    if text.starts_with('{') {
        return serde_json::from_str(text).map(Value::from_json);
    }
    Ok(text.into())
}

/// Arguments in a body: an object gives keyword arguments, a list positional ones, anything else
/// is the only one. `schema` is that of the function.
///
/// # Errors
/// Not in the format.
pub fn from_body(
    body: &Bytes,
    format: Format,
    schema: Option<&Map>,
) -> Result<CallArguments, HttpError> {
    if body.is_empty() {
        return Ok(CallArguments::default());
    }
    let invalid = |error: &dyn std::fmt::Display| {
        HttpError::Invalid(format!("Invalid request body: {error}"))
    };
    let value = match format {
        Format::Json => serde_json::from_slice(body)
            .map(Value::from_json)
            .map_err(|error| invalid(&error))?,
        Format::MessagePack => {
            wire::decode(body, &Limits::default()).map_err(|error| invalid(&error))?
        }
    };
    Ok(match value {
        Value::Map(mut kwargs) => {
            for name in RESERVED {
                if property(schema, name).is_none() {
                    kwargs.remove(name);
                }
            }
            CallArguments {
                args: Vec::new(),
                kwargs,
            }
        }
        Value::Array(args) => CallArguments {
            args,
            kwargs: Map::new(),
        },
        other => CallArguments {
            args: vec![other],
            kwargs: Map::new(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map;

    fn query(text: &str) -> Map {
        from_query(text, None).unwrap().kwargs
    }

    #[test]
    fn query_values_become_what_they_look_like() {
        for (text, expected) in [
            ("a=5", Value::from(5)),
            ("a=007", 7.into()),
            ("a=-5", Value::from(-5.0)),
            ("a=1e3", Value::from(1000.0)),
            ("a=true", "true".into()),
            ("a=[1]", "[1]".into()),
            ("a=", "".into()),
            ("a=x%20y", "x y".into()),
            ("a=1&a=2", 2.into()),
            ("a=%7B%22b%22%3A1%7D", Value::Map(map! { "b" => 1 })),
        ] {
            assert_eq!(query(text).get("a"), Some(&expected), "{text}");
        }
        assert!(query("a=nan").get("a").unwrap().as_f64().unwrap().is_nan());
        assert!(from_query("a={b", None).is_err());
        assert!(query("_mode=random&workspace=w&service_id=s&function_key=f").is_empty());
    }

    #[test]
    fn strings_by_schema_stay_strings() {
        let property = map! { "a" => map! { "type" => "string" } };
        let schema = map! { "parameters" => map! { "properties" => property } };
        let bound = from_query("a=123&b=123", Some(&schema)).unwrap().kwargs;
        assert_eq!(bound.get("a"), Some(&Value::from("123")));
        assert_eq!(bound.get("b"), Some(&Value::from(123)));
    }

    #[test]
    fn a_parameter_of_a_reserved_name_is_kept() {
        let property = map! { "workspace" => map! { "type" => "string" } };
        let schema = map! { "parameters" => map! { "properties" => property } };
        let expected = map! { "workspace" => "lab" };
        let query = "workspace=lab&service_id=x";
        let bound = from_query(query, Some(&schema)).unwrap();
        assert_eq!(bound.kwargs, expected);
        let body = Bytes::from_static(br#"{"workspace":"lab","service_id":"x"}"#);
        let bound = from_body(&body, Format::Json, Some(&schema)).unwrap();
        assert_eq!(bound.kwargs, expected);
    }

    #[test]
    fn bodies_of_all_shapes() {
        let json = |text: &'static str| {
            from_body(&Bytes::from_static(text.as_bytes()), Format::Json, None)
        };
        assert_eq!(json("").unwrap(), CallArguments::default());
        assert_eq!(
            json(r#"{"a":1,"_mode":"x"}"#).unwrap().kwargs,
            map! { "a" => 1 }
        );
        assert_eq!(json("[1,2]").unwrap().args, [Value::from(1), 2.into()]);
        assert_eq!(json(r#""x""#).unwrap().args, [Value::from("x")]);
        let error = json("{").unwrap_err().to_string();
        assert!(error.starts_with("Invalid request body: "), "{error}");
        let packed = wire::encode(&Value::Map(map! { "a" => Bytes::from_static(b"\0\x01") }));
        let bound = from_body(&packed, Format::MessagePack, None).unwrap();
        assert!(bound.kwargs.get("a").unwrap().as_bytes().is_some());
        assert!(from_body(&Bytes::from_static(b"\xc1"), Format::MessagePack, None).is_err());
    }
}
