//! `s3server FOLDER [PORT]`: serves a folder on 127.0.0.1 and prints its address.

use std::path::Path;
use std::process::ExitCode;

use tokio::net::TcpListener;

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(root) = arguments.first() else {
        eprintln!("s3server FOLDER [PORT]");
        return ExitCode::FAILURE;
    };
    let port = arguments.get(1).map_or("0", String::as_str);
    match run(Path::new(root), port).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("s3server: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(root: &Path, port: &str) -> std::io::Result<()> {
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("http://{}", listener.local_addr()?);
    s3server::serve(listener, root).await
}
