//! Archives: all files of a version as one, and members of one that is a file.

use actix_web::body::SizedStream;
use actix_web::http::Method;
use actix_web::http::header::{CONTENT_DISPOSITION, ETAG, IF_NONE_MATCH};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value as Json, json};

use super::protection::{attachment, protect, with_charset};
use super::query::Query;
use super::{Visitor, alias_and_version, cleaned, files, refused, tail};
use crate::artifacts::objects::Object;
use crate::artifacts::store::Artifact;
use crate::artifacts::zip::{self, Entry, Indexes, Listed, Member, ZipError};
use crate::http::HttpError;
use crate::http::transfer::matches;
use crate::node::Node;

/// Segments before the path of an archive: `/{workspace}/artifacts/{alias}/zip-files/`.
const BEFORE: usize = 4;
/// Stands between the path of an archive and that of a member.
const INSIDE: &str = "/~/";
/// The download weight of whole archives.
const WEIGHT: &str = "create-zip-file";
/// Most entries of a listing.
const MAX_LISTED: usize = 10_000;

impl From<ZipError> for HttpError {
    fn from(error: ZipError) -> Self {
        match error {
            ZipError::Storage(error) => error.into(),
            broken => HttpError::Invalid(broken.to_string()),
        }
    }
}

/// The files of a version, or those that the query names, as an archive.
pub async fn create(
    request: HttpRequest,
    path: Path<(String, String)>,
    node: Data<Node>,
) -> Result<HttpResponse, HttpError> {
    let (workspace, alias) = path.into_inner();
    let query = Query::of(&request);
    let (alias, version) = alias_and_version(&alias, &query)?;
    let visitor = Visitor::of(&request, &node, &workspace, &query)?;
    // A token for certain files is not for all of them; only one for `*` fits the empty path.
    let artifact = visitor.artifact(&node, &workspace, alias, "").await?;
    let entries = entries(&node, &artifact, version, &query).await?;
    let weight = weight(&artifact, &entries);
    let length = zip::length(&entries);
    let mut answer = HttpResponse::Ok();
    answer
        .content_type("application/zip")
        .insert_header((CONTENT_DISPOSITION, attachment(&format!("{alias}.zip"))));
    if request.method() == Method::HEAD {
        return Ok(bodiless(answer, length));
    }
    if !query.flag("silent")? {
        files::count(&node, artifact, weight).await?;
    }
    let pieces = zip::stream(node.artifacts.objects().clone(), entries);
    let pieces = pieces.inspect_err(|error| tracing::error!(%error, "an archive breaks off"));
    Ok(answer.body(SizedStream::new(length, pieces.boxed_local())))
}

fn bodiless(mut answer: actix_web::HttpResponseBuilder, length: u64) -> HttpResponse {
    let nothing = futures::stream::empty::<Result<_, std::io::Error>>();
    answer.body(SizedStream::new(length, nothing))
}

async fn entries(
    node: &Node,
    artifact: &Artifact,
    version: Option<String>,
    query: &Query,
) -> Result<Vec<Entry>, HttpError> {
    let mut named: Vec<String> = Vec::new();
    for path in query.all("file") {
        let path = cleaned(path)?;
        if !named.contains(&path) {
            named.push(path);
        }
    }
    let sight = artifact.sight(version.as_deref()).map_err(refused)?;
    let found = match (named.is_empty(), artifact.dir_of(sight)) {
        (true, None) => Vec::new(),
        (true, Some(dir)) => {
            node.artifacts
                .objects()
                .all_files(&artifact.id, dir)
                .await?
        }
        (false, _) => {
            let artifact = artifact.clone();
            let found = node.artifacts.read(move |inner| {
                let find = |path: String| {
                    let (_, object) = inner.file(&artifact, version.as_deref(), &path)?;
                    Ok((path, object))
                };
                named.into_iter().map(find).collect()
            });
            found.await.map_err(refused)?
        }
    };
    let entry = |(name, object)| Entry { name, object };
    Ok(found.into_iter().map(entry).collect())
}

/// What the download of an archive counts: what is set for archives, else what its files do.
fn weight(artifact: &Artifact, entries: &[Entry]) -> f64 {
    let weights = artifact.config.get("download_weights");
    let special = weights.and_then(|weights| weights.get(WEIGHT)?.as_f64());
    let files = || {
        entries
            .iter()
            .map(|entry| artifact.weight(&entry.name))
            .sum()
    };
    special.unwrap_or_else(files)
}

/// A member of an archive, or what is in one of its folders.
pub async fn member(
    request: HttpRequest,
    path: Path<(String, String)>,
    node: Data<Node>,
    indexes: Data<Indexes>,
) -> Result<HttpResponse, HttpError> {
    let (workspace, alias) = path.into_inner();
    let query = Query::of(&request);
    let tail = tail(&request, BEFORE)?;
    let given = query.text("path").unwrap_or_default();
    let (archive, inner) = match (tail.split_once(INSIDE), given) {
        (Some((archive, inner)), "") => (archive, inner),
        (None, inner) => (tail.trim_end_matches("/~"), inner),
        (Some(_), _) => {
            let text = "You cannot specify a path when using a zip file with a tilde.";
            return Err(HttpError::Invalid(text.to_owned()));
        }
    };
    let archive = cleaned(archive)?;
    let (alias, version) = alias_and_version(&alias, &query)?;
    let visitor = Visitor::of(&request, &node, &workspace, &query)?;
    let artifact = visitor.artifact(&node, &workspace, alias, &archive).await?;
    let (_, object) = match files::find(&node, &artifact, version, &archive).await {
        Err(HttpError::Service(_)) => {
            return Err(HttpError::NotFound(format!(
                "ZIP file not found: {archive}"
            )));
        }
        found => found?,
    };
    let index = indexes.of(node.artifacts.objects(), &object).await?;
    if inner.is_empty() || inner.ends_with('/') {
        let offset = query.count("offset", 0, (0, usize::MAX >> 1))?;
        let limit = query.count("limit", MAX_LISTED, (1, MAX_LISTED))?;
        let folder = inner.trim_start_matches('/');
        let listed = index.list(folder, offset, limit);
        let listed: Vec<Json> = listed.into_iter().map(shown).collect();
        return Ok(HttpResponse::Ok().json(listed));
    }
    let Some(member) = index.member(inner) else {
        let text = format!("File not found inside ZIP: {inner}");
        return Err(HttpError::NotFound(text));
    };
    unpacked(&request, &node, &object, member).await
}

fn shown(one: Listed) -> Json {
    match one {
        Listed::File(name, member) => json!({
            "type": "file",
            "name": name,
            "size": member.size,
            "last_modified": member.modified,
        }),
        Listed::Folder(name) => json!({ "type": "directory", "name": name }),
    }
}

async fn unpacked(
    request: &HttpRequest,
    node: &Node,
    archive: &Object,
    member: &Member,
) -> Result<HttpResponse, HttpError> {
    let etag = format!("\"{}-{:x}\"", archive.etag(), member.start);
    let known = request.headers().get(IF_NONE_MATCH);
    let known = known.and_then(|known| known.to_str().ok());
    if known.is_some_and(|known| matches(known, &etag)) {
        let mut answer = HttpResponse::NotModified();
        return Ok(answer.insert_header((ETAG, etag)).finish());
    }
    let guessed = mime_guess::from_path(&member.name).first_or_octet_stream();
    let media_type = with_charset(guessed.to_string());
    let mut answer = HttpResponse::Ok();
    answer
        .content_type(media_type.as_str())
        .insert_header((ETAG, etag));
    let mut answer = match *request.method() == Method::HEAD {
        true => bodiless(answer, member.size),
        false => {
            let pieces = zip::open(node.artifacts.objects(), archive, member).await?;
            let pieces =
                pieces.inspect_err(|error| tracing::warn!(%error, "an unpacked file breaks off"));
            answer.body(SizedStream::new(member.size, pieces.boxed_local()))
        }
    };
    protect(&mut answer, &media_type);
    Ok(answer)
}
