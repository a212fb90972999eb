//! The `built-in` service of every peer: liveness, service descriptions, long messages.

use std::sync::{Arc, Weak};

use futures::FutureExt;

use super::error::ServiceError;
use super::schema::{Arguments, Kind, MethodSpec, Preset, optional, required, with_default};
use super::service::{CallContext, MethodFuture, Reply, Service, ServiceSpec};
use super::{Peer, inbound};
use crate::map;
use crate::wire::{Map, Value};

/// Version of the message_cache calls; from 3 on chunks may arrive in any order.
const API_VERSION: i64 = 3;

const KEY: super::schema::Param = required("key", Kind::Str, "id of the message");
const HEARTBEAT: super::schema::Param = with_default(
    "heartbeat",
    Kind::Bool,
    Preset::Bool(false),
    "whether the message answers a call, whose timer it then resets",
);

static SPEC: ServiceSpec = ServiceSpec {
    id: "built-in",
    name: "built-in",
    kind: "built-in",
    description: "Services that every peer offers",
    methods: &[
        MethodSpec {
            name: "ping",
            doc: "Answers \"pong\" to \"ping\".",
            params: &[required("msg", Kind::Any, "\"ping\"")],
        },
        MethodSpec {
            name: "get_service",
            doc: "Describes a service of this peer.",
            params: &[required(
                "service_id",
                Kind::Str,
                "id without workspace and client",
            )],
        },
        MethodSpec {
            name: "message_cache.create",
            doc: "Begins a long message.",
            params: &[
                KEY,
                HEARTBEAT,
                with_default(
                    "overwrite",
                    Kind::Bool,
                    Preset::Bool(false),
                    "replace an unfinished message of the same id",
                ),
            ],
        },
        MethodSpec {
            name: "message_cache.append",
            doc: "Adds the next chunk.",
            params: &[KEY, required("data", Kind::Any, "bytes"), HEARTBEAT],
        },
        MethodSpec {
            name: "message_cache.set",
            doc: "Adds the chunk of an index.",
            params: &[
                KEY,
                required("index", Kind::Int, "place of the chunk"),
                required("data", Kind::Any, "bytes"),
                HEARTBEAT,
            ],
        },
        MethodSpec {
            name: "message_cache.remove",
            doc: "Drops a message.",
            params: &[KEY],
        },
        MethodSpec {
            name: "message_cache.process",
            doc: "Handles a finished message.",
            params: &[KEY, HEARTBEAT, optional("reserved", Kind::Any, "unused")],
        },
    ],
};

/// See the module's text.
pub(super) struct BuiltIn {
    peer: Weak<Peer>,
}

impl BuiltIn {
    pub fn new(peer: Weak<Peer>) -> Self {
        BuiltIn { peer }
    }

    fn run(
        &self,
        method: &str,
        mut arguments: Arguments,
        context: CallContext,
    ) -> Result<Reply, ServiceError> {
        let peer = self
            .peer
            .upgrade()
            .ok_or_else(|| ServiceError::runtime("the server is stopping"))?;
        match method {
            "ping" => match arguments.get("msg").as_str() {
                Some("ping") => Ok("pong".into()),
                _ => Err(ServiceError::assertion("ping expects \"ping\"")),
            },
            "get_service" => describe(&peer, arguments.str("service_id")?, &context),
            cache => {
                let step = cache.rsplit_once('.').map_or(cache, |(_, step)| step);
                long_message(&peer, step, &mut arguments, context)?;
                Ok(Value::Nil.into())
            }
        }
    }
}

fn describe(peer: &Peer, id: &str, context: &CallContext) -> Result<Reply, ServiceError> {
    let workspace = context.to.split_once('/').map_or("*", |(ws, _)| ws);
    let service = peer
        .offered(workspace, id)
        .ok_or_else(|| ServiceError::key(format!("Service not found: {id}")))?;
    Ok(Reply::Packed(peer.packed_description(workspace, &*service)))
}

fn long_message(
    peer: &Arc<Peer>,
    step: &str,
    arguments: &mut Arguments,
    context: CallContext,
) -> Result<(), ServiceError> {
    let now = peer.router.now_ms();
    let key = arguments.str("key")?.to_owned();
    let from = context.from.clone();
    // A message that answers one of our calls keeps that call alive.
    if arguments.bool("heartbeat")? && !peer.calls.touch(&key, &from) {
        return Err(ServiceError::plain(format!(
            "session does not exist anymore: {key}"
        )));
    }
    match step {
        "create" => peer
            .cache
            .create(&from, &key, arguments.bool("overwrite")?, now),
        "append" => {
            let data = take_bytes(arguments)?;
            peer.cache.set(&from, &key, None, data, now)
        }
        "set" => {
            let index = usize::try_from(arguments.int("index")?)
                .map_err(|_| ServiceError::value("index must not be negative"))?;
            let data = take_bytes(arguments)?;
            peer.cache.set(&from, &key, Some(index), data, now)
        }
        "remove" => peer.cache.remove(&from, &key),
        _ => {
            let message = peer.cache.take(&from, &key)?;
            inbound::process_joined(peer, message, context)
        }
    }
}

fn take_bytes(arguments: &mut Arguments) -> Result<bytes::Bytes, ServiceError> {
    match arguments.take("data") {
        Value::Bin(bytes) => Ok(bytes),
        other => Err(ServiceError::assertion(format!(
            "a chunk must be bytes, got {}",
            other.type_name()
        ))),
    }
}

impl Service for BuiltIn {
    fn spec(&self) -> &ServiceSpec {
        &SPEC
    }

    fn config(&self) -> Map {
        map! { "require_context" => true, "visibility" => "public", "api_version" => API_VERSION }
    }

    fn call(
        self: Arc<Self>,
        method: &'static MethodSpec,
        arguments: Arguments,
        context: CallContext,
    ) -> MethodFuture {
        futures::future::ready(self.run(method.name, arguments, context)).boxed()
    }
}
