//! What the tree shows.

use std::time::Duration;

use actix::AsyncContext;
use serde_json::json;

use super::support::*;
use crate::supervision::*;

#[actix::test]
async fn a_snapshot_tells_state_uptime_restarts_and_last_exit() {
    let mut stage = Stage::new();
    let slot = stage.hire("a", Nature::Good, steady).await;
    stage.hire("b", Nature::Good, steady).await;
    slot.do_send(Do::Panic);
    stage.expect_restart("a", panicked("in handler"), 1).await;
    let gone = stage.run(|boss, ctx| boss.children.stop("b", ctx)).await;
    soon(gone).await;
    stage.clock.advance(Duration::from_secs(7));
    let (ids, nodes) = stage
        .run(|boss, _| (boss.children.ids(), boss.children.snapshot()))
        .await;
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(
        serde_json::to_value(nodes).expect("plain data"),
        json!([
            {"id": "a", "kind": "worker", "state": "running", "uptime_s": 7.0, "restarts": 1,
             "last_exit": "panic: in handler", "mailbox": 0, "detail": null, "children": []},
            {"id": "b", "kind": "worker", "state": "stopped", "uptime_s": 0.0, "restarts": 0,
             "last_exit": "shutdown", "mailbox": null, "detail": null, "children": []},
        ])
    );
}

#[actix::test]
async fn the_tree_asks_nested_parents() {
    let mut stage = Stage::new();
    let (spec, slot, _events) = stage.sub_boss("sub");
    stage
        .run(|boss, ctx| boss.children.start(spec, ctx).expect("new"))
        .await;
    stage.expect(started("sub", 0)).await;
    let (worker, _worker_slot) = stage.worker("w", Nature::Good);
    let sub = slot.get().expect("it is up");
    run_in(&sub, |boss, ctx| {
        boss.children.start(worker, ctx).expect("new")
    })
    .await;
    let tree = soon(stage.boss.send(GetTree::default()))
        .await
        .expect("alive")
        .named("root", "boss");
    assert_eq!((tree.id.as_str(), tree.children.len()), ("root", 1));
    let sub = &tree.children[0];
    assert_eq!((sub.id.as_str(), sub.kind.as_str()), ("sub", "boss"));
    assert_eq!(sub.state, ChildState::Running);
    assert_eq!(sub.detail, json!({"boss": true}));
    assert_eq!(sub.children[0].id, "w");
    assert_eq!(stage.clock.sleeping(), 0, "the limit is forgotten");
}

#[actix::test]
async fn a_child_that_does_not_answer_in_time_is_shown_as_unresponsive() {
    let mut stage = Stage::new();
    let (spec, slot, _events) = stage.sub_boss("sub");
    stage
        .run(|boss, ctx| boss.children.start(spec, ctx).expect("new"))
        .await;
    stage.expect(started("sub", 0)).await;
    run_in(&slot.get().expect("it is up"), |_, ctx| {
        ctx.wait(actix::fut::wrap_future(std::future::pending()));
    })
    .await;
    let waiting = slot.send(GetTree::default());
    let tree = actix::spawn(stage.boss.send(GetTree::default()));
    soon(stage.clock.wait_for_sleepers(1)).await;
    assert_eq!(
        stage.clock.advance_to_next(),
        Some(Duration::from_millis(200))
    );
    let tree = soon(tree).await.expect("no panic").expect("alive");
    assert_eq!(tree.children[0].state, ChildState::Unresponsive);
    assert_eq!(tree.children[0].mailbox, Some(1), "the request above");
    drop(waiting);
}
