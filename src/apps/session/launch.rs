//! The steps that take time: choosing a worker, calling its `start`, its logs, its `stop`.

use std::sync::Arc;
use std::time::Duration;

use super::entry::SessionEntry;
use crate::apps::history::LogLine;
use crate::apps::host::{Host, WorkerWish};
use crate::apps::lifecycle::SessionEvent;
use crate::apps::progress::{Progress, Step};
use crate::identity::{Level, TokenRequest};
use crate::peer::ServiceError;
use crate::wire::Value;
use crate::workers::{LogQuery, Notices, StartOrder, Started, Worker};

/// How long a worker may take to stop a session.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// Life of the token that a session connects with; afterwards its reconnection token counts.
const TOKEN_S: f64 = 3600.0;
/// How long the logs of a session that ends are waited for.
const LOGS_WITHIN: Duration = Duration::from_secs(2);
/// Log lines that go into the error of a failed start.
const LOG_LINES: usize = 50;

impl SessionEntry {
    /// Tells the starter how far things are.
    pub fn progress(&self, step: Step<'_>) {
        (self.order.progress)(vec![Progress::from(step).to_value()]);
    }
}

/// Chooses a worker and has it start the session.
pub async fn launch(
    host: Arc<Host>,
    entry: Arc<SessionEntry>,
    notices: Notices,
) -> Result<(Arc<dyn Worker>, Started), ServiceError> {
    let app_type = entry
        .order
        .manifest
        .app_type()
        .unwrap_or_default()
        .to_owned();
    entry.progress(Step::InitializingWorker { kind: &app_type });
    let worker = host
        .choose_worker(
            &WorkerWish {
                workspace: entry.workspace(),
                app: &entry.order.app,
                app_type: &app_type,
                worker_id: entry.order.worker_id.as_deref(),
                mode: entry.order.worker_mode.as_deref(),
            },
            &entry.order.runner,
        )
        .await?;
    entry.set_worker(&worker.info().id);
    entry.advance(SessionEvent::WorkerSelected, host.clock.unix(), None);
    entry.progress(Step::StartingApplication { kind: &app_type });
    let mut order = start_order(&host, &entry, &app_type)?;
    if worker.info().client.is_none() && !order.plain_page {
        let of = &entry.order;
        let page = host.page(entry.workspace(), &of.app, &of.version, &of.manifest);
        order.page = page.await;
    }
    host.hand_over(&*worker, &entry).await;
    let started = worker.start(order, notices).await?;
    entry.set_worker_session(started.session.clone());
    if started.session.is_some() {
        host.hand_over(&*worker, &entry).await;
    }
    Ok((worker, started))
}

fn start_order(
    host: &Host,
    entry: &SessionEntry,
    app_type: &str,
) -> Result<StartOrder, ServiceError> {
    let order = &entry.order;
    let workspace = entry.workspace().to_owned();
    let permission = match order.runner.level_in(&workspace) {
        Some(level) => level.min(Level::ReadWrite),
        None => Level::Read,
    };
    let request = TokenRequest {
        expires_in: TOKEN_S,
        workspace: Some(workspace.clone()),
        permission,
        client_id: Some(order.id.client_id().to_owned()),
        ..TokenRequest::default()
    };
    let token = host
        .directory
        .tokens
        .generate(&order.runner, &workspace, request)?;
    let server_url = host.local_url.clone();
    let page = host
        .pages
        .grant(&workspace, &order.app, &order.version, &entry.id());
    let entry_point = order.manifest.entry_point().unwrap_or_default().to_owned();
    Ok(StartOrder {
        session: entry.id(),
        client_id: order.id.client_id().to_owned(),
        app_id: order.app.clone(),
        app_type: app_type.to_owned(),
        version: order.version.clone(),
        page_url: format!("{server_url}/_pages/{page}/{entry_point}"),
        app_files_base_url: format!(
            "{server_url}/{workspace}/artifacts/{}@{}/files",
            order.app, order.version
        ),
        server_url,
        token,
        entry_point,
        plain_page: order.plain_page,
        page: None,
        timeout: order.plan.timeout.as_secs_f64(),
        manifest: order.manifest.fields().clone(),
        additional: order.plan.additional_kwargs.clone(),
        user: order.runner.clone(),
        progress: order.progress.clone(),
        workspace,
    })
}

/// The last log lines of a session; none when the worker does not tell them in time.
pub async fn last_logs(worker: &dyn Worker, session: &str) -> Vec<LogLine> {
    let query = LogQuery::default();
    let asked = tokio::time::timeout(LOGS_WITHIN, worker.logs(session, &query));
    let Ok(Ok(logs)) = asked.await else {
        return Vec::new();
    };
    let items = logs.get("items").and_then(Value::as_array);
    let items = items.unwrap_or_default();
    let last = items.len().saturating_sub(LOG_LINES);
    items[last..].iter().filter_map(log_line).collect()
}

fn log_line(item: &Value) -> Option<LogLine> {
    let text = |key: &str| item.get(key).and_then(Value::as_str);
    Some(LogLine {
        kind: text("type").unwrap_or("log").to_owned(),
        content: text("content")?.to_owned(),
    })
}

/// Has a worker stop a session; false when it did not in time.
pub async fn stop_on(worker: &dyn Worker, session: &str) -> bool {
    match tokio::time::timeout(STOP_WITHIN, worker.stop(session)).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!(session, %error, "a worker failed to stop a session");
            false
        }
        Err(_) => {
            tracing::warn!(session, "a worker did not stop a session in time");
            false
        }
    }
}
