//! Every way to die is noticed, once, with its reason.

use actix::prelude::*;

use super::support::*;
use crate::supervision::*;

async fn dies(nature: Nature, order: Option<Do>, reason: ExitReason) {
    let mut stage = Stage::new();
    let temporary = |spec: ChildSpec| spec.restart(Restart::Temporary);
    let slot = stage.hire("w", nature, temporary).await;
    if let Some(order) = order {
        slot.do_send(order);
    }
    stage.expect(exited("w", reason)).await;
    stage.expect(stopped("w")).await;
    assert!(!slot.is_up() && slot.get().is_none());
    assert!(soon(slot.send(Do::Nothing)).await.is_err());
    assert_eq!(slot.in_flight(), 0);
}

#[actix::test]
async fn a_panic_in_a_handler() {
    dies(Nature::Good, Some(Do::Panic), panicked("in handler")).await;
}

#[actix::test]
async fn a_panic_in_started() {
    dies(Nature::PanicsInStarted, None, panicked("in started")).await;
}

#[actix::test]
async fn a_panic_in_the_factory() {
    dies(Nature::PanicsInFactory, None, panicked("in factory")).await;
}

#[actix::test]
async fn a_panic_in_a_future_of_the_context() {
    dies(Nature::Good, Some(Do::PanicInFuture), panicked("in future")).await;
}

#[actix::test]
async fn a_panic_in_a_guarded_future_beside_the_actor() {
    let reason = panicked("side job: beside");
    dies(Nature::Good, Some(Do::PanicBeside), reason).await;
}

#[actix::test]
async fn a_panic_beside_an_actor_that_waits() {
    let reason = panicked("side job: beside");
    dies(Nature::Good, Some(Do::PanicBesideWhileWaiting), reason).await;
}

#[actix::test]
async fn a_second_panic_while_it_ends_does_not_take_the_process_down() {
    let nature = Nature::PanicsInStopped;
    dies(nature, Some(Do::Panic), panicked("in handler")).await;
    dies(nature, Some(Do::Finish), panicked("in stopped")).await;
}

#[actix::test]
async fn an_error_of_its_own_and_a_plain_end() {
    let error = ExitReason::Error("no luck".into());
    dies(Nature::Good, Some(Do::GiveUp), error).await;
    dies(Nature::Good, Some(Do::Finish), ExitReason::Normal).await;
}

#[actix::test]
async fn a_panic_in_the_start_function_and_a_start_that_fails() {
    let mut stage = Stage::new();
    let spec = ChildSpec::new("p", "odd", |_| panic!("in start")).restart(Restart::Temporary);
    stage
        .run(|boss, ctx| boss.children.start(spec, ctx).expect("new"))
        .await;
    stage.expect(started("p", 0)).await;
    stage.expect(exited("p", panicked("in start"))).await;
    stage.expect(stopped("p")).await;

    let lost = ExitReason::Lost("no browser".into());
    let reason = lost.clone();
    let spec = ChildSpec::new("f", "odd", move |_| StartedChild::failed(reason.clone()))
        .restart(Restart::Temporary);
    stage
        .run(|boss, ctx| boss.children.start(spec, ctx).expect("new"))
        .await;
    stage.expect(started("f", 0)).await;
    stage.expect(exited("f", lost)).await;
}

#[actix::test]
async fn a_parent_may_end_a_child_for_its_own_reason() {
    let mut stage = Stage::new();
    stage
        .hire("w", Nature::Deaf, |spec| spec.restart(Restart::Temporary))
        .await;
    let lost = ExitReason::Lost("renderer".into());
    let reason = lost.clone();
    assert!(stage.run(|boss, _| boss.children.fail("w", reason)).await);
    stage.expect(exited("w", lost)).await;
    stage.expect(stopped("w")).await;
    let killed =
        |boss: &mut Boss, _: &mut Context<Boss>| boss.children.fail("w", ExitReason::Killed);
    assert!(!stage.run(killed).await);
}

#[actix::test]
async fn the_end_of_an_actor_ends_its_guarded_futures() {
    struct Quiet;
    impl Actor for Quiet {
        type Context = Context<Self>;
    }
    let exit = ExitSlot::new();
    let (held, mut released) = tokio::sync::mpsc::channel::<()>(1);
    let quiet = start_here(exit.clone(), move |ctx: &mut Context<Quiet>| {
        spawn_guarded(ctx, &exit, "forever", async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        Quiet
    });
    quiet.kill.kill();
    assert_eq!(soon(quiet.exit).await, ExitReason::Killed);
    assert_eq!(soon(released.recv()).await, None);
}

#[actix::test]
async fn a_child_on_another_arbiter_is_watched_and_its_arbiter_outlives_its_panic() {
    let arbiter = Arbiter::new();
    let mut stage = Stage::new();
    let place = Place::On(arbiter.handle());
    let elsewhere = |spec: ChildSpec| steady(spec).at(place);
    let slot = stage.hire("w", Nature::Good, elsewhere).await;
    slot.do_send(Do::Panic);
    stage.expect_restart("w", panicked("in handler"), 1).await;
    soon(slot.send(Do::Nothing)).await.expect("it is back");

    arbiter.stop();
    let lost = ExitReason::Lost("its arbiter ended".into());
    stage.expect(exited("w", lost)).await;
    let _ = arbiter.join();
}
