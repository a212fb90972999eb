//! The files of an app.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Controller, selector_of};
use crate::identity::Level;
use crate::map;
use crate::peer::{Arguments, CallContext, Reply, ServiceError};
use crate::wire::Value;

impl Controller {
    pub(super) async fn list_files(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let (workspace, app) = self.app_for(args, context, Level::Read)?;
        let selector = selector_of(args)?;
        let files = self.host.store.files(&workspace, &app, &selector).await?;
        let folder = match args.opt_str("path")?.map(|path| path.trim_matches('/')) {
            None | Some("") => String::new(),
            Some(path) => format!("{path}/"),
        };
        let recursive = args.bool("recursive")?;
        let mut folders = BTreeSet::new();
        let mut listed = Vec::new();
        for (path, size, at) in files {
            let Some(rest) = path.strip_prefix(&folder) else {
                continue;
            };
            match rest.split_once('/') {
                Some((name, _)) if !recursive => {
                    folders.insert(name.to_owned());
                }
                _ => listed.push(Value::Map(map! {
                    "type" => "file",
                    "name" => rest,
                    "size" => size,
                    "last_modified" => at,
                })),
            }
        }
        listed.extend(
            folders
                .into_iter()
                .map(|name| Value::Map(map! { "type" => "directory", "name" => name })),
        );
        Ok(listed.into())
    }

    pub(super) async fn read_file(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let (workspace, app) = self.app_for(args, context, Level::Read)?;
        let path = args.str("file_path")?;
        let wrap = |error: ServiceError| {
            let message = format!(
                "Failed to get file content for {app}/{path}: {}",
                error.message
            );
            ServiceError::new(error.class, message)
        };
        let store = &self.host.store;
        let version = store
            .version(&workspace, &app, &selector_of(args)?)
            .await
            .map_err(|error| wrap(error.into()))?;
        let bytes = store
            .file(&workspace, &app, &version.label, path)
            .await
            .map_err(|error| wrap(error.into()))?;
        let text = || {
            std::str::from_utf8(&bytes)
                .map_err(|_| wrap(ServiceError::value("the file is not text, ask for binary")))
        };
        match args.str("format")? {
            "text" => Ok(text()?.into()),
            "json" => serde_json::from_str(text()?)
                .map(|json| Value::from_json(json).into())
                .map_err(|error| wrap(ServiceError::value(format!("not JSON: {error}")))),
            "binary" => Ok(STANDARD.encode(&bytes).into()),
            other => Err(wrap(ServiceError::value(format!(
                "Invalid format '{other}'. Must be 'text', 'json' or 'binary'"
            )))),
        }
    }
}
