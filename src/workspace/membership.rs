//! Who may connect (protocol 1.2), and what the workspaces do when clients come and go.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::directory::Directory;
use super::info::PUBLIC;
use crate::gateway::{Admission, Hello, Membership, Refusal, RefusalKind};
use crate::identity::{Blocked, Level, TokenError, UserInfo, is_client_id};
use crate::map;
use crate::peer::CallOptions;
use crate::router::{CLOSE_GOING_AWAY, CLOSE_POLICY, Client, ClientSpec, Transport};
use crate::wire::{Map, Value};

/// The version of the reference whose protocol is spoken; clients compare it.
pub const HYPHA_VERSION: &str = "0.21.137";
/// How long a living client has to answer before another may take its id.
const ALIVE_WITHIN: Duration = Duration::from_secs(5);

/// Why a connection is closed whose token was revoked.
pub(super) const REVOKED: &str = "The token of this connection was revoked";

/// Who connects, and into which workspace.
struct Identified {
    user: UserInfo,
    workspace: String,
    /// Identified by a reconnection token.
    returning: bool,
}

fn rejected(error: &TokenError) -> Refusal {
    if error.is_bad_token() {
        Refusal::authentication(error)
    } else {
        unauthenticated(error)
    }
}

/// The workspace a client names. For a stream, `public` is as good as none (protocol 6).
fn asked_workspace(hello: &Hello) -> Option<String> {
    let asked = hello.workspace.clone().filter(|ws| !ws.is_empty());
    match hello.transport {
        Transport::Http => asked.filter(|ws| ws != PUBLIC),
        Transport::WebSocket => asked,
    }
}

fn too_many(detail: std::fmt::Arguments<'_>) -> Refusal {
    Refusal::policy(
        RefusalKind::Limit,
        format!("Connection limit exceeded: {detail}"),
    )
}

/// A user who is not who they should be.
fn unauthenticated(detail: impl std::fmt::Display) -> Refusal {
    Refusal::setup(
        RefusalKind::Denied,
        format_args!("Failed to authenticate user: {detail}"),
    )
}

/// The refusal of somebody on the blocklist (workspace.md 2.8).
fn kept_out(blocked: Blocked) -> Refusal {
    Refusal::policy(RefusalKind::Denied, blocked.to_string())
}

impl Directory {
    async fn identify(&self, hello: &Hello, client_id: &str) -> Result<Identified, Refusal> {
        let filled = |token: &Option<String>| token.clone().filter(|token| !token.is_empty());
        let token = filled(&hello.token);
        if let Some(reconnection) = filled(&hello.reconnection_token) {
            match self.by_reconnection_token(&reconnection, hello, client_id) {
                // A client that outlived its reconnection token may still have a good login token.
                Err(refusal) if token.is_none() => {
                    return Err(Refusal {
                        kind: RefusalKind::ReconnectionToken,
                        ..refusal
                    });
                }
                Err(refusal) => {
                    tracing::debug!(
                        client_id,
                        reason = refusal.reason,
                        "falling back to the token"
                    );
                }
                identified => return identified,
            }
        }
        match token {
            Some(token) => self.by_token(&token, hello, client_id).await,
            None => Ok(self.anonymous(hello)),
        }
    }

    fn by_reconnection_token(
        &self,
        token: &str,
        hello: &Hello,
        client_id: &str,
    ) -> Result<Identified, Refusal> {
        let user = self.tokens.parse(token).map_err(|error| rejected(&error))?;
        user.check_general_use().map_err(|error| rejected(&error))?;
        let (Some(workspace), Some(pinned)) = (
            user.scope.current_workspace.clone(),
            user.scope.client_id.clone(),
        ) else {
            return Err(unauthenticated(
                "Invalid scope, it is not a reconnection token",
            ));
        };
        if let Some(asked) = &hello.workspace
            && *asked != workspace
        {
            return Err(unauthenticated(format_args!(
                "Invalid scope, workspace mismatch: {workspace} != {asked}"
            )));
        }
        if pinned != client_id {
            return Err(unauthenticated("Client id mismatch, disconnecting"));
        }
        Ok(Identified {
            user,
            workspace,
            returning: true,
        })
    }

    async fn by_token(
        &self,
        token: &str,
        hello: &Hello,
        client_id: &str,
    ) -> Result<Identified, Refusal> {
        let user = self.tokens.recognise(token).await;
        let user = user.map_err(|error| rejected(&error))?;
        user.check_general_use().map_err(|error| rejected(&error))?;
        user.check_client(client_id)
            .map_err(|error| rejected(&error))?;
        let encoded = user.scope.current_workspace.clone();
        let asked = asked_workspace(hello);
        let workspace = match (encoded, asked) {
            // A stream may ask for any workspace that its token opens (protocol 6).
            (Some(_), Some(asked)) if hello.transport == Transport::Http => asked,
            (Some(encoded), Some(asked)) => {
                user.check_workspace(&asked)
                    .map_err(|error| rejected(&error))?;
                encoded
            }
            (Some(encoded), None) => encoded,
            (None, Some(asked)) if asked != PUBLIC => asked,
            _ => user.personal_workspace(),
        };
        Ok(Identified {
            user,
            workspace,
            returning: false,
        })
    }

    fn anonymous(&self, hello: &Hello) -> Identified {
        let user = self.tokens.anonymous_user();
        let workspace = asked_workspace(hello).unwrap_or_else(|| user.personal_workspace());
        Identified {
            user,
            workspace,
            returning: false,
        }
    }

    /// Completes a user's rights for a workspace it enters, or finds that it may not.
    fn enter(
        &self,
        identified: Identified,
        client_id: &str,
    ) -> Result<(UserInfo, String), Refusal> {
        let Identified {
            user, workspace, ..
        } = identified;
        let info = self
            .ensure(&workspace, &user)
            .map_err(|error| Refusal::setup(RefusalKind::NotFound, format_args!("'{error}'")))?;
        let user = user.acting_in(&workspace, Some(client_id), info.is_owned_by(&user));
        if !user.allows(&workspace, Level::Read) {
            return Err(Refusal::denied(&workspace));
        }
        Ok((user, workspace))
    }

    fn check_limits(&self, user: &UserInfo, workspace: &str) -> Result<(), Refusal> {
        let per_user = self.limits.connections_per_user;
        let taken = self.connections.get(&user.id).map_or(0, |count| *count);
        if taken >= per_user {
            return Err(too_many(format_args!(
                "user {} has {taken} connections (limit {per_user})",
                user.id
            )));
        }
        let per_workspace = self.limits.clients_per_workspace;
        let clients = self.router.member_count(workspace);
        if clients >= per_workspace {
            return Err(too_many(format_args!(
                "workspace {workspace} has {clients} clients (limit {per_workspace})"
            )));
        }
        Ok(())
    }

    /// Decides about a client id that is in use: a living client keeps it, a dead one goes. A
    /// stream goes for the next one of its user without being asked (protocol 6).
    async fn yield_id(
        &self,
        address: &str,
        user: &UserInfo,
        transport: Transport,
    ) -> Result<(), Refusal> {
        let Some(old) = self.router.find(address) else {
            return Ok(());
        };
        let next_stream = old.user.id == user.id
            && old.transport == Transport::Http
            && transport == Transport::Http;
        if !next_stream && self.registry.is_present(&old.workspace, &old.id) {
            let answer = self
                .peer
                .call(address, "services.built-in.ping")
                .options(CallOptions {
                    timeout: ALIVE_WITHIN,
                    ..CallOptions::default()
                })
                .arg("ping")
                .send();
            // The limit holds even against a client that answers with heartbeats only.
            let answer = tokio::time::timeout(ALIVE_WITHIN, answer).await;
            if matches!(answer, Ok(Ok(_))) {
                return Err(Refusal::setup(
                    RefusalKind::InUse,
                    format_args!("Client already exists and is active: {address}"),
                ));
            }
        }
        if self.router.unregister(&old) {
            self.peer.client_gone(address);
            self.left(&old);
        }
        old.close(CLOSE_GOING_AWAY, "Another connection took this client id");
        old.cut();
        Ok(())
    }

    async fn judge(&self, hello: Hello) -> Result<Admission, Refusal> {
        let client_id = match &hello.client_id {
            Some(id) if !id.is_empty() => id.clone(),
            _ => {
                let workspace = hello.workspace.as_deref().unwrap_or("None");
                return Err(Refusal::setup(
                    RefusalKind::Invalid,
                    format_args!(
                        "Failed to authenticate user to workspace: {workspace} (client_id is \
                         required)"
                    ),
                ));
            }
        };
        if !is_client_id(&client_id) || self.router.is_local(&client_id) {
            return Err(Refusal::setup(
                RefusalKind::Invalid,
                format_args!("Invalid client id: {client_id}"),
            ));
        }
        let address = hello.remote.parse().ok();
        self.blocklist.check_ip(address).map_err(kept_out)?;
        let identified = self.identify(&hello, &client_id).await?;
        self.blocklist
            .check_user(&identified.user)
            .map_err(kept_out)?;
        let returning = identified.returning;
        let (user, workspace) = self.enter(identified, &client_id)?;
        let address = format!("{workspace}/{client_id}");
        if self
            .apps()
            .is_some_and(|apps| apps.is_over(&address, returning))
        {
            return Err(Refusal::policy(
                RefusalKind::Denied,
                format!("The session {address} is over"),
            ));
        }
        if !returning {
            self.yield_id(&address, &user, hello.transport).await?;
        }
        self.check_limits(&user, &workspace)?;
        Ok(Admission {
            spec: ClientSpec {
                workspace,
                client_id,
                user: Arc::new(user),
                transport: hello.transport,
                cut: None,
                remote: hello.remote,
            },
            supersede: returning,
        })
    }
}

impl Directory {
    fn close_if_blocked(&self, client: &Client) -> bool {
        let address = client.remote.parse().ok();
        let Err(blocked) = self.blocklist.check(&client.user, address) else {
            return false;
        };
        client.close(CLOSE_POLICY, blocked.close_reason());
        true
    }

    /// Closes the open connections of everybody on the blocklist; how many there were.
    pub fn close_blocked(&self) -> usize {
        let clients = self.router.all();
        clients
            .iter()
            .filter(|client| self.close_if_blocked(client))
            .count()
    }
}

impl Membership for Directory {
    fn admit(&self, hello: Hello) -> BoxFuture<'_, Result<Admission, Refusal>> {
        self.judge(hello).boxed()
    }

    fn welcome(&self, client: &Client) -> Map {
        map! {
            "type" => "connection_info",
            "hypha_version" => HYPHA_VERSION,
            "public_base_url" => self.peer.public_base_url(),
            "local_base_url" => self.peer.public_base_url(),
            "manager_id" => self.router.manager_id(),
            "workspace" => &*client.workspace,
            "client_id" => &*client.id,
            "user" => client.user.to_value(),
            "reconnection_token" => self.reconnection_token(client),
            "reconnection_token_life_time" => self.tokens.reconnection_lifetime(),
        }
    }

    fn reconnection_token(&self, client: &Client) -> String {
        self.tokens
            .reconnection(&client.user, &client.workspace, &client.id)
            .unwrap_or_else(|error| {
                tracing::error!(%error, client = %client.address, "no reconnection token");
                String::new()
            })
    }

    fn joined(&self, client: &Arc<Client>) {
        *self.connections.entry(client.user.id.clone()).or_insert(0) += 1;
        // A block that came between admission and registration did not see this connection.
        self.close_if_blocked(client);
        tracing::debug!(client = %client.address, transport = ?client.transport, "connected");
        // Revoking closes what is open; this one may have been on its way in just then.
        if self.tokens.is_revoked(&client.user) {
            client.close(CLOSE_GOING_AWAY, REVOKED);
        }
        // The same for a workspace that was unloaded just then.
        if !self.exists(&client.workspace) {
            let reason = format!("Workspace unloaded: {}", client.workspace);
            client.close(CLOSE_GOING_AWAY, reason);
        }
    }

    fn closed(&self, client: &Arc<Client>) {
        self.connections.remove_if_mut(&client.user.id, |_, count| {
            *count = count.saturating_sub(1);
            *count == 0
        });
    }

    fn sweep(&self) {
        let swept = self.tokens.sweep().and_then(|_| self.blocklist.sweep());
        if let Err(error) = swept {
            tracing::error!(%error, "what is over stays in the store");
        }
    }

    fn left(&self, client: &Arc<Client>) {
        self.registry.drop_client(&client.workspace, &client.id);
        let data = map! { "id" => &*client.id, "workspace" => &*client.workspace };
        self.router
            .emit(&client.workspace, "client_disconnected", Value::Map(data));
        if let Some(apps) = self.apps() {
            apps.client_left(&client.address);
        }
        tracing::debug!(client = %client.address, "disconnected");
        self.unload_later(&client.workspace);
    }
}
