//! `get_service`: from an id to one provider, and from there to the service's description
//! (protocol 5.4, workspace.md 3.1, 3.4, 3.7).

use std::sync::Arc;
use std::time::Duration;

use super::case::convert_keys;
use super::directory::Directory;
use super::info::PUBLIC;
use super::record::{ServiceRecord, Visibility};
use super::selection::{DEFAULT_SELECT_TIMEOUT, Pick, SelectionMode, ask, settle};
use super::service_id::ServiceId;
use crate::identity::{Level, UserInfo};
use crate::peer::{CallContext, CallOptions, ServiceError};
use crate::wire::{Map, Value};

/// Seconds for fetching a description from its provider.
const FETCH_TIMEOUT_S: f64 = 10.0;
/// Most seconds for one function call of a `select:` mode.
const MAX_SELECT_S: f64 = 60.0;

/// Options of a lookup, from the `config` argument.
#[derive(Debug, Clone, Default)]
pub struct LookupOptions {
    pub mode: Option<String>,
    pub timeout: Option<f64>,
    pub select_timeout: Option<f64>,
    pub case_conversion: Option<String>,
    pub read_app_manifest: bool,
}

impl LookupOptions {
    /// Reads the `config` map; null is no options.
    ///
    /// # Errors
    /// A value of the wrong type.
    pub fn read(config: &Value) -> Result<Self, ServiceError> {
        let Some(config) = config.as_map() else {
            if config.is_nil() {
                return Ok(LookupOptions::default());
            }
            return Err(ServiceError::type_("config must be an object"));
        };
        let text = |key: &str| config.get_str(key).map(str::to_owned);
        let number = |key: &str| {
            config
                .get(key)
                .and_then(Value::as_f64)
                .filter(|seconds| seconds.is_finite() && *seconds > 0.0)
        };
        Ok(LookupOptions {
            mode: text("mode"),
            timeout: number("timeout"),
            select_timeout: number("select_timeout"),
            case_conversion: text("case_conversion"),
            read_app_manifest: config.get("read_app_manifest").is_some_and(Value::truthy),
        })
    }
}

impl Directory {
    /// The service object for a caller; starts the app behind `name@app` when nothing runs.
    ///
    /// # Errors
    /// The texts of workspace.md 3.1, 3.4, 3.7.
    pub async fn get_service(
        &self,
        text: &str,
        options: &LookupOptions,
        context: &CallContext,
    ) -> Result<Map, ServiceError> {
        let record = self.resolve(text, options, context).await?;
        let mut service = self.fetch(&record, options).await?;
        // The provider tells all; who else is authorised is for members only (rule V3).
        if !context.user.allows(&record.workspace, Level::Read)
            && let Some(Value::Map(config)) = service.get_mut("config")
        {
            config.remove("authorized_workspaces");
        }
        if let Some(case) = &options.case_conversion {
            service = convert_keys(service, case)?;
        }
        Ok(service)
    }

    /// The registration that a lookup leads to; starts the app behind `name@app` when nothing
    /// runs.
    ///
    /// # Errors
    /// The texts of workspace.md 3.1, 3.4, 3.7.
    pub async fn resolve(
        &self,
        text: &str,
        options: &LookupOptions,
        context: &CallContext,
    ) -> Result<Arc<ServiceRecord>, ServiceError> {
        let id = ServiceId::parse(text, &context.ws)?;
        match self.choose(&id, options, context).await? {
            Some(record) => Ok(record),
            None => self.started_for(&id, context).await,
        }
    }

    /// The registration of one service.
    ///
    /// # Errors
    /// As for [`Directory::get_service`], but nothing is started.
    pub async fn service_info(
        &self,
        text: &str,
        options: &LookupOptions,
        context: &CallContext,
    ) -> Result<Map, ServiceError> {
        let id = ServiceId::parse(text, &context.ws)?;
        if let Some(record) = self.choose(&id, options, context).await? {
            return Ok(record.to_map(context.user.allows(&record.workspace, Level::Read)));
        }
        if options.read_app_manifest
            && let Some(service) = self.described_in_manifest(&id, context).await
        {
            return Ok(service);
        }
        Err(not_found(&id))
    }

    async fn described_in_manifest(&self, id: &ServiceId, context: &CallContext) -> Option<Map> {
        let member = context.user.allows(&id.workspace, Level::Read);
        self.apps()?
            .app_services(&id.workspace)
            .await
            .into_iter()
            .find(|service| {
                let named = service
                    .get_str("id")
                    .and_then(|text| ServiceId::parse(text, &id.workspace).ok());
                let public = service
                    .get("config")
                    .and_then(|config| config.get("visibility"))
                    .and_then(Value::as_str)
                    .is_some_and(|visibility| visibility != "protected");
                (member || public)
                    && named.is_some_and(|named| {
                        named.service == id.service
                            && id
                                .app
                                .as_ref()
                                .is_none_or(|app| named.app.as_ref() == Some(app))
                    })
            })
    }

    /// Picks one of the services that an id names; none when nothing matches.
    async fn choose(
        &self,
        id: &ServiceId,
        options: &LookupOptions,
        context: &CallContext,
    ) -> Result<Option<Arc<ServiceRecord>>, ServiceError> {
        let mode = self.mode(id, options)?;
        let mut found = self.registry.find(id);
        let member = context.user.allows(&id.workspace, Level::Read);
        found.retain(|record| {
            // Strangers do not learn from a `built-in` who is connected (rule S6).
            (member || !record.is_built_in()) && !self.apps().is_some_and(|apps| apps.hides(record))
        });
        if found.is_empty() {
            return Ok(None);
        }
        // Filtered before counting: an error must not name what the caller may not see (S8).
        let usable: Vec<_> = found
            .iter()
            .filter(|record| may_use(record, &context.user, &context.ws))
            .cloned()
            .collect();
        match usable.as_slice() {
            [] => Err(ServiceError::permission(format!(
                "Permission denied for non-public service in workspace {}",
                id.workspace
            ))),
            [only] => Ok(Some(only.clone())),
            several => self
                .select(id, &mode, several, options, context)
                .await
                .map(Some),
        }
    }

    fn mode(&self, id: &ServiceId, options: &LookupOptions) -> Result<SelectionMode, ServiceError> {
        if let Some(mode) = &options.mode {
            return Ok(mode.parse()?);
        }
        let of_app = id.app.as_ref().and_then(|app| {
            self.apps()
                .and_then(|apps| apps.selection_mode(&id.workspace, app))
        });
        Ok(match of_app {
            Some(mode) => mode,
            None if id.workspace == PUBLIC => SelectionMode::Random,
            None => SelectionMode::Exact,
        })
    }

    async fn select(
        &self,
        id: &ServiceId,
        mode: &SelectionMode,
        among: &[Arc<ServiceRecord>],
        options: &LookupOptions,
        context: &CallContext,
    ) -> Result<Arc<ServiceRecord>, ServiceError> {
        let load = |at: usize| self.load_of(&among[at]);
        let picked = mode.pick(among.len(), load, &mut rand::rng());
        let chosen = match picked {
            Pick::Index(at) => Some(at),
            Pick::Ambiguous => return Err(ambiguous(id, among)),
            Pick::Nothing => None,
            Pick::Ask {
                criterion,
                function,
            } => {
                let within = options
                    .select_timeout
                    .map_or(DEFAULT_SELECT_TIMEOUT, |seconds| {
                        Duration::from_secs_f64(seconds.min(MAX_SELECT_S))
                    });
                let opinions = among
                    .iter()
                    .map(|record| self.opinion(record, &function, within, context));
                let answers = ask(criterion, opinions.collect()).await;
                settle(criterion, &answers, &mut rand::rng())
            }
        };
        chosen
            .and_then(|at| among.get(at).cloned())
            .ok_or_else(|| not_found(id))
    }

    /// Calls per minute towards a client; only app sessions are measured. Those in flight decide
    /// between equals.
    fn load_of(&self, record: &ServiceRecord) -> f64 {
        if !record.client.ends_with("__rlb") {
            return 0.0;
        }
        self.router.find(&record.address()).map_or(0.0, |client| {
            let load = &client.load;
            let in_flight = f64::from(load.in_flight()).min(999.0);
            f64::from(load.per_minute(self.router.now_ms())) + in_flight / 1000.0
        })
    }

    /// What a candidate's function answers to the caller of a `select:` mode; NaN when that is no
    /// number. Asked in the caller's name: what it may not call, it may not have called.
    async fn opinion(
        &self,
        record: &ServiceRecord,
        function: &str,
        within: Duration,
        context: &CallContext,
    ) -> Option<f64> {
        let method = format!("services.{}.{function}", record.name);
        let call = self
            .peer
            .call(&record.address(), &method)
            .options(CallOptions {
                ws: Some(context.ws.clone()),
                user: Some(context.user.clone()),
                timeout: within,
                ..CallOptions::default()
            })
            .send();
        let answer = tokio::time::timeout(within, call).await.ok()?.ok()?;
        Some(answer.as_f64().unwrap_or(f64::NAN))
    }

    /// Starts the app that offers a service (workspace.md 3.7).
    async fn started_for(
        &self,
        id: &ServiceId,
        context: &CallContext,
    ) -> Result<Arc<ServiceRecord>, ServiceError> {
        let Some(app) = &id.app else {
            return Err(not_found(id));
        };
        if id.client.is_some() {
            return Err(ServiceError::assertion(format!(
                "Please remove the client id from {id}: the app is not running and will be \
                 started under a new one"
            )));
        }
        let apps = self.apps().ok_or_else(|| not_found(id))?;
        let address = apps
            .lazy_start(&id.workspace, app, &id.service, context.clone())
            .await?;
        let (workspace, client) = address.split_once('/').unwrap_or((&id.workspace, &address));
        let record = self
            .registry
            .get(workspace, client, &id.service)
            .ok_or_else(|| not_found(id))?;
        if !may_use(&record, &context.user, &context.ws) {
            return Err(ServiceError::permission(format!(
                "Permission denied for non-public service in workspace {}",
                id.workspace
            )));
        }
        Ok(record)
    }

    /// Asks the provider for the service object and completes it.
    ///
    /// # Errors
    /// The provider is gone, silent, or does not know the service.
    pub async fn fetch(
        &self,
        record: &ServiceRecord,
        options: &LookupOptions,
    ) -> Result<Map, ServiceError> {
        let address = record.address();
        if self.router.is_local_address(&address) {
            let service = self
                .peer
                .offered(&record.workspace, &record.name)
                .ok_or_else(|| ServiceError::key(format!("Service not found: {}", record.id())))?;
            return Ok(self.peer.describe(&record.workspace, &*service));
        }
        let fetched = self
            .peer
            .call(&address, "services.built-in.get_service")
            .options(CallOptions {
                ws: Some(record.workspace.clone()),
                timeout: Duration::from_secs_f64(options.timeout.unwrap_or(FETCH_TIMEOUT_S)),
                ..CallOptions::default()
            })
            .arg(record.name.as_str())
            .send()
            .await?;
        let Value::Map(mut service) = fetched else {
            return Err(ServiceError::runtime(format!(
                "the provider of {} did not describe it",
                record.id()
            )));
        };
        for value in service.values_mut() {
            complete_targets(value, &record.workspace);
        }
        service.insert("id", record.id());
        let url = format!(
            "{}/{}/services/{}:{}",
            self.peer.public_base_url(),
            record.workspace,
            record.client,
            record.name
        );
        match service.get_mut("config") {
            Some(Value::Map(config)) => {
                config.insert("workspace", record.workspace.as_str());
                config.insert("url", url);
            }
            _ => {
                let config = crate::map! { "workspace" => record.workspace.as_str(), "url" => url };
                service.insert("config", config);
            }
        }
        Ok(service)
    }
}

/// Gives the functions of a service their provider's workspace. A bare client id would be
/// completed by the receiver with the workspace of whoever relays it, which is the manager.
fn complete_targets(value: &mut Value, workspace: &str) {
    match value {
        Value::Array(items) => {
            for item in items {
                complete_targets(item, workspace);
            }
        }
        Value::Map(map) => {
            if let Some(Value::Str(target)) = map.get_mut("_rtarget")
                && !target.contains('/')
            {
                *target = format!("{workspace}/{target}");
            }
            for inner in map.values_mut() {
                complete_targets(inner, workspace);
            }
        }
        _ => {}
    }
}

/// Whether a user in workspace `own` may use a service.
pub fn may_use(record: &ServiceRecord, user: &UserInfo, own: &str) -> bool {
    match record.visibility {
        Visibility::Public | Visibility::Unlisted => true,
        Visibility::Protected => {
            record.workspace == own && user.allows(own, Level::Read)
                || user.allows(&record.workspace, Level::Read)
                || record.authorized.iter().any(|ws| ws == own)
        }
    }
}

fn not_found(id: &ServiceId) -> ServiceError {
    ServiceError::key(format!("Service not found: {id}"))
}

fn ambiguous(id: &ServiceId, among: &[Arc<ServiceRecord>]) -> ServiceError {
    let shown: Vec<String> = among
        .iter()
        .take(3)
        .map(|record| {
            format!(
                "'services:{}|{}:{}@{}'",
                record.visibility,
                record.kind,
                record.id(),
                record.app
            )
        })
        .collect();
    ServiceError::assertion(format!(
        "Multiple services found for {}, e.g. [{}]. You can either specify the mode as 'random', \
         'first', 'last', 'native:random', or use 'select:criteria:function' format.",
        id.without_app(),
        shown.join(", ")
    ))
}
