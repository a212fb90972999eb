//! A service of somebody else.

use std::collections::HashMap;

use super::connection::Connection;
use super::error::ClientError;
use super::inbox::Progress;
use crate::wire::{Map, RemoteFunction, Value};

/// See the module's text.
pub struct RemoteService<'a> {
    connection: &'a Connection,
    id: String,
    service: Map,
}

impl<'a> RemoteService<'a> {
    pub(super) fn new(connection: &'a Connection, id: &str, service: Map) -> Self {
        RemoteService {
            connection,
            id: id.to_owned(),
            service,
        }
    }

    /// Calls a function by its dotted name.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn call(
        &self,
        function: &str,
        args: Vec<Value>,
        kwargs: Map,
    ) -> Result<Value, ClientError> {
        let function = self.function(function)?;
        self.connection
            .call(&function, args, kwargs, HashMap::new())
            .await
    }

    /// The same, with a `progress_callback`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn call_with_progress(
        &self,
        function: &str,
        kwargs: Map,
        progress: Progress,
    ) -> Result<Value, ClientError> {
        let function = self.function(function)?;
        let callbacks = HashMap::from([("progress_callback".to_owned(), progress)]);
        self.connection
            .call(&function, Vec::new(), kwargs, callbacks)
            .await
    }

    fn function(&self, path: &str) -> Result<RemoteFunction, ClientError> {
        let missing = || ClientError::NoFunction {
            service: self.id.clone(),
            function: path.to_owned(),
        };
        let mut steps = path.split('.');
        let first = steps.next().and_then(|step| self.service.get(step));
        let found = steps.try_fold(first.ok_or_else(missing)?, |at, step| {
            at.get(step).ok_or_else(missing)
        })?;
        let mut function = RemoteFunction::try_from(found).map_err(|_| missing())?;
        function.resolve_target(&self.connection.workspace);
        Ok(function)
    }

    /// The names of the functions, dotted.
    pub fn functions(&self) -> Vec<String> {
        let mut names = Vec::new();
        collect(&self.service, "", &mut names);
        names
    }
}

fn collect(map: &Map, prefix: &str, names: &mut Vec<String>) {
    for (key, value) in map.iter() {
        match value {
            Value::Map(inner) if inner.get_str("_rtype") == Some("method") => {
                names.push(format!("{prefix}{key}"));
            }
            Value::Map(inner) => collect(inner, &format!("{prefix}{key}."), names),
            _ => {}
        }
    }
}
