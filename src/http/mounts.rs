//! Folders that the operator has served as they are: `/name:folder` (http.md 6).

use actix_files::Files;
use actix_web::web::ServiceConfig;

use crate::config::Server;

/// First path segments that belong to the server.
const TAKEN: [&str; 10] = [
    "ws", "rpc", "health", "assets", "admin", "metrics", "login", "public", "_pages", "",
];

/// Splits one mount.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub fn parse(mount: &str) -> Result<(&str, &str), String> {
    let (name, folder) = mount
        .split_once(':')
        .ok_or_else(|| format!("a static mount is written /name:folder, got {mount}"))?;
    let bare = name.strip_prefix('/').unwrap_or(name);
    if bare.contains('/') || TAKEN.contains(&bare) {
        return Err(format!(
            "the static mount {mount} needs a name of one segment that the server does not use"
        ));
    }
    if !std::path::Path::new(folder).is_dir() {
        return Err(format!(
            "the folder of the static mount {mount} does not exist"
        ));
    }
    Ok((bare, folder))
}

/// The routes of all mounts; they were checked when the configuration was read.
pub fn routes(config: &mut ServiceConfig, server: &Server) {
    for (name, folder) in server
        .static_mounts
        .iter()
        .filter_map(|mount| parse(mount).ok())
    {
        let files = Files::new(&format!("/{name}"), folder)
            .index_file("index.html")
            .prefer_utf8(true);
        config.service(files);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_name_a_free_segment_and_a_folder() {
        assert_eq!(parse("/docs:.").unwrap(), ("docs", "."));
        assert_eq!(parse("docs:.").unwrap(), ("docs", "."));
        for bad in ["docs", "/ws:.", "/a/b:.", "/x:/no/such/folder", ":."] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
