//! `/assets/pypi`: the package index for Python apps in pages (PEP 691).

use actix_files::NamedFile;
use actix_web::http::header::{CACHE_CONTROL, ContentType};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use super::HttpError;
use crate::node::Node;
use crate::wheels::{ProjectName, WheelError};

const JSON: &str = "application/vnd.pypi.simple.v1+json";

pub fn routes(config: &mut ServiceConfig) {
    config
        .route("/pypi/simple/{project}/", web::get().to(project))
        .route("/pypi/simple/{project}", web::get().to(project))
        .route("/pypi/files/{project}/{file}", web::get().to(file));
}

impl From<WheelError> for HttpError {
    fn from(error: WheelError) -> Self {
        let text = error.to_string();
        match error {
            WheelError::Disabled | WheelError::NotFound(_) => HttpError::NotFound(text),
            WheelError::Unreachable { .. } | WheelError::Unexpected { .. } => {
                HttpError::Unavailable(text)
            }
            WheelError::TooLarge(_) => HttpError::TooLarge(text),
            WheelError::Corrupt(_) | WheelError::Disk(_) => {
                tracing::warn!(%error, "a package for an app cannot be had");
                HttpError::Internal(text)
            }
        }
    }
}

fn named(project: &str) -> Result<ProjectName, HttpError> {
    ProjectName::parse(project)
        .ok_or_else(|| HttpError::Invalid(format!("{project} is no name of a package")))
}

async fn project(
    request: HttpRequest,
    project: web::Path<String>,
    node: Data<Node>,
) -> Result<HttpResponse, HttpError> {
    let name = named(&project)?;
    let found = node.wheels.project(&name).await?;
    // Addresses must be absolute for micropip, and lead to where the page has this one from.
    let here = request.connection_info();
    let files = format!(
        "{}://{}{}/assets/pypi/files/{}",
        here.scheme(),
        here.host(),
        node.config.server.prefix(),
        name.as_str()
    );
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header(("Access-Control-Allow-Origin", "*"))
        .content_type(JSON)
        .body(found.answer(&files).to_string()))
}

async fn file(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    node: Data<Node>,
) -> Result<HttpResponse, HttpError> {
    let (project, file) = path.into_inner();
    let place = node.wheels.wheel(&named(&project)?, &file).await?;
    let opened = web::block(move || NamedFile::open(place)).await;
    let opened = opened.map_err(|error| HttpError::Internal(error.to_string()))?;
    let wheel = opened.map_err(|error| HttpError::Internal(error.to_string()))?;
    let answer = wheel
        .set_content_type(ContentType::octet_stream().0)
        .into_response(&request);
    Ok(super::pyodide::open(answer, super::pyodide::FOR_EVER))
}
