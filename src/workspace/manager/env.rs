//! Environment variables of a workspace.

use serde_json::{Value as Json, json};

use super::ManagerService;
use crate::identity::Level;
use crate::map;
use crate::peer::{Arguments, CallContext, Reply, ServiceError};
use crate::wire::{Map, Value};
use crate::workspace::info::ENVIRONS;

/// Most variables of one workspace, and the longest value in bytes.
const MAX_VARIABLES: usize = 1000;
const MAX_VALUE: usize = 64 * 1024;
/// Longest name of a variable, in bytes.
const MAX_KEY: usize = 256;

impl ManagerService {
    pub(super) async fn set_env(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        self.directory
            .require(&context.user, &context.ws, Level::ReadWrite)?;
        let (key, value) = (args.str("key")?.to_owned(), args.opt_str("value")?);
        let fits = !key.is_empty()
            && key.len() <= MAX_KEY
            && value.is_none_or(|value| value.len() <= MAX_VALUE);
        if !fits {
            return Err(ServiceError::value(format!(
                "a variable needs a name of 1 to {MAX_KEY} bytes and at most {MAX_VALUE} bytes of \
                 value"
            )));
        }
        let (named, removed) = (key.clone(), value.is_none());
        let full = self
            .directory
            .change(&context.ws, |info| {
                let entry = info.config.entry(ENVIRONS).or_insert_with(|| json!({}));
                let Json::Object(variables) = entry else {
                    return true;
                };
                if variables.len() >= MAX_VARIABLES && !variables.contains_key(&key) {
                    return true;
                }
                match value {
                    Some(value) => variables.insert(key, value.into()),
                    None => variables.remove(&key),
                };
                false
            })
            .await?;
        if full {
            return Err(ServiceError::runtime(format!(
                "a workspace has at most {MAX_VARIABLES} variables"
            )));
        }
        let event = if removed { "env_removed" } else { "env_set" };
        // The value stays out of the log.
        let data = Value::Map(map! { "key" => named });
        self.note(event, &data, context).await
    }

    pub(super) fn get_env(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        self.directory
            .require(&context.user, &context.ws, Level::ReadWrite)?;
        let variables = self
            .directory
            .get(&context.ws)
            .and_then(|info| info.config.get(ENVIRONS).cloned())
            .map_or_else(|| Value::Map(Map::new()), Value::from_json);
        match args.opt_str("key")? {
            None => Ok(variables.into()),
            Some(key) => match variables.get(key) {
                Some(value) => Ok(value.clone().into()),
                None => Err(ServiceError::new(
                    crate::peer::ErrorClass::Key,
                    format!(
                        "\"Environment variable '{key}' not found in workspace {}\"",
                        context.ws
                    ),
                )),
            },
        }
    }
}
