//! `/metrics`: counts in the text format of Prometheus.
//!
//! Everything is read when it is asked for; no label names a client, a user or a workspace, of
//! which there are too many. Administrators are told about each app as well. The names without `rhizome_` are the reference's, for dashboards
//! that exist.

use std::collections::BTreeMap;
use std::fmt;

use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelValue, EncodeMetric,
    NoLabelSet, prometheus_text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::app_metrics::AppNumbers;
use super::edge::{Edge, Sums};
use super::{HttpError, caller};
use crate::metrics::{Reading, machine};
use crate::node::Node;
use crate::router::{Totals, Transport};
use crate::workers::browser::Pool;
use crate::workers::browser::pool::Held;

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const TRANSPORTS: [Transport; 2] = [Transport::WebSocket, Transport::Http];
const STATUS_KINDS: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

pub fn routes(config: &mut ServiceConfig) {
    let metrics = web::resource("/metrics")
        .route(web::get().to(metrics))
        .route(web::head().to(metrics));
    config.service(metrics);
}

async fn metrics(
    request: HttpRequest,
    node: Data<Node>,
    edge: Data<Edge>,
) -> Result<HttpResponse, HttpError> {
    let in_detail = caller::admin(&request, &node).is_ok();
    let snapshot = Snapshot::take(&node, &edge, in_detail).await?;
    let mut registry = Registry::default();
    registry.register_collector(Box::new(snapshot));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry).map_err(|error| {
        tracing::error!(%error, "the metrics cannot be written");
        HttpError::Unavailable("The metrics cannot be written".into())
    })?;
    Ok(HttpResponse::Ok().content_type(CONTENT_TYPE).body(text))
}

/// All numbers at one moment.
#[derive(Debug)]
struct Snapshot {
    connections: BTreeMap<&'static str, u64>,
    established: (u64, u64),
    services: usize,
    workspaces: usize,
    sessions: BTreeMap<&'static str, u64>,
    apps: usize,
    /// For administrators.
    each_app: Option<AppNumbers>,
    totals: Totals,
    load: u64,
    events: u64,
    cuts: u64,
    http: Vec<Sums>,
    limited: (u64, u64),
    callers: usize,
    waiting: Vec<Held>,
    resident: u64,
    uptime: f64,
    flushes: Reading,
}

impl Snapshot {
    async fn take(node: &Node, edge: &Edge, in_detail: bool) -> Result<Self, HttpError> {
        let directory = &node.directory;
        let router = &directory.router;
        let mut connections = BTreeMap::from(TRANSPORTS.map(|transport| (transport.name(), 0)));
        let (mut load, now) = (0, router.now_ms());
        for client in router.all() {
            *connections.entry(client.transport.name()).or_insert(0) += 1;
            load += u64::from(client.load.per_minute(now));
        }
        let mut sessions = BTreeMap::from([("running", 0)]);
        let (mut apps, mut each_app) = (0, None);
        if let Some(host) = &node.apps {
            for entry in host.sessions.all() {
                *sessions.entry(entry.state().status()).or_insert(0) += 1;
            }
            let installed = host.store.installed().await;
            let installed = installed.map_err(crate::peer::ServiceError::from)?;
            apps = installed.len();
            each_app = in_detail.then(|| AppNumbers::take(host, router, installed));
        }
        Ok(Snapshot {
            connections,
            established: router.notes.established(),
            services: directory.registry.len(),
            workspaces: directory.len(),
            sessions,
            apps,
            each_app,
            totals: router.totals(),
            load,
            events: router.notes.events(),
            cuts: router.notes.cuts(),
            http: edge.requests(),
            limited: edge.limited(),
            callers: edge.callers(),
            waiting: node.pool().map(Pool::report).unwrap_or_default(),
            resident: machine::memory().resident,
            uptime: node.clock.now().as_secs_f64(),
            flushes: directory.flush_times(),
        })
    }

    fn connections(&self, out: &mut Writer<'_>) -> fmt::Result {
        let (websockets, streams) = self.established;
        let by_transport =
            |(transport, count): (&&'static str, &u64)| ([("transport", *transport)], *count);
        out.gauges(
            "rhizome_connections",
            "Clients that are connected",
            self.connections.iter().map(by_transport),
        )?;
        out.counters(
            "rhizome_connections_established",
            "Clients that ever connected",
            [
                ([("transport", "websocket")], websockets),
                ([("transport", "http")], streams),
            ],
        )?;
        out.gauge(
            "rhizome_services",
            "Services that are registered",
            self.services,
        )?;
        out.gauge(
            "rhizome_workspaces",
            "Workspaces that exist",
            self.workspaces,
        )?;
        out.gauge("rhizome_apps", "Apps that are installed", self.apps)?;
        out.gauges(
            "rhizome_sessions",
            "Sessions of apps",
            self.sessions
                .iter()
                .map(|(status, count)| ([("status", *status)], *count)),
        )
    }

    fn traffic(&self, out: &mut Writer<'_>) -> fmt::Result {
        let totals = self.totals;
        out.counter(
            "rhizome_frames_routed",
            "Frames that clients sent",
            totals.frames,
        )?;
        out.counter(
            "rhizome_bytes_routed",
            "Bytes of these frames",
            totals.bytes,
        )?;
        out.counter(
            "rhizome_calls_routed",
            "Calls among these frames",
            totals.calls,
        )?;
        out.counter(
            "rhizome_frames_refused",
            "Frames that reached nobody",
            totals.refused,
        )?;
        out.counter(
            "rhizome_mailbox_cuts",
            "Clients cut because they left messages unread",
            self.cuts,
        )
    }

    fn http(&self, out: &mut Writer<'_>) -> fmt::Result {
        let by_kind = |sums: &Sums| {
            let route = sums.route.name();
            let labels = STATUS_KINDS.map(|status| [("route", route), ("status", status)]);
            labels.into_iter().zip(sums.requests)
        };
        out.counters(
            "rhizome_http_requests",
            "HTTP requests by kind of route and status",
            self.http.iter().flat_map(by_kind),
        )?;
        out.histograms(
            "rhizome_http_request_seconds",
            "Seconds until an HTTP answer began",
            self.http
                .iter()
                .map(|sums| ([("route", sums.route.name())], sums.seconds)),
        )?;
        out.gauge(
            "rhizome_http_callers",
            "Callers that the rate limit remembers",
            self.callers,
        )?;
        let (anonymous, known) = self.limited;
        out.counters(
            "rhizome_http_rate_limited",
            "HTTP requests refused for their number",
            [
                ([("class", "anonymous")], anonymous),
                ([("class", "authenticated")], known),
            ],
        )
    }

    /// Pages of the browser that wait for apps.
    fn pages(&self, out: &mut Writer<'_>) -> fmt::Result {
        out.gauges(
            "rhizome_waiting_pages",
            "Pages made in advance that wait for an app",
            self.waiting
                .iter()
                .map(|held| ([("kind", held.kind)], held.ready as u64)),
        )?;
        let events = |held: &Held| {
            let (kind, counts) = (held.kind, held.counts);
            [
                ("made", counts.made),
                ("taken", counts.taken),
                ("missed", counts.missed),
                ("renewed", counts.renewed),
                ("lost", counts.lost),
                ("dropped", counts.dropped),
                ("failed", counts.failed),
            ]
            .map(|(event, count)| ([("kind", kind), ("event", event)], count))
        };
        out.counters(
            "rhizome_waiting_page_events",
            "What became of pages made in advance, and starts that found none",
            self.waiting.iter().flat_map(events),
        )
    }

    fn process(&self, out: &mut Writer<'_>) -> fmt::Result {
        out.gauge(
            "process_resident_memory_bytes",
            "Resident memory in bytes",
            self.resident,
        )?;
        out.gauge(
            "rhizome_uptime_seconds",
            "Seconds since the start",
            self.uptime,
        )?;
        out.histograms(
            "rhizome_store_flush_seconds",
            "Seconds the store took to reach the disk",
            [(NO_LABELS, self.flushes)],
        )
    }

    /// The names of the reference (its tests read them).
    fn reference(&self, out: &mut Writer<'_>) -> fmt::Result {
        let open = self
            .connections
            .get("websocket")
            .copied()
            .unwrap_or_default();
        out.gauge("websocket_connections", "As rhizome_connections", open)?;
        out.counter(
            "websocket_connections_established",
            "As rhizome_connections_established",
            self.established.0,
        )?;
        out.counter("rpc_call", "As rhizome_calls_routed", self.totals.calls)?;
        out.counter(
            "client_requests",
            "As rhizome_calls_routed",
            self.totals.calls,
        )?;
        out.gauge(
            "client_load_current",
            "Calls towards clients within a minute",
            self.load,
        )?;
        out.counters(
            "event_bus",
            "Events sent to subscribers",
            [([("event", "*"), ("status", "processed")], self.events)],
        )?;
        out.gauge(
            "redis_pubsub_latency_seconds",
            "Always 0: events do not leave the process",
            0_u64,
        )
    }
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut out = Writer(encoder);
        self.connections(&mut out)?;
        if let Some(apps) = &self.each_app {
            apps.write(&mut out)?;
        }
        self.traffic(&mut out)?;
        self.http(&mut out)?;
        self.pages(&mut out)?;
        self.process(&mut out)?;
        self.reference(&mut out)
    }
}

const NO_LABELS: Labels<&str, 0> = [];

/// Labels of one sample.
type Labels<L, const N: usize> = [(&'static str, L); N];

/// Writes numbers that are known already.
pub struct Writer<'a>(DescriptorEncoder<'a>);

impl Writer<'_> {
    fn family<L: EncodeLabelValue, const N: usize, M: EncodeMetric>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        samples: impl IntoIterator<Item = (Labels<L, N>, M)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, metric) in samples {
            metric.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    pub fn gauges<L: EncodeLabelValue, const N: usize, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<L, N>, V)>,
    ) -> fmt::Result {
        let samples = samples
            .into_iter()
            .map(|(labels, value)| (labels, ConstGauge::new(value)));
        self.family(name, help, MetricType::Gauge, samples)
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        self.gauges(name, help, [(NO_LABELS, value)])
    }

    fn counters<L: EncodeLabelValue, const N: usize, V: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<L, N>, V)>,
    ) -> fmt::Result {
        let samples = samples
            .into_iter()
            .map(|(labels, value)| (labels, ConstCounter::new(value)));
        self.family(name, help, MetricType::Counter, samples)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.counters(name, help, [(NO_LABELS, value)])
    }

    fn histograms<L: EncodeLabelValue, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<L, N>, Reading)>,
    ) -> fmt::Result {
        let mut family = self
            .0
            .encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, reading) in samples {
            family
                .encode_family(&labels)?
                .encode_histogram::<NoLabelSet>(
                    reading.sum(),
                    reading.count(),
                    &reading.buckets(),
                    None,
                )?;
        }
        Ok(())
    }
}
