//! The service `public/artifact-manager` (artifacts.md 4).

mod arguments;
mod files;
mod listing;
mod methods;
mod records;

use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;

use super::store::{ArtifactStore, Place};
use super::transfer::Transfer;
use crate::peer::{
    Arguments, CallContext, ErrorClass, MethodFuture, MethodSpec, Reply, Service, ServiceError,
    ServiceSpec,
};
use crate::wire::Value;
use crate::workspace::Directory;

/// See the module's text.
pub struct ArtifactService {
    directory: Arc<Directory>,
    store: ArtifactStore,
    transfer: Arc<Transfer>,
    apps: Option<Arc<dyn AppRemoval>>,
}

/// Who has to know when an artifact that is an app is deleted. Nobody does when apps are switched
/// off.
#[async_trait]
pub trait AppRemoval: Send + Sync {
    /// Ends the sessions of an app whose artifact is gone, and forgets its switches.
    ///
    /// # Errors
    /// It did not work; the artifact is gone all the same.
    async fn artifact_deleted(&self, workspace: &str, app: &str) -> Result<(), ServiceError>;
}

impl ArtifactService {
    /// The service over these artifacts.
    pub fn new(
        directory: Arc<Directory>,
        store: ArtifactStore,
        transfer: Arc<Transfer>,
        apps: Option<Arc<dyn AppRemoval>>,
    ) -> Arc<Self> {
        Arc::new(ArtifactService {
            directory,
            store,
            transfer,
            apps,
        })
    }

    async fn run(
        self: Arc<Self>,
        method: &'static str,
        args: Arguments,
        context: CallContext,
    ) -> Result<Reply, ServiceError> {
        if let Some(why) = methods::missing(method) {
            return Err(not_implemented(why));
        }
        let value = match method {
            "create" => self.create(&args, &context).await?.into(),
            "duplicate" => self.duplicate(&args, &context).await?.into(),
            "list" | "search" => self.list(&args, &context, method == "list").await?.into(),
            _ => self.on_one(method, &args, place(&args, &context)?).await?,
        };
        Ok(value.into())
    }

    async fn on_one(
        &self,
        method: &'static str,
        args: &Arguments,
        place: Place,
    ) -> Result<Value, ServiceError> {
        match method {
            "list_files" => self.list_files(args, place).await,
            "put_file" => self.put_file(args, place).await,
            "put_file_start_multipart" => self.start_multipart(args, place).await,
            "put_file_complete_multipart" => self.complete_multipart(args, place).await,
            "remove_file" => self.remove_file(args, place).await,
            "get_file" => self.get_file(args, place).await,
            "read_file" => self.read_file(args, place).await,
            "write_file" => self.write_file(args, place).await,
            _ => self.on_record(method, args, place).await.map(Value::from),
        }
    }
}

impl Service for ArtifactService {
    fn spec(&self) -> &ServiceSpec {
        &methods::SPEC
    }

    fn call(
        self: Arc<Self>,
        method: &'static MethodSpec,
        arguments: Arguments,
        context: CallContext,
    ) -> MethodFuture {
        self.run(method.name, arguments, context).boxed()
    }
}

/// A failure that clients know as `NotImplementedError`.
fn not_implemented(text: &str) -> ServiceError {
    ServiceError::new(ErrorClass::Named("NotImplementedError"), text)
}

fn place(args: &Arguments, context: &CallContext) -> Result<Place, ServiceError> {
    Ok(Place {
        workspace: context.ws.clone(),
        id: arguments::text(args, "artifact_id")?
            .ok_or_else(|| ServiceError::value("artifact_id is needed"))?,
        user: context.user.clone(),
    })
}
