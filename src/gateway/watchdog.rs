//! Watches all connections from outside: a connection actor that cannot write does not run, so
//! it cannot notice by itself that its peer is gone (stack notes: timers stop).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::prelude::*;

use super::limits::GatewayLimits;
use super::{Gateway, Membership};
use crate::peer::Peer;
use crate::router::{CLOSE_GOING_AWAY, Client, MailboxDepth, Outgoing, Router, Transport};
use crate::supervision::{ExitReason, ExitSlot, SharedClock, Stop};

/// Longest time between two looks.
const PERIOD: Duration = Duration::from_secs(5);
/// Shortest time between two looks.
const SHORTEST_PERIOD: Duration = Duration::from_millis(250);

/// See the module's text. One per node, permanent.
pub struct WatchdogActor {
    router: Arc<Router>,
    peer: Arc<Peer>,
    members: Arc<dyn Membership>,
    limits: GatewayLimits,
    clock: SharedClock,
    exit: ExitSlot,
    /// Mailboxes that waited at the last look: how many drains they had seen, and since when.
    waiting: HashMap<u64, (MailboxDepth, u64)>,
}

/// What the watchdog does about one connection.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Leave,
    Ping,
    CloseIdle,
    CutSilent,
    CutStuck,
}

impl WatchdogActor {
    pub fn new(gateway: &Gateway, clock: SharedClock, exit: ExitSlot) -> Self {
        WatchdogActor {
            router: gateway.router.clone(),
            peer: gateway.peer.clone(),
            members: gateway.members.clone(),
            limits: gateway.limits.clone(),
            clock,
            exit,
            waiting: HashMap::new(),
        }
    }

    fn look(&mut self) {
        let now = self.router.now_ms();
        let mut waiting = HashMap::new();
        for client in self.router.all() {
            let depth = client.mailbox.depth();
            let since = if depth.messages > 0 {
                let before = self.waiting.get(&client.generation);
                let since = match before {
                    Some((seen, since)) if seen.drains == depth.drains => *since,
                    _ => now,
                };
                waiting.insert(client.generation, (depth, since));
                Some(since)
            } else {
                None
            };
            let verdict = judge(&client, since, now, &self.limits);
            if verdict == Verdict::CutStuck {
                self.router.notes.cut();
            }
            act(&client, verdict, &self.limits);
        }
        self.waiting = waiting;
        self.router.sweep();
        self.peer.sweep();
        self.members.sweep();
    }

    fn schedule(&self, ctx: &mut Context<Self>) {
        ctx.spawn(
            self.clock
                .sleep(period(&self.limits))
                .into_actor(self)
                .map(|(), actor, ctx| {
                    actor.look();
                    actor.schedule(ctx);
                }),
        );
    }
}

/// Time between two looks: short limits are watched more closely.
fn period(limits: &GatewayLimits) -> Duration {
    let shortest = limits.ping_interval.min(limits.stuck_after);
    (shortest / 4).clamp(SHORTEST_PERIOD, PERIOD)
}

fn judge(client: &Client, waiting_since: Option<u64>, now: u64, limits: &GatewayLimits) -> Verdict {
    let age = |since: u64| Duration::from_millis(now.saturating_sub(since));
    if waiting_since.is_some_and(|since| age(since) >= limits.stuck_after) {
        return Verdict::CutStuck;
    }
    // `stream::reaper` tells life from silence there.
    if client.transport != Transport::WebSocket {
        return Verdict::Leave;
    }
    if age(client.last_active()) >= limits.idle_timeout {
        return Verdict::CloseIdle;
    }
    let pings = client.unanswered_pings.load(Ordering::Relaxed);
    if age(client.last_heard()) < limits.ping_interval * (pings + 1) {
        return Verdict::Leave;
    }
    if pings >= limits.ping_misses {
        Verdict::CutSilent
    } else {
        Verdict::Ping
    }
}

fn act(client: &Client, verdict: Verdict, limits: &GatewayLimits) {
    match verdict {
        Verdict::Leave => {}
        Verdict::Ping => {
            client.unanswered_pings.fetch_add(1, Ordering::Relaxed);
            // A full or closed mailbox is judged by its own rule.
            let _ = client.push(Outgoing::Ping);
        }
        Verdict::CloseIdle => {
            let seconds = limits.idle_timeout.as_secs();
            client.close(CLOSE_GOING_AWAY, format!("Idle timeout ({seconds}s)"));
        }
        Verdict::CutSilent => {
            tracing::info!(client = %client.address, "cutting a silent connection");
            client.cut();
        }
        Verdict::CutStuck => {
            tracing::warn!(client = %client.address, "cutting a connection that reads nothing");
            client.cut();
        }
    }
}

impl Actor for WatchdogActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.schedule(ctx);
    }
}

impl Handler<Stop> for WatchdogActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        self.exit.set(ExitReason::Shutdown);
        ctx.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::UserInfo;
    use crate::router::{ClientSpec, MailboxLimits, Transport};
    use crate::supervision::ManualClock;

    fn client() -> Arc<Client> {
        let router = Router::new(
            "srv",
            MailboxLimits::default(),
            Arc::new(ManualClock::new()),
        );
        let spec = ClientSpec {
            workspace: "ws".into(),
            client_id: "c".into(),
            user: Arc::new(UserInfo::root()),
            transport: Transport::WebSocket,
            cut: None,
            remote: String::new(),
        };
        router.register(spec, false).unwrap().client
    }

    fn verdict(client: &Client, waiting_since: Option<u64>, now: u64) -> Verdict {
        judge(client, waiting_since, now, &GatewayLimits::default())
    }

    #[test]
    fn silence_is_pinged_and_then_cut() {
        let client = client();
        assert_eq!(verdict(&client, None, 19_000), Verdict::Leave);
        assert_eq!(verdict(&client, None, 20_000), Verdict::Ping);
        act(&client, Verdict::Ping, &GatewayLimits::default());
        assert_eq!(verdict(&client, None, 30_000), Verdict::Leave);
        assert_eq!(verdict(&client, None, 40_000), Verdict::Ping);
        client.unanswered_pings.store(3, Ordering::Relaxed);
        assert_eq!(verdict(&client, None, 80_000), Verdict::CutSilent);
        client.heard(81_000, false);
        assert_eq!(verdict(&client, None, 82_000), Verdict::Leave);
    }

    #[test]
    fn pongs_do_not_end_idleness() {
        let client = client();
        client.heard(599_000, false);
        assert_eq!(verdict(&client, None, 600_000), Verdict::CloseIdle);
        client.heard(599_000, true);
        assert_eq!(verdict(&client, None, 600_000), Verdict::Leave);
    }

    #[test]
    fn short_limits_are_watched_closely() {
        let with = |ping_interval| GatewayLimits {
            ping_interval,
            ..GatewayLimits::default()
        };
        assert_eq!(period(&GatewayLimits::default()), PERIOD);
        let second = Duration::from_secs(1);
        assert_eq!(period(&with(second)), second / 4);
        assert_eq!(period(&with(Duration::ZERO)), SHORTEST_PERIOD);
    }

    #[test]
    fn an_unread_mailbox_is_cut() {
        let client = client();
        client.heard(100_000, true);
        assert_eq!(verdict(&client, Some(80_000), 100_000), Verdict::Leave);
        assert_eq!(verdict(&client, Some(70_000), 100_000), Verdict::CutStuck);
    }
}
