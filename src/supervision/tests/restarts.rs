//! Restart types, backoff, intensity and escalation.

use std::time::Duration;

use super::support::*;
use crate::supervision::*;

/// A worker of this restart type is given an order: is it restarted?
async fn comes_back(restart: Restart, order: Do, reason: ExitReason) -> bool {
    let mut stage = Stage::new();
    let slot = stage
        .hire("w", Nature::Good, |spec| spec.restart(restart))
        .await;
    slot.do_send(order);
    stage.expect(exited("w", reason)).await;
    match stage.event().await {
        ChildEvent::Restarting { .. } => true,
        event => {
            assert_eq!(event, stopped("w"));
            assert_eq!(stage.clock.sleeping(), 0);
            false
        }
    }
}

#[actix::test]
async fn permanent_transient_and_temporary() {
    let crash = panicked("in handler");
    assert!(comes_back(Restart::Permanent, Do::Panic, crash.clone()).await);
    assert!(comes_back(Restart::Permanent, Do::Finish, ExitReason::Normal).await);
    assert!(comes_back(Restart::Transient, Do::Panic, crash.clone()).await);
    assert!(!comes_back(Restart::Transient, Do::Finish, ExitReason::Normal).await);
    assert!(!comes_back(Restart::Temporary, Do::Panic, crash).await);
    assert!(!comes_back(Restart::Temporary, Do::Finish, ExitReason::Normal).await);
}

#[actix::test]
async fn the_backoff_doubles_and_starts_anew_after_a_long_life() {
    let mut stage = Stage::new();
    let slot = stage.hire("w", Nature::Good, steady).await;
    for (n, expected) in [(1, 500), (2, 1_000), (3, 2_000)] {
        slot.do_send(Do::Panic);
        let after = stage.expect_restart("w", panicked("in handler"), n).await;
        assert_eq!(after, Duration::from_millis(expected));
    }
    stage.clock.advance(Duration::from_secs(600));
    slot.do_send(Do::GiveUp);
    let error = ExitReason::Error("no luck".into());
    let after = stage.expect_restart("w", error.clone(), 4).await;
    assert_eq!(after, Duration::from_millis(500));
    stage
        .run(move |boss, _| {
            assert!(boss.children.is_running("w"));
            assert_eq!(boss.children.restarts("w"), Some(4));
            assert_eq!(boss.children.last_exit("w"), Some(&error));
        })
        .await;
}

#[actix::test]
async fn nothing_happens_before_the_backoff_is_over() {
    let mut stage = Stage::new();
    let slot = stage.hire("w", Nature::Good, steady).await;
    slot.do_send(Do::Panic);
    stage.expect(exited("w", panicked("in handler"))).await;
    assert!(matches!(
        stage.event().await,
        ChildEvent::Restarting { restarts: 1, .. }
    ));
    soon(stage.clock.wait_for_sleepers(1)).await;
    stage.clock.advance(Duration::from_millis(499));
    let state = stage.run(|boss, _| boss.children.state("w")).await;
    assert_eq!(state, Some(ChildState::Backoff));
    assert!(!slot.do_send(Do::Nothing));
    stage.clock.advance(Duration::from_millis(1));
    stage.expect(started("w", 1)).await;
    soon(slot.send(Do::Nothing)).await.expect("a new address");
}

/// Uses up the intensity (2 restarts) of a worker whose spec says `on_exhausted`.
async fn exhausted(on_exhausted: OnExhausted) -> (Stage, AddrSlot<Worker>) {
    let mut stage = Stage::new();
    let slot = stage
        .hire("w", Nature::Good, |spec| {
            steady(spec)
                .intensity(2, Duration::from_secs(600))
                .on_exhausted(on_exhausted)
        })
        .await;
    for n in 1..=2 {
        slot.do_send(Do::Panic);
        stage.expect_restart("w", panicked("in handler"), n).await;
    }
    slot.do_send(Do::Panic);
    (stage, slot)
}

fn failed(id: &str, reason: ExitReason) -> ChildEvent {
    ChildEvent::Failed {
        id: id.into(),
        reason,
    }
}

#[actix::test]
async fn exhausted_and_given_up() {
    let (mut stage, slot) = exhausted(OnExhausted::GiveUp).await;
    stage.expect(exited("w", panicked("in handler"))).await;
    stage.expect(failed("w", panicked("in handler"))).await;
    let state = stage.run(|boss, _| boss.children.state("w")).await;
    assert_eq!(state, Some(ChildState::Failed));
    assert_eq!(stage.clock.sleeping(), 0);
    assert!(!slot.is_up());

    // The parent decides: it may start it anew, with a clean history.
    let slot = stage.hire("w", Nature::Good, steady).await;
    slot.do_send(Do::Panic);
    let after = stage.expect_restart("w", panicked("in handler"), 1).await;
    assert_eq!(after, Duration::from_millis(500));
}

#[actix::test]
async fn exhausted_and_tried_on_at_the_cap() {
    let (mut stage, slot) = exhausted(OnExhausted::KeepTrying).await;
    for n in 3..=6 {
        let after = stage.expect_restart("w", panicked("in handler"), n).await;
        assert_eq!(after, Duration::from_secs(60));
        slot.do_send(Do::Panic);
    }
}

#[actix::test]
async fn exhausted_and_escalated() {
    let (mut stage, _slot) = exhausted(OnExhausted::Escalate).await;
    stage.expect(exited("w", panicked("in handler"))).await;
    stage.expect(failed("w", panicked("in handler"))).await;
    let expected = ExitReason::Error(
        "worker \"w\" died more than 2 times in 600s, at last of panic: in handler".into(),
    );
    assert_eq!(soon(stage.exit).await, expected);
}

#[actix::test]
async fn an_escalation_climbs_two_levels_and_stops_the_siblings() {
    let mut stage = Stage::new();
    let never = |spec: ChildSpec| {
        spec.intensity(0, Duration::from_secs(600))
            .on_exhausted(OnExhausted::Escalate)
    };
    let (spec, slot, _events) = stage.sub_boss("sub");
    let spec = never(spec);
    stage
        .run(|boss, ctx| boss.children.start(spec, ctx).expect("new"))
        .await;
    stage.expect(started("sub", 0)).await;
    let (bad, bad_slot) = stage.worker("bad", Nature::Good);
    let (sibling, sibling_slot) = stage.worker("sibling", Nature::Good);
    let bad = never(bad);
    let sub = slot.get().expect("it is up");
    run_in(&sub, |boss, ctx| {
        boss.children.start(bad, ctx).expect("new");
        boss.children.start(sibling, ctx).expect("new");
    })
    .await;
    soon(sibling_slot.send(Do::Nothing)).await.expect("up");
    soon(bad_slot.send(Do::Nothing)).await.expect("up");

    bad_slot.do_send(Do::Panic);
    let error = ExitReason::Error(
        "worker \"bad\" died more than 0 times in 600s, at last of panic: in handler".into(),
    );
    stage.expect(exited("sub", error.clone())).await;
    stage.expect(failed("sub", error)).await;
    assert!(!sibling_slot.is_up());
    assert_eq!(soon(stage.gone.recv()).await.as_deref(), Some("bad"));
    assert_eq!(soon(stage.gone.recv()).await.as_deref(), Some("sibling"));
    assert!(matches!(soon(stage.exit).await, ExitReason::Error(text) if text.contains("\"sub\"")));
}
