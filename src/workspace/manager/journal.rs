//! The event log: noting events and reading them back.

use std::collections::BTreeMap;

use super::{ManagerService, blocking};
use crate::identity::Level;
use crate::map;
use crate::peer::{Arguments, CallContext, Reply, ServiceError};
use crate::wire::Value;
use crate::workspace::event_log::{EventQuery, LoggedEvent};
use crate::workspace::iso_time::{format_iso, parse_iso};

/// Longest event type, in characters.
const MAX_TYPE: usize = 128;
/// Largest data of one event, in bytes of JSON.
const MAX_DATA: usize = 64 * 1024;

fn time(args: &Arguments, name: &str) -> Result<Option<f64>, ServiceError> {
    let Some(text) = args.opt_str(name)? else {
        return Ok(None);
    };
    parse_iso(text).map(Some).ok_or_else(|| {
        ServiceError::value(format!(
            "{name} must be an ISO time such as 2026-01-31T12:00:00, got {text}"
        ))
    })
}

impl ManagerService {
    pub(super) async fn log(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        self.note("log", args.get("msg"), context).await
    }

    pub(super) async fn log_event(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let kind = args.str("event_type")?;
        if kind.contains(' ') {
            return Err(ServiceError::assertion(
                "Event type must not contain spaces",
            ));
        }
        if kind.is_empty() || kind.chars().count() > MAX_TYPE {
            return Err(ServiceError::value(format!(
                "an event type has 1 to {MAX_TYPE} characters"
            )));
        }
        self.note(kind, args.get("data"), context).await
    }

    pub(super) async fn note(
        &self,
        kind: &str,
        data: &Value,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        self.directory
            .require(&context.user, &context.ws, Level::ReadWrite)?;
        let (kind, data) = (kind.to_owned(), data.to_json());
        if data.to_string().len() > MAX_DATA {
            return Err(ServiceError::value(format!(
                "the data of an event has at most {MAX_DATA} bytes"
            )));
        }
        let (workspace, user) = (context.ws.clone(), context.user.id.clone());
        let directory = self.directory.clone();
        blocking(move || directory.events.add(&workspace, &user, &kind, data)).await?;
        self.directory.durable().await?;
        Ok(Value::Nil.into())
    }

    async fn find(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Vec<LoggedEvent>, ServiceError> {
        self.directory
            .require(&context.user, &context.ws, Level::Read)?;
        let kind = args.opt_str("event_type")?.map(str::to_owned);
        let (from, until) = (time(args, "start_time")?, time(args, "end_time")?);
        let (workspace, user) = (context.ws.clone(), context.user.id.clone());
        let directory = self.directory.clone();
        blocking(move || {
            let query = EventQuery {
                event_type: kind.as_deref(),
                from,
                until,
            };
            directory.events.find(&workspace, &user, &query)
        })
        .await
    }

    pub(super) async fn get_events(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let events: Vec<Value> = self
            .find(args, context)
            .await?
            .into_iter()
            .map(|event| {
                Value::Map(map! {
                    "id" => event.id as i64,
                    "event_type" => event.event_type,
                    "workspace" => event.workspace,
                    "user_id" => event.user_id,
                    "timestamp" => format_iso(event.at),
                    "data" => Value::from_json(event.data),
                })
            })
            .collect();
        Ok(events.into())
    }

    pub(super) async fn get_event_stats(
        &self,
        args: &Arguments,
        context: &CallContext,
    ) -> Result<Reply, ServiceError> {
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        for event in self.find(args, context).await? {
            *counts.entry(event.event_type).or_default() += 1;
        }
        let stats: Vec<Value> = counts
            .into_iter()
            .map(|(kind, count)| Value::Map(map! { "event_type" => kind, "count" => count }))
            .collect();
        Ok(stats.into())
    }
}
