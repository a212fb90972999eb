//! Against an index on this machine, which counts what it is asked and can be taken away.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use actix_web::dev::ServerHandle;
use actix_web::web::{self, Data};
use actix_web::{App, HttpResponse, HttpServer};
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::*;

#[derive(Default)]
struct Shelf {
    files: BTreeMap<String, Vec<u8>>,
    /// Promised instead of the right hash.
    wrong_hash: Option<String>,
    asked: AtomicUsize,
}

struct Index {
    address: String,
    shelf: Data<Shelf>,
    handle: ServerHandle,
}

fn hex(content: &[u8]) -> String {
    Sha256::digest(content)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

async fn page(project: web::Path<String>, shelf: Data<Shelf>) -> HttpResponse {
    shelf.asked.fetch_add(1, Ordering::Relaxed);
    let prefix = format!("{project}-");
    let files: Vec<_> = shelf.files.iter().filter(|(name, _)| name.starts_with(&prefix)).map(|(name, content)| {
        let hash = shelf.wrong_hash.clone().unwrap_or_else(|| hex(content));
        json!({"filename": name, "url": format!("../../files/{name}"), "hashes": {"sha256": hash}})
    }).collect();
    match files.is_empty() {
        true => HttpResponse::NotFound().finish(),
        false => HttpResponse::Ok().json(json!({"name": project.as_str(), "files": files})),
    }
}

async fn content(name: web::Path<String>, shelf: Data<Shelf>) -> HttpResponse {
    shelf.asked.fetch_add(1, Ordering::Relaxed);
    // Long enough for others to ask meanwhile.
    tokio::time::sleep(Duration::from_millis(50)).await;
    HttpResponse::Ok().body(shelf.files[name.as_str()].clone())
}

async fn serve(shelf: Shelf) -> Index {
    let shelf = Data::new(shelf);
    let served = shelf.clone();
    let server = HttpServer::new(move || {
        App::new()
            .app_data(served.clone())
            .route("/simple/{project}/", web::get().to(page))
            .route("/files/{name}", web::get().to(content))
    })
    .workers(1)
    .bind("127.0.0.1:0")
    .unwrap();
    let address = format!("http://{}/simple", server.addrs()[0]);
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    Index {
        address,
        shelf,
        handle,
    }
}

fn shelf(files: &[(&str, usize)]) -> Shelf {
    let files = files
        .iter()
        .map(|(name, size)| (name.to_string(), vec![b'x'; *size]));
    Shelf {
        files: files.collect(),
        ..Shelf::default()
    }
}

fn index(upstream: &str, max_bytes: u64) -> (WheelIndex, PathBuf) {
    let folder = std::env::temp_dir().join(format!("rhizome-wheels-{}", Uuid::new_v4()));
    let settings = WheelSettings {
        upstream: upstream.into(),
        folder: folder.clone(),
        max_bytes,
    };
    (WheelIndex::new(settings), folder)
}

fn name(text: &str) -> ProjectName {
    ProjectName::parse(text).unwrap()
}

fn stored(folder: &std::path::Path) -> usize {
    std::fs::read_dir(folder.join("files")).map_or(0, Iterator::count)
}

const WHEEL: &str = "a-1-py3-none-any.whl";

#[actix_web::test]
async fn what_was_fetched_stays_when_the_index_is_gone() {
    let upstream = serve(shelf(&[(WHEEL, 10)])).await;
    let (wheels, folder) = index(&upstream.address, 1000);
    let path = wheels.wheel(&name("a"), WHEEL).await.unwrap();
    assert_eq!(std::fs::read(path).unwrap(), vec![b'x'; 10]);
    upstream.handle.stop(false).await;
    // Old news, too.
    let page = std::fs::File::open(folder.join("index/a.json")).unwrap();
    page.set_modified(SystemTime::now() - FRESH * 2).unwrap();
    assert_eq!(wheels.project(&name("a")).await.unwrap().files.len(), 1);
    assert!(wheels.wheel(&name("a"), WHEEL).await.is_ok());
    let error = wheels.project(&name("b")).await.unwrap_err().to_string();
    assert!(
        error.starts_with(
            "the package index 127.0.0.1 cannot be reached, and b was never fetched before"
        ),
        "{error}"
    );
    std::fs::remove_dir_all(folder).unwrap();
}

#[actix_web::test]
async fn many_who_ask_at_once_cause_one_download() {
    let upstream = serve(shelf(&[(WHEEL, 10)])).await;
    let (wheels, folder) = index(&upstream.address, 1000);
    let wheels = Arc::new(wheels);
    let asked = (0..10).map(|_| {
        let wheels = wheels.clone();
        async move { wheels.wheel(&name("a"), WHEEL).await }
    });
    for found in futures::future::join_all(asked).await {
        found.unwrap();
    }
    assert_eq!(upstream.shelf.asked.load(Ordering::Relaxed), 2);
    assert_eq!(wheels.flights.count(), 0);
    std::fs::remove_dir_all(folder).unwrap();
}

#[actix_web::test]
async fn a_wrong_file_is_not_kept() {
    let wrong = Shelf {
        wrong_hash: Some("0".repeat(64)),
        ..shelf(&[(WHEEL, 10)])
    };
    let upstream = serve(wrong).await;
    let (wheels, folder) = index(&upstream.address, 1000);
    let error = wheels.wheel(&name("a"), WHEEL).await.unwrap_err();
    assert!(matches!(error, WheelError::Corrupt(_)), "{error}");
    assert_eq!(stored(&folder), 0);
    std::fs::remove_dir_all(folder).unwrap();
}

#[actix_web::test]
async fn the_cache_has_bounds() {
    let files = [
        ("a-1-py3-none-any.whl", 400),
        ("b-1-py3-none-any.whl", 401),
        ("c-1-py3-none-any.whl", 402),
        ("d-1-py3-none-any.whl", 1001),
    ];
    let upstream = serve(shelf(&files)).await;
    let (wheels, folder) = index(&upstream.address, 1000);
    let mut paths = Vec::new();
    for (at, (file, _)) in files[..3].iter().enumerate() {
        let path = wheels.wheel(&name(&file[..1]), file).await.unwrap();
        // Apart in time, as file systems count it.
        let used = SystemTime::now() - Duration::from_secs(10 - at as u64);
        std::fs::File::open(&path)
            .unwrap()
            .set_modified(used)
            .unwrap();
        paths.push(path);
    }
    assert_eq!(
        [paths[0].exists(), paths[1].exists(), paths[2].exists()],
        [false, true, true]
    );
    let error = wheels.wheel(&name("d"), files[3].0).await.unwrap_err();
    assert!(matches!(error, WheelError::TooLarge(_)), "{error}");
    assert_eq!(stored(&folder), 2);
    std::fs::remove_dir_all(folder).unwrap();
}

#[actix_web::test]
async fn what_is_not_there_is_said() {
    let upstream = serve(shelf(&[(WHEEL, 10)])).await;
    let (wheels, folder) = index(&upstream.address, 1000);
    assert!(matches!(
        wheels.project(&name("b")).await,
        Err(WheelError::NotFound(_))
    ));
    let unknown = wheels.wheel(&name("a"), "a-2-py3-none-any.whl").await;
    assert!(matches!(unknown, Err(WheelError::NotFound(_))));
    let (off, _) = index("", 1000);
    assert!(matches!(
        off.project(&name("a")).await,
        Err(WheelError::Disabled)
    ));
    std::fs::remove_dir_all(folder).unwrap();
}
