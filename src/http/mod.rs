//! HTTP: the routes by subject, and the server that carries them and the WebSocket endpoint.

mod admin;
mod app_metrics;
mod apps;
mod artifacts;
mod assets;
mod caller;
mod cross_site;
mod edge;
mod error;
mod files;
mod foreign;
mod health;
mod mcp;
mod metrics;
mod mounts;
mod pages;
mod proxy;
mod pyodide;
mod reading;
mod rpc;
mod services;
mod skills;
mod transfer;
mod wheels;

use std::sync::Arc;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App, HttpServer};

pub use error::HttpError;

use crate::config::Server as ServerConfig;
use edge::Edge;

use crate::gateway::{self, SocketHandle};
use crate::node::{Node, NodeError, tidy_this_thread};

/// Connections that wait to be accepted: a reconnect storm after a restart fits.
const BACKLOG: u32 = 4096;

/// Binds the address and starts to serve.
///
/// # Errors
/// The address is taken or not ours.
pub fn listen(node: Arc<Node>) -> Result<Server, NodeError> {
    let server = node.config.server.clone();
    let address = format!("{}:{}", server.host, server.port);
    let threads = match server.threads {
        0 => std::thread::available_parallelism().map_or(2, usize::from),
        set => set,
    };
    for mount in &server.static_mounts {
        mounts::parse(mount).map_err(NodeError::StaticMount)?;
    }
    let failed = |source| NodeError::Listen {
        address: address.clone(),
        source,
    };
    let streams = mcp::streams();
    let edge = Arc::new(Edge::new(&node.config, node.clock.clone())?);
    let http = HttpServer::new(move || {
        tidy_this_thread(node.clock.clone());
        App::new()
            .app_data(Data::from(edge.clone()))
            .app_data(Data::from(edge.meter()))
            .app_data(Data::from(node.clone()))
            .app_data(Data::from(streams.clone()))
            .app_data(Data::from(node.gateway.clone()))
            .wrap(from_fn(foreign::recognise))
            // The last one is the outermost: what it turns away reaches nothing else.
            .wrap(from_fn(edge::pass))
            .configure(|config| routes(config, &node.config.server))
    })
    .workers(threads)
    .backlog(BACKLOG)
    .max_connections(100_000)
    .on_connect(SocketHandle::note)
    .disable_signals()
    // Otherwise the stream of a client that left would stay until its next message.
    .h1_allow_half_closed(false)
    // Otherwise a closed WebSocket lingers for a second.
    .client_disconnect_timeout(std::time::Duration::ZERO)
    .shutdown_timeout(3)
    .bind(&address)
    .map_err(failed)?;
    Ok(http.run())
}

/// All routes. Fixed ones first, then those under a workspace's name.
fn routes(config: &mut ServiceConfig, server: &ServerConfig) {
    mounts::routes(config, server);
    skills::routes(config, server);
    config
        .route("/ws", web::get().to(gateway::upgrade))
        .service(web::scope("/health").configure(health::routes))
        .configure(metrics::routes)
        .service(web::scope("/assets").configure(assets::routes))
        .service(web::scope("/admin").configure(admin::routes))
        .configure(rpc::routes)
        .configure(transfer::routes)
        .configure(services::routes)
        .configure(|config| mcp::routes(config, server))
        .configure(artifacts::routes)
        .configure(apps::routes)
        .configure(proxy::routes)
        .configure(pages::routes)
        .default_service(web::to(error::no_route));
}
