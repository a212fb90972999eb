//! The numbers of single apps for `/metrics`. They name apps and workspaces, so that only
//! administrators are told them.

use std::collections::BTreeMap;
use std::fmt;

use super::metrics::Writer;
use crate::apps::Host;
use crate::router::Router;

/// What one app does at this moment.
#[derive(Debug, Default)]
struct Numbers {
    /// Sessions by status.
    sessions: BTreeMap<&'static str, u64>,
    /// Calls towards them within a minute.
    calls: u64,
    in_flight: u64,
    /// Crashes of the sessions that live.
    crashes: u64,
}

/// All apps, by workspace and id.
#[derive(Debug)]
pub struct AppNumbers(BTreeMap<(String, String), Numbers>);

impl AppNumbers {
    /// `installed`: workspace and id of each app; those without sessions have zeros.
    pub fn take(host: &Host, router: &Router, installed: Vec<(String, String)>) -> Self {
        let mut apps: BTreeMap<_, Numbers> = installed
            .into_iter()
            .map(|app| (app, Numbers::default()))
            .collect();
        let now = router.now_ms();
        for numbers in apps.values_mut() {
            numbers.sessions.insert("running", 0);
        }
        for entry in host.sessions.all() {
            let app = (entry.workspace().to_owned(), entry.order.app.clone());
            let numbers = apps.entry(app).or_default();
            *numbers.sessions.entry(entry.state().status()).or_insert(0) += 1;
            numbers.crashes += entry.crashes().len() as u64;
            if let Some(client) = router.find(&entry.id()) {
                numbers.calls += u64::from(client.load.per_minute(now));
                numbers.in_flight += u64::from(client.load.in_flight());
            }
        }
        AppNumbers(apps)
    }

    pub fn write(&self, out: &mut Writer<'_>) -> fmt::Result {
        let labels = |(workspace, app): &'_ (String, String)| (workspace.clone(), app.clone());
        let by_status = self.0.iter().flat_map(|(app, numbers)| {
            numbers.sessions.iter().map(move |(status, count)| {
                let (workspace, app) = labels(app);
                let labels = [
                    ("workspace", workspace),
                    ("app", app),
                    ("status", (*status).to_owned()),
                ];
                (labels, *count)
            })
        });
        out.gauges(
            "rhizome_app_sessions",
            "Sessions of each app by status",
            by_status,
        )?;
        let each = |number: fn(&Numbers) -> u64| {
            self.0.iter().map(move |(app, numbers)| {
                let (workspace, app) = labels(app);
                ([("workspace", workspace), ("app", app)], number(numbers))
            })
        };
        out.gauges(
            "rhizome_app_calls_per_minute",
            "Calls towards the sessions of each app within a minute",
            each(|numbers| numbers.calls),
        )?;
        out.gauges(
            "rhizome_app_calls_in_flight",
            "Calls that the sessions of each app work on",
            each(|numbers| numbers.in_flight),
        )?;
        out.gauges(
            "rhizome_app_crashes",
            "Crashes of the sessions of each app that live",
            each(|numbers| numbers.crashes),
        )
    }
}
