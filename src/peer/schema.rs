//! Method tables: names, parameters and defaults of the server's own services, the binding of
//! call arguments to them, and the JSON schema that travels to clients.

use super::error::ServiceError;
use crate::map;
use crate::wire::{Map, Value};

/// JSON-schema type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Str,
    Int,
    Number,
    Bool,
    Object,
    List,
    /// Anything; no type is stated.
    Any,
}

impl Kind {
    fn name(self) -> Option<&'static str> {
        Some(match self {
            Kind::Str => "string",
            Kind::Int => "integer",
            Kind::Number => "number",
            Kind::Bool => "boolean",
            Kind::Object => "object",
            Kind::List => "array",
            Kind::Any => return None,
        })
    }
}

/// Default of a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Preset {
    Required,
    Null,
    Bool(bool),
    Int(i64),
    Str(&'static str),
}

impl Preset {
    fn value(self) -> Option<Value> {
        match self {
            Preset::Required => None,
            Preset::Null => Some(Value::Nil),
            Preset::Bool(value) => Some(value.into()),
            Preset::Int(value) => Some(value.into()),
            Preset::Str(value) => Some(value.into()),
        }
    }
}

/// One parameter.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    pub name: &'static str,
    pub kind: Kind,
    pub preset: Preset,
    pub doc: &'static str,
}

/// One method.
#[derive(Debug)]
pub struct MethodSpec {
    /// Name in the service; dots walk into nested maps.
    pub name: &'static str,
    pub doc: &'static str,
    pub params: &'static [Param],
}

/// A required parameter.
pub const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Param {
    Param {
        name,
        kind,
        preset: Preset::Required,
        doc,
    }
}

/// A parameter that is null unless given.
pub const fn optional(name: &'static str, kind: Kind, doc: &'static str) -> Param {
    with_default(name, kind, Preset::Null, doc)
}

/// A parameter with a default.
pub const fn with_default(
    name: &'static str,
    kind: Kind,
    preset: Preset,
    doc: &'static str,
) -> Param {
    Param {
        name,
        kind,
        preset,
        doc,
    }
}

impl MethodSpec {
    /// Binds positional and keyword arguments. Null counts as not given where there is a default.
    ///
    /// # Errors
    /// TypeError with the texts of the reference (workspace.md 4): unexpected keyword, missing
    /// argument, too many positional ones.
    pub fn bind(&self, args: Vec<Value>, kwargs: Map) -> Result<Arguments, ServiceError> {
        if args.len() > self.params.len() {
            return Err(ServiceError::type_(format!(
                "{}() takes {} positional arguments but {} were given",
                self.name,
                self.params.len(),
                args.len()
            )));
        }
        let mut given = vec![true; args.len()];
        given.resize(self.params.len(), false);
        let mut values: Vec<Value> = args;
        values.resize(self.params.len(), Value::Nil);
        for (key, value) in kwargs {
            let Some(at) = self.params.iter().position(|param| param.name == key) else {
                return Err(ServiceError::type_(format!(
                    "got an unexpected keyword argument '{key}'"
                )));
            };
            if given[at] && !values[at].is_nil() {
                return Err(ServiceError::type_(format!(
                    "got multiple values for argument '{key}'"
                )));
            }
            values[at] = value;
            given[at] = true;
        }
        for ((param, value), given) in self.params.iter().zip(&mut values).zip(given) {
            match param.preset.value() {
                Some(preset) if value.is_nil() => *value = preset,
                None if !given => {
                    return Err(ServiceError::type_(format!(
                        "Missing required argument: '{}'",
                        param.name
                    )));
                }
                _ => {}
            }
        }
        Ok(Arguments {
            params: self.params,
            values,
        })
    }

    /// The JSON schema of the method, as clients show it and language models read it.
    pub fn schema(&self) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for param in self.params {
            let mut property = map! { "description" => param.doc };
            if let Some(kind) = param.kind.name() {
                property.insert("type", kind);
            }
            match param.preset.value() {
                Some(value) => {
                    property.insert("default", value);
                }
                None => required.push(Value::from(param.name)),
            }
            properties.insert(param.name, property);
        }
        let mut parameters = map! { "properties" => properties, "type" => "object" };
        if !required.is_empty() {
            parameters.insert("required", required);
        }
        Value::Map(map! {
            "name" => self.name,
            "description" => self.doc,
            "parameters" => parameters,
        })
    }
}

/// Bound arguments of one call.
#[derive(Debug)]
pub struct Arguments {
    params: &'static [Param],
    values: Vec<Value>,
}

impl Arguments {
    /// The value of a parameter; null when there is none of this name.
    pub fn get(&self, name: &str) -> &Value {
        const NIL: &Value = &Value::Nil;
        self.params
            .iter()
            .position(|param| param.name == name)
            .map_or(NIL, |at| &self.values[at])
    }

    /// Takes a value out, leaving null.
    pub fn take(&mut self, name: &str) -> Value {
        self.params
            .iter()
            .position(|param| param.name == name)
            .map_or(Value::Nil, |at| std::mem::take(&mut self.values[at]))
    }

    /// A text.
    pub fn str(&self, name: &str) -> Result<&str, ServiceError> {
        let value = self.get(name);
        value
            .as_str()
            .ok_or_else(|| wrong_type(name, "a string", value))
    }

    /// A text or null.
    pub fn opt_str(&self, name: &str) -> Result<Option<&str>, ServiceError> {
        match self.get(name) {
            Value::Nil => Ok(None),
            _ => self.str(name).map(Some),
        }
    }

    /// True or false; null is false.
    pub fn bool(&self, name: &str) -> Result<bool, ServiceError> {
        match self.get(name) {
            Value::Nil => Ok(false),
            value => value
                .as_bool()
                .ok_or_else(|| wrong_type(name, "a boolean", value)),
        }
    }

    /// True, false or null.
    pub fn opt_bool(&self, name: &str) -> Result<Option<bool>, ServiceError> {
        match self.get(name) {
            Value::Nil => Ok(None),
            _ => self.bool(name).map(Some),
        }
    }

    /// A whole number.
    pub fn int(&self, name: &str) -> Result<i64, ServiceError> {
        let value = self.get(name);
        value
            .as_i64()
            .ok_or_else(|| wrong_type(name, "an integer", value))
    }

    /// A number or null.
    pub fn opt_f64(&self, name: &str) -> Result<Option<f64>, ServiceError> {
        match self.get(name) {
            Value::Nil => Ok(None),
            value => value
                .as_f64()
                .filter(|number| number.is_finite())
                .map(Some)
                .ok_or_else(|| wrong_type(name, "a number", value)),
        }
    }

    /// A map or null.
    pub fn opt_map(&self, name: &str) -> Result<Option<&Map>, ServiceError> {
        match self.get(name) {
            Value::Nil => Ok(None),
            value => value
                .as_map()
                .map(Some)
                .ok_or_else(|| wrong_type(name, "an object", value)),
        }
    }
}

fn wrong_type(name: &str, expected: &str, got: &Value) -> ServiceError {
    ServiceError::type_(format!(
        "argument '{name}' must be {expected}, got {}",
        got.type_name()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    static METHOD: MethodSpec = MethodSpec {
        name: "demo",
        doc: "",
        params: &[
            required("a", Kind::Str, ""),
            with_default("b", Kind::Int, Preset::Int(5), ""),
            optional("c", Kind::Any, ""),
        ],
    };

    fn bind(args: Vec<Value>, kwargs: Map) -> Result<Arguments, String> {
        METHOD.bind(args, kwargs).map_err(|error| error.to_string())
    }

    #[test]
    fn positional_and_keyword_forms_bind_alike() {
        let both = [
            bind(vec!["x".into(), 7.into()], Map::new()).unwrap(),
            bind(vec!["x".into()], map! { "b" => 7 }).unwrap(),
            bind(vec![], map! { "b" => 7, "a" => "x" }).unwrap(),
        ];
        for bound in both {
            assert_eq!(bound.str("a").unwrap(), "x");
            assert_eq!(bound.int("b").unwrap(), 7);
            assert!(bound.get("c").is_nil());
        }
    }

    #[test]
    fn null_counts_as_not_given() {
        let bound = bind(vec!["x".into(), Value::Nil], Map::new()).unwrap();
        assert_eq!(bound.int("b").unwrap(), 5);
        assert!(
            bind(vec![Value::Nil], Map::new())
                .unwrap()
                .get("a")
                .is_nil()
        );
        assert_eq!(
            bind(vec![], Map::new()).unwrap_err(),
            "TypeError: Missing required argument: 'a'"
        );
    }

    #[test]
    fn wrong_calls_are_told_apart() {
        assert_eq!(
            bind(vec!["x".into()], map! { "bogus" => 1 }).unwrap_err(),
            "TypeError: got an unexpected keyword argument 'bogus'"
        );
        assert_eq!(
            bind(vec!["x".into()], map! { "a" => "y" }).unwrap_err(),
            "TypeError: got multiple values for argument 'a'"
        );
        let four = vec![Value::from(1); 4];
        assert!(
            bind(four, Map::new())
                .unwrap_err()
                .contains("takes 3 positional")
        );
        let bound = bind(vec![1.into()], Map::new()).unwrap();
        assert_eq!(
            bound.str("a").unwrap_err().to_string(),
            "TypeError: argument 'a' must be a string, got int"
        );
    }
}
