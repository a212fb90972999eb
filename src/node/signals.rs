//! SIGTERM and SIGINT: the first asks the node to stop, the second ends it at once.

use tokio::signal::unix::{SignalKind, signal};

/// Resolves at the first SIGTERM or SIGINT.
pub async fn asked_to_stop() {
    let (Ok(mut term), Ok(mut int)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::error!("cannot listen to signals; only a kill ends this process");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

/// Makes the next signal end the process without waiting for anything.
pub fn exit_on_second() {
    actix_web::rt::spawn(async {
        asked_to_stop().await;
        tracing::warn!("second signal: exiting at once");
        std::process::exit(1);
    });
}
