//! Calls about files.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;

use super::ArtifactService;
use super::arguments::{flag, options, parts, paths, text, version, weights};
use crate::artifacts::objects::{Entry, Object, Page, Target, clean, clean_dir};
use crate::artifacts::store::{Artifact, Place, Sight, Wish};
use crate::map;
use crate::peer::{Arguments, ServiceError};
use crate::wire::{Map, Value};

/// Most bytes that one call reads.
const MAX_READ: i64 = 10 * 1024 * 1024;
/// Most bytes that one call writes.
const MAX_WRITE: usize = 64 * 1024 * 1024;

impl ArtifactService {
    pub(super) async fn list_files(
        &self,
        args: &Arguments,
        place: Place,
    ) -> Result<Value, ServiceError> {
        let folder = clean_dir(&text(args, "dir_path")?.unwrap_or_default())?;
        let folder = folder.trim_end_matches('/').to_owned();
        let (limit, offset) = (args.int("limit")?, args.int("offset")?);
        if !(1..=10_000).contains(&limit) || offset < 0 {
            return Err(ServiceError::value(
                "limit must be 1 to 10000, offset 0 or more",
            ));
        }
        let (version, pending) = (version(args)?, flag(args, "include_pending")?);
        let found = self.store.read(move |inner| {
            let found = inner.allowed(&place.workspace, &place.id, &place.user, "list_files")?;
            let sight = found.sight(version.as_deref())?;
            Ok((found, sight))
        });
        let (mut artifact, sight) = found.await?;
        let Some(dir) = artifact.dir_of(sight) else {
            return Ok(Value::Array(Vec::new()));
        };
        let staged = artifact.staging.take().filter(|_| sight == Sight::Stage);
        let page = Page {
            offset: 0,
            limit: usize::MAX,
        };
        let objects = self.store.objects();
        let entries = objects.list_dir(&artifact.id, dir, &folder, page).await?;
        let weight = |path: &str| match &staged {
            Some(draft) => draft.weight(path).unwrap_or_else(|| artifact.weight(path)),
            None => artifact.weight(path),
        };
        let inside = match folder.is_empty() {
            true => String::new(),
            false => format!("{folder}/"),
        };
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        for entry in entries {
            match entry {
                Entry::File(name, object) => {
                    let weight = weight(&format!("{inside}{name}"));
                    files.push(shown(name, Some(&object), weight));
                }
                Entry::Folder(name) => {
                    folders.push(map! { "type" => "directory", "name" => name });
                }
            }
        }
        let mut all = files;
        all.append(&mut folders);
        if let Some(draft) = staged.as_ref().filter(|_| pending) {
            // Announced, and not put yet.
            let names = all.iter().filter_map(|one| one.get_str("name"));
            let there: HashSet<String> = names.map(str::to_owned).collect();
            for file in draft.files.iter().filter(|file| !file.remove) {
                let Some(name) = file.path.strip_prefix(&inside) else {
                    continue;
                };
                let arrived = match name.contains('/') {
                    true => self.store.has_file(&artifact.id, dir, &file.path).await?,
                    false => there.contains(name),
                };
                if !arrived {
                    all.push(shown(name.to_owned(), None, weight(&file.path)));
                }
            }
            all.sort_by(|a, b| a.get_str("name").cmp(&b.get_str("name")));
        }
        let wanted = all.into_iter().skip(offset as usize).take(limit as usize);
        Ok(Value::Array(wanted.map(Value::from).collect()))
    }

    pub(super) async fn put_file(
        &self,
        args: &Arguments,
        place: Place,
    ) -> Result<Value, ServiceError> {
        let options = options(args)?;
        let (paths, several) = paths(args)?;
        let weights = weights(args, paths.len())?;
        let wishes: Vec<Wish> = paths
            .iter()
            .zip(weights)
            .map(|((_, path), weight)| Wish {
                path: path.clone(),
                weight,
            })
            .collect();
        let targets = self
            .store
            .change(move |inner, _| inner.announce(&place, &wishes))
            .await?;
        let mut urls = Map::new();
        for ((given, _), target) in paths.iter().zip(&targets) {
            urls.insert(
                given.as_str(),
                self.transfer.put_url(target, None, &options),
            );
        }
        Ok(answer(urls, several, &paths[0].0))
    }

    pub(super) async fn start_multipart(
        &self,
        args: &Arguments,
        place: Place,
    ) -> Result<Value, ServiceError> {
        let options = options(args)?;
        let count = args.int("part_count")?;
        if count < 1 {
            return Err(ServiceError::value("Part count must be greater than 0."));
        }
        let count = u32::try_from(count).ok().filter(|count| *count <= 10_000);
        let count = count.ok_or_else(|| {
            ServiceError::value("Too many parts: the maximum number of parts is 10,000.")
        })?;
        let path = clean(&text(args, "file_path")?.unwrap_or_default())?;
        let weight = weights(args, 1)?[0];
        let wish = [Wish { path, weight }];
        let targets = self
            .store
            .change(move |inner, _| inner.announce(&place, &wish))
            .await?;
        let target = &targets[0];
        let begun =
            self.store
                .objects()
                .begin_upload(target.clone(), count, options.expires_in, None);
        let id = begun.await?;
        let parts = (1..=count).map(|number| {
            let url = self.transfer.part_url(target, &id, number, &options);
            Value::from(map! { "part_number" => i64::from(number), "url" => url })
        });
        let parts = Value::Array(parts.collect());
        Ok(map! { "upload_id" => id, "parts" => parts }.into())
    }

    pub(super) async fn complete_multipart(
        &self,
        args: &Arguments,
        place: Place,
    ) -> Result<Value, ServiceError> {
        let upload = args.str("upload_id")?;
        let parts = parts(args)?;
        let found = self
            .store
            .read(move |inner| inner.allowed(&place.workspace, &place.id, &place.user, "put_file"));
        let artifact = found.await?;
        let session = self.store.objects().upload(upload).await?;
        // Who knows the id of an upload to something else completes nothing with it.
        if !matches!(&session.target, Target::Artifact { id, .. } if *id == artifact.id) {
            return Err(ServiceError::value("Upload session expired or not found"));
        }
        self.transfer.complete(upload, &parts).await?;
        Ok(map! { "success" => true, "message" => "File uploaded successfully" }.into())
    }

    pub(super) async fn remove_file(
        &self,
        args: &Arguments,
        place: Place,
    ) -> Result<Value, ServiceError> {
        let path = clean(&text(args, "file_path")?.unwrap_or_default())?;
        self.store
            .change(move |inner, _| inner.remove(&place, &path))
            .await?;
        Ok(Value::Nil)
    }

    async fn found(
        &self,
        args: &Arguments,
        place: Place,
        paths: Vec<String>,
    ) -> Result<(Artifact, Vec<(Target, Object)>), ServiceError> {
        let version = version(args)?;
        let found = self.store.read(move |inner| {
            let artifact = inner.allowed(&place.workspace, &place.id, &place.user, "get_file")?;
            let file = |path: &String| inner.file(&artifact, version.as_deref(), path);
            let files = paths.iter().map(file).collect::<Result<Vec<_>, _>>()?;
            Ok((artifact, files))
        });
        Ok(found.await?)
    }

    pub(super) async fn get_file(
        &self,
        args: &Arguments,
        place: Place,
    ) -> Result<Value, ServiceError> {
        let options = options(args)?;
        let (paths, several) = paths(args)?;
        let cleaned = paths.iter().map(|(_, path)| path.clone()).collect();
        let (artifact, files) = self.found(args, place, cleaned).await?;
        let mut urls = Map::new();
        for ((given, _), (target, object)) in paths.iter().zip(&files) {
            let url = self
                .transfer
                .get_url(target, Some(object), &options)
                .await?;
            urls.insert(given.as_str(), url);
        }
        let loads: f64 = paths.iter().map(|(_, path)| artifact.weight(path)).sum();
        if !flag(args, "silent")? && loads > 0.0 {
            self.store
                .read(move |inner| inner.count(&artifact, 0.0, loads))
                .await?;
        }
        Ok(answer(urls, several, &paths[0].0))
    }

    pub(super) async fn read_file(
        &self,
        args: &Arguments,
        place: Place,
    ) -> Result<Value, ServiceError> {
        let format = args.str("format")?;
        known(format)?;
        let (offset, limit) = (args.int("offset")?, args.int("limit")?);
        if offset < 0 || !(1..=MAX_READ).contains(&limit) {
            return Err(ServiceError::value(format!(
                "offset must be 0 or more, limit 1 to {MAX_READ}"
            )));
        }
        let path = clean(&text(args, "file_path")?.unwrap_or_default())?;
        let (_, files) = self.found(args, place, vec![path.clone()]).await?;
        let object = &files[0].1;
        let start = (offset as u64).min(object.size);
        let end = start.saturating_add(limit as u64).min(object.size);
        let mut bytes = BytesMut::new();
        if start < end {
            let stream = self
                .store
                .objects()
                .open_range(object, Some(start..end))
                .await?;
            let read = stream.try_for_each(|part| {
                bytes.extend_from_slice(&part);
                std::future::ready(Ok(()))
            });
            read.await.map_err(|error| {
                ServiceError::runtime(format!("the file cannot be read: {error}"))
            })?;
        }
        let content = match format {
            "binary" => Value::Bin(bytes.freeze()),
            "base64" => Value::from(STANDARD.encode(&bytes)),
            "json" => {
                let json: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| {
                    ServiceError::value(format!("the file is no JSON: {error}"))
                })?;
                Value::from(json)
            }
            _ => {
                utf8(args)?;
                let text = String::from_utf8(bytes.to_vec());
                Value::from(text.map_err(|_| ServiceError::value("the file is no UTF-8 text"))?)
            }
        };
        Ok(map! { "name" => path, "content" => content }.into())
    }

    pub(super) async fn write_file(
        &self,
        args: &Arguments,
        place: Place,
    ) -> Result<Value, ServiceError> {
        let format = args.str("format")?;
        known(format)?;
        let path = clean(&text(args, "file_path")?.unwrap_or_default())?;
        let content = args.get("content");
        let wrong =
            || ServiceError::value(format!("the content does not suit the format '{format}'"));
        let bytes = match format {
            "json" => json_bytes(content)?,
            "binary" => content.as_bytes().cloned().ok_or_else(wrong)?,
            "base64" => {
                let text = content.as_str().ok_or_else(wrong)?;
                STANDARD.decode(text).map_err(|_| wrong())?.into()
            }
            _ => {
                utf8(args)?;
                Bytes::from(content.as_str().ok_or_else(wrong)?.to_owned())
            }
        };
        if bytes.len() > MAX_WRITE {
            return Err(ServiceError::value("the content is longer than 64 MiB"));
        }
        // Nobody fills the disk with what they may not put.
        let (asked, written) = (place.clone(), bytes.len());
        let allowed = self
            .store
            .read(move |inner| inner.allowed(&asked.workspace, &asked.id, &asked.user, "put_file"));
        allowed.await?;
        let object = self.store.objects().take_bytes(bytes, None).await?;
        let wish = Wish { path, weight: 0.0 };
        self.store
            .change(move |inner, _| inner.put(&place, wish, &object))
            .await?;
        Ok(map! { "success" => true, "bytes_written" => written as i64 }.into())
    }
}

/// A file in a listing; without object one that was announced.
fn shown(name: String, object: Option<&Object>, weight: f64) -> Map {
    let mut shown = map! { "type" => "file", "name" => name };
    match object {
        Some(object) => {
            shown.insert("size", object.size);
            shown.insert("last_modified", object.at);
        }
        None => {
            shown.insert("size", 0);
            shown.insert("last_modified", Value::Nil);
            shown.insert("etag", Value::Nil);
            shown.insert("pending", true);
        }
    }
    if weight > 0.0 {
        shown.insert("download_weight", weight);
    }
    shown
}

fn answer(mut urls: Map, several: bool, first: &str) -> Value {
    match several {
        true => urls.into(),
        false => urls.remove(first).unwrap_or_default(),
    }
}

fn known(format: &str) -> Result<(), ServiceError> {
    match format {
        "text" | "binary" | "base64" | "json" => Ok(()),
        other => Err(ServiceError::value(format!(
            "Invalid format: {other}; text, binary, base64 and json are known"
        ))),
    }
}

/// A value as JSON. A text that is JSON already stays as it is.
fn json_bytes(content: &Value) -> Result<Bytes, ServiceError> {
    if let Some(text) = content.as_str()
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
    {
        return Ok(Bytes::from(text.to_owned()));
    }
    let bytes = serde_json::to_vec_pretty(&content.to_json());
    bytes
        .map(Bytes::from)
        .map_err(|error| ServiceError::value(format!("the content is no JSON: {error}")))
}

fn utf8(args: &Arguments) -> Result<(), ServiceError> {
    match args.str("encoding")?.to_lowercase().as_str() {
        "utf-8" | "utf8" | "ascii" => Ok(()),
        other => Err(ServiceError::value(format!(
            "Encoding {other} is not supported."
        ))),
    }
}
