//! An S3 server for tests. It verifies signatures and their expiry, and refuses all else.

use std::io;
use std::path::Path;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::Body;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The access key that the server knows.
pub const ACCESS_KEY: &str = "test-access-key";
/// Its secret.
pub const SECRET_KEY: &str = "test-secret-key-0123456789";

/// Serves the objects below `root`, a folder that exists, until the future is dropped.
///
/// # Errors
/// The folder cannot be used, or no connection can be accepted.
pub async fn serve(listener: TcpListener, root: &Path) -> io::Result<()> {
    let files = FileSystem::new(root).map_err(|error| io::Error::other(format!("{error:?}")))?;
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
    let service = builder.build();
    // Connections end with this future.
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await?;
        let service = service.clone();
        while connections.try_join_next().is_some() {}
        connections.spawn(async move {
            let http = Builder::new(TokioExecutor::new());
            // What a client began is finished when it goes away meanwhile, as with a storage that is elsewhere.
            let finishing = service_fn(move |request: Request<Incoming>| {
                let service = service.clone();
                let answer =
                    tokio::spawn(async move { service.call(request.map(Body::from)).await });
                async move {
                    let answer = answer.await.map_err(io::Error::other)?;
                    answer.map_err(|error| io::Error::other(format!("{error:?}")))
                }
            });
            // A client that goes away is no failure of the server.
            let _ = http.serve_connection(TokioIo::new(socket), finishing).await;
        });
    }
}
