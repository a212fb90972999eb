use std::sync::Arc;

use futures::FutureExt;

use super::methods;
use crate::artifacts::objects::{Entry, Page, Part, Target, clean, clean_dir};
use crate::artifacts::transfer::{Base, MAX_EXPIRY_S, Transfer, UrlOptions};
use crate::identity::Level;
use crate::map;
use crate::peer::{
    Arguments, CallContext, MethodFuture, MethodSpec, Reply, Service, ServiceError, ServiceSpec,
};
use crate::wire::{Map, Value};
use crate::workspace::Directory;

/// The folder that belongs to the artifacts of a workspace; this service does not reach it.
const RESERVED: &str = "artifacts";
/// Most entries of one listing.
const MAX_LISTED: i64 = 10_000;

/// See the module's text.
pub struct StorageService {
    directory: Arc<Directory>,
    transfer: Arc<Transfer>,
}

/// One file of a workspace that a call names.
struct Place {
    workspace: String,
    path: String,
}

impl Place {
    fn target(&self) -> Target {
        Target::Workspace {
            workspace: self.workspace.clone(),
            path: self.path.clone(),
        }
    }
}

impl StorageService {
    /// The service over these files.
    pub fn new(directory: Arc<Directory>, transfer: Arc<Transfer>) -> Arc<Self> {
        Arc::new(StorageService {
            directory,
            transfer,
        })
    }

    async fn run(
        self: Arc<Self>,
        method: &'static str,
        args: Arguments,
        context: CallContext,
    ) -> Result<Reply, ServiceError> {
        let value = match method {
            "list_files" => self.list_files(&args, &context).await?,
            "put_file" => self.put_file(&args, &context)?,
            "get_file" => self.get_file(&args, &context).await?,
            "put_file_start_multipart" => self.start_multipart(&args, &context).await?,
            "put_file_complete_multipart" => self.complete_multipart(&args, &context).await?,
            "remove_file" => self.remove(args.str("path")?, &context).await?,
            "delete_file" => {
                let path = args.str("path")?;
                if path.ends_with('/') {
                    let text = "Path should not end with a slash for file";
                    return Err(ServiceError::assertion(text));
                }
                self.remove(path, &context).await?
            }
            "delete_directory" => {
                let path = args.str("path")?;
                if !path.ends_with('/') {
                    let text = "Path should end with a slash for directory";
                    return Err(ServiceError::assertion(text));
                }
                self.remove(path, &context).await?
            }
            "generate_presigned_url" => self.presigned(&args, &context).await?,
            other => return Err(ServiceError::key(format!("Method not found: {other}"))),
        };
        Ok(value.into())
    }

    /// Workspace and path that a path means. One with a slash in front begins with the workspace
    /// and is for those who may do everything.
    fn place(
        &self,
        path: &str,
        context: &CallContext,
        level: Level,
    ) -> Result<Place, ServiceError> {
        let (workspace, path) = match path.strip_prefix('/') {
            Some(absolute) => {
                self.directory.require(&context.user, "*", Level::Admin)?;
                absolute.split_once('/').unwrap_or((absolute, ""))
            }
            None => {
                self.directory.require(&context.user, &context.ws, level)?;
                (context.ws.as_str(), path)
            }
        };
        let info = self.directory.get(workspace);
        if level == Level::ReadWrite && info.is_some_and(|info| info.read_only) {
            return Err(ServiceError::permission(
                "Permission denied: workspace is read-only",
            ));
        }
        let path = clean_dir(path)?;
        if path.split('/').next() == Some(RESERVED) {
            return Err(ServiceError::permission(
                "Permission denied: the folder 'artifacts' belongs to the artifact manager",
            ));
        }
        let workspace = workspace.to_owned();
        Ok(Place { workspace, path })
    }

    fn file(&self, path: &str, context: &CallContext, level: Level) -> Result<Place, ServiceError> {
        let place = self.place(path, context, level)?;
        clean(&place.path)?;
        if place.path.ends_with('/') {
            return Err(ServiceError::value(format!("'{path}' is a folder")));
        }
        Ok(place)
    }

    async fn list_files(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Value, ServiceError> {
        let place = self.place(args.str("path")?, context, Level::Read)?;
        let page = Page {
            offset: ranged(args, "offset", 0, i64::MAX)? as usize,
            limit: ranged(args, "max_length", 1, MAX_LISTED)? as usize,
        };
        let objects = &self.transfer.objects;
        let listing = objects.list_workspace(&place.workspace, &place.path, page);
        let entries = listing.await?.into_iter().map(|entry| match entry {
            Entry::File(name, object) => Value::from(map! {
                "type" => "file",
                "name" => name,
                "size" => object.size,
                "last_modified" => object.at,
            }),
            Entry::Folder(name) => Value::from(map! { "type" => "directory", "name" => name }),
        });
        Ok(Value::Array(entries.collect()))
    }

    fn put_file(&self, args: &Arguments, context: &CallContext) -> Result<Value, ServiceError> {
        let options = options(args)?;
        let paths = paths(args.get("file_path"))?;
        let ttls = ttls(args.get("ttl"), paths.all().len())?;
        let mut urls = Map::new();
        for (path, ttl) in paths.all().iter().zip(ttls) {
            let place = self.file(path, context, Level::ReadWrite)?;
            let url = self.transfer.put_url(&place.target(), ttl, &options);
            urls.insert(path.as_str(), url);
        }
        Ok(paths.answer(urls))
    }

    async fn get_file(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Value, ServiceError> {
        let options = options(args)?;
        let paths = paths(args.get("file_path"))?;
        let mut urls = Map::new();
        for path in paths.all() {
            let url = self.url_to_get(path, context, &options).await?;
            urls.insert(path.as_str(), url);
        }
        Ok(paths.answer(urls))
    }

    async fn url_to_get(
        &self,
        path: &str,
        context: &CallContext,
        options: &UrlOptions,
    ) -> Result<String, ServiceError> {
        let target = self.file(path, context, Level::Read)?.target();
        let object = self.transfer.objects.head(&target).await?;
        let url = self.transfer.get_url(&target, object.as_ref(), options);
        Ok(url.await?)
    }

    async fn presigned(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Value, ServiceError> {
        let path = args.str("path")?;
        let options = UrlOptions {
            expires_in: expiry(args, "expiration")?,
            use_proxy: None,
            base: Base::Public,
        };
        match args.str("client_method")? {
            "get_object" => Ok(self.url_to_get(path, context, &options).await?.into()),
            "put_object" => {
                let place = self.file(path, context, Level::ReadWrite)?;
                let url = self.transfer.put_url(&place.target(), None, &options);
                Ok(url.into())
            }
            other => Err(ServiceError::value(format!(
                "client_method must be get_object or put_object, not '{other}'"
            ))),
        }
    }

    async fn start_multipart(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Value, ServiceError> {
        let options = UrlOptions {
            expires_in: expiry(args, "expires_in")?,
            use_proxy: None,
            base: Base::Public,
        };
        let ttl = ttls(args.get("ttl"), 1)?[0];
        let place = self.file(args.str("file_path")?, context, Level::ReadWrite)?;
        let target = place.target();
        let count = u32::try_from(args.int("part_count")?).unwrap_or(0);
        let ttl = ttl.map(|ttl| ttl as f64);
        let objects = &self.transfer.objects;
        let begun = objects.begin_upload(target.clone(), count, options.expires_in, ttl);
        let id = begun.await?;
        let parts = (1..=count).map(|number| {
            let url = self.transfer.part_url(&target, &id, number, &options);
            Value::from(map! { "part_number" => i64::from(number), "url" => url })
        });
        let parts = Value::Array(parts.collect());
        Ok(map! { "upload_id" => id, "parts" => parts }.into())
    }

    async fn complete_multipart(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Value, ServiceError> {
        let id = args.str("upload_id")?;
        let session = self.transfer.objects.upload(id).await?;
        // Also who knows the id of somebody else's upload completes only what is theirs to write.
        let Target::Workspace { workspace, .. } = &session.target else {
            return Err(ServiceError::value("Upload session expired or not found"));
        };
        self.directory
            .require(&context.user, workspace, Level::ReadWrite)?;
        let parts = parts(args.get("parts"))?;
        let object = self.transfer.complete(id, &parts).await?;
        Ok(map! {
            "success" => true,
            "message" => "File uploaded successfully",
            "etag" => format!("\"{}\"", object.etag()),
        }
        .into())
    }

    async fn remove(&self, path: &str, context: &CallContext) -> Result<Value, ServiceError> {
        let place = self.place(path, context, Level::ReadWrite)?;
        if place.path.is_empty() {
            return Err(ServiceError::value(
                "the path of a file or folder is needed",
            ));
        }
        let objects = &self.transfer.objects;
        let Place {
            workspace,
            path: at,
        } = &place;
        if !at.ends_with('/') && objects.remove_workspace_file(workspace, at).await? {
            return Ok(done(true, format!("File deleted successfully: {path}")));
        }
        let folder = format!("{}/", at.trim_end_matches('/'));
        let removed = objects.remove_workspace_files(workspace, &folder).await?;
        if removed > 0 || at.ends_with('/') {
            return Ok(done(
                true,
                format!("Directory deleted successfully: {path}"),
            ));
        }
        Ok(done(false, format!("Path does not exist: {path}")))
    }
}

fn done(success: bool, message: String) -> Value {
    map! { "success" => success, "message" => message }.into()
}

impl Service for StorageService {
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

/// One path, or several that are answered with a map.
enum Paths {
    One([String; 1]),
    Several(Vec<String>),
}

impl Paths {
    fn all(&self) -> &[String] {
        match self {
            Paths::One(path) => path,
            Paths::Several(paths) => paths,
        }
    }

    fn answer(&self, mut urls: Map) -> Value {
        match self {
            Paths::One([path]) => urls.remove(path).unwrap_or_default(),
            Paths::Several(_) => urls.into(),
        }
    }
}

fn paths(value: &Value) -> Result<Paths, ServiceError> {
    if let Some(path) = value.as_str() {
        return Ok(Paths::One([path.to_owned()]));
    }
    let wrong = || ServiceError::type_("file_path must be a string or a list of strings");
    let list = value.as_array().ok_or_else(wrong)?;
    if list.is_empty() {
        let text = "file_path list must contain at least one path";
        return Err(ServiceError::value(text));
    }
    let paths = list.iter().map(|path| path.as_str().map(str::to_owned));
    let paths: Option<Vec<String>> = paths.collect();
    paths.map(Paths::Several).ok_or_else(wrong)
}

/// The lifetimes of so many files.
fn ttls(value: &Value, count: usize) -> Result<Vec<Option<u64>>, ServiceError> {
    let ttl = |value: &Value| match value {
        Value::Nil => Ok(None),
        value => value
            .as_u64()
            .filter(|ttl| *ttl > 0)
            .map(Some)
            .ok_or_else(|| ServiceError::value("ttl must be a whole number of seconds above 0")),
    };
    let Some(list) = value.as_array() else {
        return Ok(vec![ttl(value)?; count]);
    };
    if list.len() != count {
        return Err(ServiceError::value(format!(
            "ttl list length ({}) must match file_path list length ({count})",
            list.len()
        )));
    }
    list.iter().map(ttl).collect()
}

fn parts(value: &Value) -> Result<Vec<Part>, ServiceError> {
    let wrong = || ServiceError::value("each part needs a part_number and an etag");
    let list = value.as_array().ok_or_else(wrong)?;
    list.iter()
        .map(|part| {
            let number = part.get("part_number").and_then(Value::as_u64);
            let etag = part.get("etag").and_then(Value::as_str);
            Some(Part {
                number: u32::try_from(number?).ok()?,
                etag: etag?.to_owned(),
            })
        })
        .collect::<Option<_>>()
        .ok_or_else(wrong)
}

fn options(args: &Arguments) -> Result<UrlOptions, ServiceError> {
    Ok(UrlOptions {
        expires_in: expiry(args, "expires_in")?,
        use_proxy: args.opt_bool("use_proxy")?,
        base: match args.get("use_local_url") {
            Value::Nil | Value::Bool(false) => Base::Public,
            Value::Bool(true) => Base::Local,
            given => match given.as_str() {
                // As they stand in the query of an HTTP call.
                Some("false" | "False" | "") => Base::Public,
                Some("true" | "True") => Base::Local,
                Some(base) => Base::Given(base.to_owned()),
                None => {
                    let text = "use_local_url must be true, false or an address";
                    return Err(ServiceError::type_(text));
                }
            },
        },
    })
}

fn expiry(args: &Arguments, name: &str) -> Result<f64, ServiceError> {
    let seconds = args.opt_f64(name)?.unwrap_or(3600.0);
    if seconds > 0.0 && seconds <= MAX_EXPIRY_S {
        return Ok(seconds);
    }
    Err(ServiceError::value(format!(
        "{name} must be above 0 and at most {MAX_EXPIRY_S} seconds"
    )))
}

fn ranged(args: &Arguments, name: &str, least: i64, most: i64) -> Result<i64, ServiceError> {
    let number = args.int(name)?;
    if (least..=most).contains(&number) {
        return Ok(number);
    }
    Err(ServiceError::value(format!(
        "{name} must be between {least} and {most}"
    )))
}
