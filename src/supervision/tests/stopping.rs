//! Orderly stop, deadlines, and what happens to the children of a dead parent.

use std::time::Duration;

use super::support::*;
use crate::supervision::*;

#[actix::test]
async fn a_child_stops_when_asked_and_stays_down() {
    let mut stage = Stage::new();
    stage.hire("w", Nature::Good, steady).await;
    let gone = stage.run(|boss, ctx| boss.children.stop("w", ctx)).await;
    soon(gone).await;
    stage.expect(exited("w", ExitReason::Shutdown)).await;
    stage.expect(stopped("w")).await;
    assert_eq!(stage.clock.sleeping(), 0, "its deadline is forgotten");
    let twice = stage.run(|boss, ctx| boss.children.stop("w", ctx)).await;
    soon(twice).await;
    let unknown = stage.run(|boss, ctx| boss.children.stop("x", ctx)).await;
    soon(unknown).await;
    let (removed, empty) = stage
        .run(|boss, _| (boss.children.remove("w"), boss.children.is_empty()))
        .await;
    assert!(removed && empty);
}

#[actix::test]
async fn a_deaf_child_is_killed_at_its_deadline() {
    let mut stage = Stage::new();
    let three = |spec: ChildSpec| spec.shutdown(Duration::from_secs(3));
    stage.hire("w", Nature::Deaf, three).await;
    let gone = stage.run(|boss, ctx| boss.children.stop("w", ctx)).await;
    soon(stage.clock.wait_for_sleepers(1)).await;
    assert_eq!(stage.clock.until_next(), Some(Duration::from_secs(3)));
    stage.clock.advance(Duration::from_millis(2_999));
    let state = stage.run(|boss, _| boss.children.state("w")).await;
    assert_eq!(state, Some(ChildState::Stopping));
    stage.clock.advance(Duration::from_millis(1));
    soon(gone).await;
    stage.expect(exited("w", ExitReason::Killed)).await;
    stage.expect(stopped("w")).await;
}

#[actix::test]
async fn a_child_without_time_to_stop_is_killed_at_once() {
    let mut stage = Stage::new();
    let none = |spec: ChildSpec| spec.shutdown(Duration::ZERO);
    stage.hire("w", Nature::Good, none).await;
    let gone = stage.run(|boss, ctx| boss.children.stop("w", ctx)).await;
    soon(gone).await;
    stage.expect(exited("w", ExitReason::Killed)).await;
}

#[actix::test]
async fn a_child_in_backoff_is_stopped_without_a_restart() {
    let mut stage = Stage::new();
    let slot = stage.hire("w", Nature::Good, steady).await;
    slot.do_send(Do::Panic);
    stage.expect(exited("w", panicked("in handler"))).await;
    assert!(matches!(stage.event().await, ChildEvent::Restarting { .. }));
    let gone = stage.run(|boss, ctx| boss.children.stop("w", ctx)).await;
    soon(gone).await;
    stage.expect(stopped("w")).await;
    assert_eq!(stage.clock.sleeping(), 0);
}

#[actix::test]
async fn all_stop_one_by_one_in_reverse_order_then_the_parent() {
    let mut stage = Stage::new();
    stage.hire("first", Nature::Good, steady).await;
    stage.hire("deaf", Nature::Deaf, steady).await;
    stage.hire("last", Nature::Good, steady).await;
    let deadline = Duration::from_secs(30);
    stage.boss.do_send(Stop { deadline });
    assert_eq!(soon(stage.gone.recv()).await.as_deref(), Some("last"));
    // The deaf one holds up the first until its deadline.
    soon(stage.clock.wait_for_sleepers(1)).await;
    let (spec, _) = stage.worker("late", Nature::Good);
    let (first, late) = stage
        .run(|boss, ctx| {
            let late = boss.children.start(spec, ctx);
            (boss.children.is_running("first"), late)
        })
        .await;
    assert!(first);
    assert_eq!(late, Err(StartError::ShuttingDown("late".into())));
    assert_eq!(stage.clock.advance_to_next(), Some(Duration::from_secs(5)));
    assert_eq!(soon(stage.gone.recv()).await.as_deref(), Some("deaf"));
    assert_eq!(soon(stage.gone.recv()).await.as_deref(), Some("first"));
    assert_eq!(soon(stage.exit).await, ExitReason::Shutdown);
}

#[actix::test]
async fn all_stop_together_when_set_so() {
    let mut stage = Stage::new();
    let clock = stage.clock.shared();
    stage
        .run(|boss, _| boss.children = Children::new(clock).stop_order(StopOrder::Together))
        .await;
    for id in ["a", "b", "c"] {
        stage.hire(id, Nature::Deaf, steady).await;
    }
    let gone = stage.run(|boss, ctx| boss.children.stop_all(ctx)).await;
    soon(stage.clock.wait_for_sleepers(3)).await;
    stage.clock.advance(Duration::from_secs(5));
    soon(gone).await;
    // The parent goes on and may have children again.
    for _ in 0..6 {
        stage.event().await;
    }
    stage.hire("d", Nature::Good, steady).await;
}

#[actix::test]
async fn a_child_that_dies_while_all_stop_is_not_restarted() {
    let mut stage = Stage::new();
    let slot = stage.hire("a", Nature::Good, steady).await;
    stage.hire("deaf", Nature::Deaf, steady).await;
    let gone = stage.run(|boss, ctx| boss.children.stop_all(ctx)).await;
    soon(stage.clock.wait_for_sleepers(1)).await;
    slot.do_send(Do::Panic);
    stage.expect(exited("a", panicked("in handler"))).await;
    stage.expect(stopped("a")).await;
    stage.clock.advance(Duration::from_secs(5));
    soon(gone).await;
}

#[actix::test]
async fn a_killed_parent_takes_its_children_along() {
    let mut stage = Stage::new();
    let slot = stage.hire("w", Nature::Deaf, steady).await;
    stage.kill.kill();
    assert_eq!(soon(stage.exit).await, ExitReason::Killed);
    assert_eq!(soon(stage.gone.recv()).await.as_deref(), Some("w"));
    assert!(!slot.is_up());
}

#[actix::test]
async fn a_panicking_parent_takes_its_children_along() {
    let mut stage = Stage::new();
    stage.hire("w", Nature::Deaf, steady).await;
    let job = |_: &mut Boss, _: &mut actix::Context<Boss>| panic!("bad boss");
    stage.boss.do_send(Run::<()>::new(job));
    assert_eq!(soon(stage.exit).await, panicked("bad boss"));
    assert_eq!(soon(stage.gone.recv()).await.as_deref(), Some("w"));
}

#[actix::test]
async fn a_dropped_kill_handle_ends_the_actor() {
    let stage = Stage::new();
    drop(stage.kill);
    assert_eq!(soon(stage.exit).await, ExitReason::Killed);
}
