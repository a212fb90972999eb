//! A server full of services: what look-ups and departures cost there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::relay::{merge, unique};
use crate::rpc::Rpc;
use crate::stats::{self, Probe};
use crate::wire::{Res, get, get_str, map, s};

/// Most time for the news of a departure.
const NEWS_WITHIN: Duration = Duration::from_secs(30);

#[derive(Args, Clone)]
pub struct ScaleArgs {
    /// Workspaces, with one client each.
    #[arg(long, default_value_t = 1000)]
    pub workspaces: usize,
    /// Services of each client.
    #[arg(long, default_value_t = 10)]
    pub services: usize,
    /// Workspaces being filled at the same time.
    #[arg(long, default_value_t = 10)]
    pub concurrency: usize,
    /// get_service calls, over all services in turn.
    #[arg(long, default_value_t = 5000)]
    pub gets: usize,
    /// Clients with as many services that come and go, one after the other.
    #[arg(long, default_value_t = 100)]
    pub departures: usize,
    /// Token of root: the workspaces are then made, and persistent. Without it each is that of an
    /// anonymous user.
    #[arg(long)]
    pub token: Option<String>,
    /// Most seconds for filling them, and for each of the two measurements.
    #[arg(long, default_value_t = 120.0)]
    pub limit: f64,
}

pub async fn run(url: &str, args: ScaleArgs, pid: Option<u32>) -> Res<Value> {
    let probe = Probe::new(pid);
    let began = Instant::now();
    let (providers, failed) = fill(url, &args).await?;
    if providers.is_empty() {
        return Err(failed.unwrap_or_default().into());
    }
    let mut out = json!({
        "workspaces": providers.len(), "services": providers.len() * args.services,
        "persistent": args.token.is_some(), "fill_s": seconds(began.elapsed()),
        "failures": usize::from(failed.is_some()), "first_failure": failed,
        "rss_before_kib": probe.rss_before(), "rss_full_kib": probe.rss_now(),
    });
    out["get_service"] = gets(&providers, &args, pid).await?;
    out["departure"] = departures(url, &providers, &args, pid).await?;
    out["server"] = probe.report(0);
    Ok(out)
}

fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e3).round() / 1e3
}

fn deadline(args: &ScaleArgs) -> Instant {
    Instant::now() + Duration::from_secs_f64(args.limit)
}

/// The clients that got their services registered in time, and the first thing that went wrong.
async fn fill(url: &str, args: &ScaleArgs) -> Res<(Vec<Rpc>, Option<String>)> {
    let maker = match &args.token {
        Some(token) => Some(Rpc::connect(url, &unique("maker"), None, Some(token)).await?),
        None => None,
    };
    let (until, next) = (deadline(args), Arc::new(AtomicUsize::new(0)));
    let mut lanes = FuturesUnordered::new();
    for _ in 0..args.concurrency {
        let (url, args) = (url.to_string(), args.clone());
        let (maker, next) = (maker.clone(), next.clone());
        lanes.push(tokio::spawn(async move {
            let mut made = Vec::new();
            while next.fetch_add(1, Ordering::Relaxed) < args.workspaces {
                if Instant::now() >= until {
                    return (made, Some("time limit for filling reached".to_string()));
                }
                match provider(&url, &args, maker.as_ref()).await {
                    Ok(rpc) => made.push(rpc),
                    Err(error) => return (made, Some(error.to_string())),
                }
            }
            (made, None)
        }));
    }
    let (mut providers, mut failed) = (Vec::new(), None);
    while let Some(lane) = lanes.next().await {
        let (made, trouble) = lane?;
        providers.extend(made);
        failed = failed.or(trouble);
    }
    Ok((providers, failed))
}

async fn provider(url: &str, args: &ScaleArgs, maker: Option<&Rpc>) -> Res<Rpc> {
    let (workspace, token) = match maker {
        None => (None, None),
        Some(maker) => {
            let name = unique("scale");
            let config = map(vec![
                ("name", s(&name)),
                ("persistent", rmpv::Value::from(true)),
            ]);
            maker
                .manager("create_workspace", vec![config], vec![])
                .await?;
            let token = token_for(maker, &name).await?;
            (Some(name), Some(token))
        }
    };
    let id = unique("provider");
    let rpc = Rpc::connect(url, &id, workspace.as_deref(), token.as_deref()).await?;
    register(&rpc, args.services).await?;
    rpc.manager("subscribe", vec![s("client_disconnected")], vec![])
        .await?;
    Ok(rpc)
}

async fn token_for(rpc: &Rpc, workspace: &str) -> Res<String> {
    // An administrator's, for it has to make others in turn.
    let config = map(vec![
        ("workspace", s(workspace)),
        ("permission", s("admin")),
    ]);
    let token = rpc.manager("generate_token", vec![config], vec![]).await?;
    let token = token.as_str().ok_or("generate_token returned no text")?;
    Ok(token.to_string())
}

async fn register(rpc: &Rpc, services: usize) -> Res<()> {
    for i in 0..services {
        rpc.offer(&format!("svc{i}"), "generic", &["hello"], s("hi"));
        rpc.register(&format!("svc{i}"), "generic", &["hello"])
            .await?;
    }
    Ok(())
}

fn measured(h: &Histogram<u64>, count: &str, took: Duration, failed: Option<String>) -> Value {
    let mut out = json!({
        count: h.len(),
        "per_s": (h.len() as f64 / took.as_secs_f64() * 10.0).round() / 10.0,
        "failures": usize::from(failed.is_some()), "first_failure": failed,
    });
    merge(&mut out, stats::latency_json(h));
    out
}

/// One call after the other, each in another workspace.
async fn gets(providers: &[Rpc], args: &ScaleArgs, pid: Option<u32>) -> Res<Value> {
    let (mut h, mut failed) = (stats::histogram(), None);
    let (probe, began, until) = (Probe::new(pid), Instant::now(), deadline(args));
    for call in 0..args.gets {
        if Instant::now() >= until {
            break;
        }
        let rpc = &providers[call % providers.len()];
        let id = format!("svc{}", call / providers.len() % args.services.max(1));
        let at = Instant::now();
        if let Err(error) = rpc.manager("get_service", vec![s(id)], vec![]).await {
            failed = Some(error.to_string());
            break;
        }
        stats::record(&mut h, at.elapsed());
    }
    let mut out = measured(&h, "calls", began.elapsed(), failed);
    out["server"] = probe.report(h.len());
    Ok(out)
}

/// From the end of a client to the event that tells it, which comes after its services are gone.
async fn departures(
    url: &str,
    providers: &[Rpc],
    args: &ScaleArgs,
    pid: Option<u32>,
) -> Res<Value> {
    let (mut h, mut failed) = (stats::histogram(), None);
    let (probe, began, until) = (Probe::new(pid), Instant::now(), deadline(args));
    for turn in 0..args.departures {
        if Instant::now() >= until {
            break;
        }
        let observer = &providers[turn % providers.len()];
        match departure(url, observer, args).await {
            Ok(took) => stats::record(&mut h, took),
            Err(error) => {
                failed = Some(error.to_string());
                break;
            }
        }
    }
    let mut out = measured(&h, "departures", began.elapsed(), failed);
    out["server"] = probe.report(h.len());
    Ok(out)
}

async fn departure(url: &str, observer: &Rpc, args: &ScaleArgs) -> Res<Duration> {
    let workspace = observer.info().workspace.clone();
    let token = token_for(observer, &workspace).await?;
    let id = unique("leaver");
    let leaver = Rpc::connect(url, &id, Some(&workspace), Some(&token)).await?;
    register(&leaver, args.services).await?;
    let mut events = observer.events();
    let at = Instant::now();
    leaver.hang_up();
    let news = async {
        while let Some(event) = events.recv().await {
            let told = get(&event, "data").and_then(|data| get_str(data, "id"));
            if get_str(&event, "type") == Some("client_disconnected") && told == Some(&id) {
                return Ok(());
            }
        }
        Err("the observer lost its connection")
    };
    tokio::time::timeout(NEWS_WITHIN, news)
        .await
        .map_err(|_| format!("no news of a departure within {NEWS_WITHIN:?}"))??;
    let took = at.elapsed();
    let listed = observer.manager("list_services", vec![], vec![]).await?;
    if listed.to_string().contains(&id) {
        return Err("services of a departed client are still listed".into());
    }
    Ok(took)
}
