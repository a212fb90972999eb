//! The server's own RPC peer: the services it offers, and its calls to clients.
//!
//! It appears under several addresses, `*/<manager id>` (the workspace manager) and
//! `<workspace>/<server id>` (public services): answers always come from the address called.

mod builtin;
mod error;
mod generator;
mod inbound;
mod message_cache;
mod outbound;
mod pending;
pub mod schema;
mod service;

use std::sync::Arc;

use bytes::Bytes;
use dashmap::DashMap;

pub use error::{CallError, ErrorClass, RemoteError, ServiceError};
pub use generator::Items;
pub use outbound::{CallOptions, OutgoingCall, SessionGuard};
pub use pending::{Answer, AnsweringCallback, Callback};
pub use schema::{Arguments, MethodSpec};
pub use service::{CallContext, MethodFuture, Reply, Service, ServiceSpec, invoke, method_of};

use crate::identity::UserInfo;
use crate::map;
use crate::router::Router;
use crate::wire::{self, Map, Value};
use message_cache::MessageCache;
use pending::PendingCalls;

/// Messages above this are sent in chunks (protocol 3: 262144 + 1024).
pub const LONG_MESSAGE_BYTES: usize = CHUNK_BYTES + 1024;
/// Size of one chunk of a long message.
pub const CHUNK_BYTES: usize = 262_144;
/// Seconds a call to a client may take when nobody says otherwise.
pub const DEFAULT_TIMEOUT_S: f64 = 30.0;

/// Id of the service that every peer has.
const BUILT_IN: &str = "built-in";

/// See the module's text.
pub struct Peer {
    pub router: Arc<Router>,
    /// What clients call the server; becomes `_rserver` of its methods.
    public_base_url: String,
    /// By `<workspace of the address>:<service id>`.
    services: DashMap<String, Arc<dyn Service>>,
    described: DashMap<String, Bytes>,
    calls: PendingCalls,
    cache: MessageCache,
    /// The user of messages that the server makes by itself, encoded once.
    root_packed: Bytes,
}

impl Peer {
    pub fn new(router: Arc<Router>, public_base_url: &str) -> Arc<Self> {
        let mut root = UserInfo::root();
        root.scope.current_workspace = Some("*".into());
        root.current_workspace = Some("*".into());
        let peer = Arc::new(Peer {
            router,
            public_base_url: public_base_url.to_owned(),
            services: DashMap::new(),
            described: DashMap::new(),
            calls: PendingCalls::default(),
            cache: MessageCache::default(),
            root_packed: wire::encode(&root.to_value()),
        });
        let builtin = Arc::new(builtin::BuiltIn::new(Arc::downgrade(&peer)));
        peer.offer("*", builtin);
        peer
    }

    /// The manager's address, `*/<manager id>`.
    pub fn manager_address(&self) -> String {
        format!("*/{}", self.router.manager_id())
    }

    /// The address of the server's services in a workspace.
    pub fn address_in(&self, workspace: &str) -> String {
        if workspace == "*" {
            self.manager_address()
        } else {
            format!("{workspace}/{}", self.router.server_id())
        }
    }

    /// Base of all URLs handed out.
    pub fn public_base_url(&self) -> &str {
        &self.public_base_url
    }

    /// Offers a service under the server's address in `workspace` (`*` for the manager's own).
    pub fn offer(&self, workspace: &str, service: Arc<dyn Service>) {
        let key = format!("{workspace}:{}", service.spec().id);
        self.services.insert(key, service);
    }

    /// A service offered in `workspace`. The part that every peer has is in all of them: the
    /// server calls on behalf of people in any workspace.
    pub fn offered(&self, workspace: &str, service_id: &str) -> Option<Arc<dyn Service>> {
        let workspace = if service_id == BUILT_IN {
            "*"
        } else {
            workspace
        };
        let key = format!("{workspace}:{service_id}");
        self.services.get(&key).map(|service| service.clone())
    }

    /// The description of an offered service, as `get_service` returns it: fields and one
    /// encoded method per entry of its table.
    pub fn describe(&self, workspace: &str, service: &dyn Service) -> Map {
        let spec = service.spec();
        let address = self.address_in(workspace);
        let id = if workspace == "*" {
            spec.id.to_owned()
        } else {
            format!("{address}:{}", spec.id)
        };
        let mut config = service.config();
        if workspace != "*" {
            config.insert("workspace", workspace);
            config.insert(
                "url",
                format!(
                    "{}/{workspace}/services/{}:{}",
                    self.public_base_url,
                    self.router.server_id(),
                    spec.id
                ),
            );
        }
        let mut description = map! {
            "id" => id,
            "name" => spec.name,
            "description" => spec.description,
            "config" => config,
            "type" => spec.kind,
        };
        for method in spec.methods {
            insert_nested(
                &mut description,
                method.name,
                self.encode_method(&address, spec.id, method),
            );
        }
        description
    }

    /// The description of an offered service, encoded. Made once: the services of the server do
    /// not change, and every client fetches the manager's twice per connection.
    pub fn packed_description(&self, workspace: &str, service: &dyn Service) -> Bytes {
        let id = service.spec().id;
        if id == BUILT_IN {
            // It has as many addresses as clients can think of; those are not to be kept.
            return wire::encode(&Value::Map(self.describe(workspace, service)));
        }
        let key = format!("{workspace}:{id}");
        if let Some(packed) = self.described.get(&key) {
            return packed.clone();
        }
        let packed = wire::encode(&Value::Map(self.describe(workspace, service)));
        self.described.insert(key, packed.clone());
        packed
    }

    fn encode_method(&self, address: &str, service_id: &str, method: &MethodSpec) -> Value {
        Value::Map(map! {
            "_rtype" => "method",
            "_rserver" => self.public_base_url.as_str(),
            "_rtarget" => address,
            "_rmethod" => format!("services.{service_id}.{}", method.name),
            "_rpromise" => "*",
            "_rname" => method.name,
            "_rasync" => true,
            "_rdoc" => method.doc,
            "_rschema" => method.schema(),
        })
    }

    /// A client left: its calls fail and its unfinished messages go.
    pub fn client_gone(&self, address: &str) {
        self.calls.fail_target(address);
        self.cache.forget_client(address);
    }

    /// Calls to clients that wait for an answer.
    pub fn waiting_calls(&self) -> usize {
        self.calls.len()
    }

    /// Long messages of clients that have begun to arrive.
    pub fn unfinished_messages(&self) -> usize {
        self.cache.len()
    }

    /// Drops what has expired; called by the gateway's watchdog.
    pub fn sweep(&self) {
        self.cache.sweep(self.router.now_ms());
    }
}

/// Puts `value` at a dotted path, making the maps on the way.
fn insert_nested(map: &mut Map, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            map.insert(path, value);
        }
        Some((head, rest)) => {
            if !map.contains_key(head) {
                map.insert(head, Map::new());
            }
            if let Some(Value::Map(inner)) = map.get_mut(head) {
                insert_nested(inner, rest, value);
            }
        }
    }
}

/// A fresh session or message id.
fn fresh_id() -> String {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    // The alphabet is free of dots, which separate the parts of a method path.
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>())
}
