use super::Sighting::*;
use super::*;

const IMPLIED: fn() -> Expectation = || expect(WaitFor::Service("default".to_owned()), true, false);
const PLAIN: fn() -> Expectation = || expect(WaitFor::Service("default".to_owned()), true, true);
const NAMED: fn() -> Expectation = || expect(WaitFor::Service("hello".to_owned()), false, true);
const CLIENT: fn() -> Expectation = || expect(WaitFor::Client, false, false);
const DETACHED: fn() -> Expectation = || expect(WaitFor::Nothing, false, true);

fn expect(wait: WaitFor, implied: bool, plain_page: bool) -> Expectation {
    Expectation {
        wait,
        implied,
        plain_page,
    }
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn added(name: &str) -> Sighting {
    ServiceAdded(name.to_owned())
}

fn service(name: &str) -> Verdict {
    Verdict::Ready(ReadyBy::Service(name.to_owned()))
}

fn failed(text: &str) -> Verdict {
    Verdict::Failed(text.to_owned())
}

/// Expectation, events with their times, the time of the question, the answer.
type Case = (fn() -> Expectation, Vec<(u64, Sighting)>, u64, Verdict);

fn check(cases: Vec<Case>) {
    for (expected, events, at, verdict) in cases {
        let mut readiness = Readiness::new(expected());
        for (time, event) in &events {
            readiness.see(event.clone(), ms(*time));
        }
        assert_eq!(readiness.verdict(ms(at)), verdict, "{events:?} at {at}");
    }
}

#[test]
fn the_awaited_thing_appears() {
    check(vec![
        (IMPLIED, vec![(0, Launched)], 99_000, Verdict::Pending(None)),
        (
            IMPLIED,
            vec![(0, Launched), (5, added("default"))],
            5,
            service("default"),
        ),
        // Services may come before the worker's start has returned.
        (
            IMPLIED,
            vec![(5, added("default"))],
            9_000,
            Verdict::Pending(None),
        ),
        (
            IMPLIED,
            vec![(5, added("default")), (6, Launched)],
            6,
            service("default"),
        ),
        (
            NAMED,
            vec![(0, Launched), (1, added("hello"))],
            1,
            service("hello"),
        ),
        (CLIENT, vec![(0, Launched)], 9_000, Verdict::Pending(None)),
        (
            CLIENT,
            vec![(0, ClientConnected), (1, Launched)],
            1,
            Verdict::Ready(ReadyBy::Client),
        ),
        (
            CLIENT,
            vec![(0, Launched), (1, added("built-in"))],
            1,
            Verdict::Ready(ReadyBy::Client),
        ),
        (DETACHED, vec![(0, PageLoaded)], 0, Verdict::Pending(None)),
        (
            DETACHED,
            vec![(0, Launched)],
            0,
            Verdict::Ready(ReadyBy::Detached),
        ),
    ]);
}

#[test]
fn an_implied_default_yields_to_other_services_after_a_pause() {
    let other = || Verdict::Ready(ReadyBy::OtherService("a".to_owned()));
    check(vec![
        (
            IMPLIED,
            vec![(0, Launched), (100, added("a"))],
            2_099,
            Verdict::Pending(Some(ms(2_100))),
        ),
        (
            IMPLIED,
            vec![(0, Launched), (100, added("a"))],
            2_100,
            other(),
        ),
        (
            IMPLIED,
            vec![(0, Launched), (100, added("a")), (1_100, added("b"))],
            2_100,
            Verdict::Pending(Some(ms(3_100))),
        ),
        (
            IMPLIED,
            vec![(0, Launched), (100, added("a")), (1_100, added("b"))],
            3_100,
            other(),
        ),
        (
            IMPLIED,
            vec![(100, added("a")), (5_000, Launched)],
            5_000,
            Verdict::Pending(Some(ms(7_000))),
        ),
        (
            IMPLIED,
            vec![(0, Launched), (100, added("a")), (900, added("default"))],
            900,
            service("default"),
        ),
        (
            IMPLIED,
            vec![(0, Launched), (100, added("built-in"))],
            9_000,
            Verdict::Pending(None),
        ),
        (
            PLAIN,
            vec![(0, Launched), (2_500, added("a"))],
            3_500,
            Verdict::Pending(Some(ms(4_500))),
        ),
        // Who named a service gets that service or nothing.
        (
            NAMED,
            vec![(0, Launched), (100, added("a")), (200, added("default"))],
            59_000,
            Verdict::Pending(None),
        ),
    ]);
}

#[test]
fn a_plain_page_without_a_client_is_detached() {
    check(vec![
        (
            PLAIN,
            vec![(0, Launched), (1_000, PageLoaded)],
            3_999,
            Verdict::Pending(Some(ms(4_000))),
        ),
        (
            PLAIN,
            vec![(0, Launched), (1_000, PageLoaded)],
            4_000,
            Verdict::Ready(ReadyBy::PlainPage),
        ),
        (
            PLAIN,
            vec![(0, PageLoaded), (5_000, Launched)],
            5_000,
            Verdict::Ready(ReadyBy::PlainPage),
        ),
        (
            PLAIN,
            vec![(10, Launched)],
            3_010,
            Verdict::Ready(ReadyBy::PlainPage),
        ),
        (
            PLAIN,
            vec![(0, Launched), (2_000, ClientConnected)],
            9_000,
            Verdict::Pending(None),
        ),
        (
            PLAIN,
            vec![(0, Launched), (5, PageError("x".to_owned()))],
            3_000,
            Verdict::Ready(ReadyBy::PlainPage),
        ),
        (
            IMPLIED,
            vec![(0, Launched), (0, PageLoaded)],
            9_000,
            Verdict::Pending(None),
        ),
        (
            NAMED,
            vec![(0, Launched), (0, PageLoaded)],
            9_000,
            Verdict::Pending(None),
        ),
    ]);
}

#[test]
fn completed_work_ends_the_wait() {
    let done = || Verdict::Ready(ReadyBy::Completed);
    check(vec![
        (IMPLIED, vec![(0, Completed)], 0, done()),
        (
            IMPLIED,
            vec![(0, Launched), (1, ProcessExited { code: 0 })],
            1,
            done(),
        ),
        (DETACHED, vec![(0, Completed)], 0, done()),
        (
            CLIENT,
            vec![(0, ClientConnected), (1, Completed)],
            1,
            done(),
        ),
        (
            CLIENT,
            vec![(1, Completed)],
            1,
            failed("Application completed without connecting"),
        ),
        (NAMED, vec![(0, added("hello")), (1, Completed)], 1, done()),
        (
            NAMED,
            vec![(0, Launched), (1, Completed)],
            1,
            failed("Application completed without registering service 'hello'"),
        ),
    ]);
}

#[test]
fn hopeless_starts_fail_at_once() {
    check(vec![
        (
            IMPLIED,
            vec![(1, ProcessExited { code: 3 })],
            1,
            failed("process exited with code 3"),
        ),
        (
            IMPLIED,
            vec![(1, PageCrashed("page crashed".to_owned()))],
            1,
            failed("page crashed"),
        ),
        (
            IMPLIED,
            vec![(1, PageError("SyntaxError".to_owned()))],
            1,
            failed("SyntaxError"),
        ),
        (
            NAMED,
            vec![(1, PageError("SyntaxError".to_owned()))],
            1,
            failed("SyntaxError"),
        ),
        (
            IMPLIED,
            vec![(1, ScriptFailed("Failed to run script".to_owned()))],
            1,
            failed("Failed to run script"),
        ),
        (
            IMPLIED,
            vec![
                (1, added("a")),
                (2, PageError("late".to_owned())),
                (3, Launched),
            ],
            3,
            Verdict::Pending(Some(ms(2_003))),
        ),
        (
            DETACHED,
            vec![(1, PageError("x".to_owned())), (2, Launched)],
            2,
            Verdict::Ready(ReadyBy::Detached),
        ),
        (
            DETACHED,
            vec![(1, PageCrashed("gone".to_owned())), (2, Launched)],
            2,
            failed("gone"),
        ),
        // The first cause is the one that explains.
        (
            IMPLIED,
            vec![
                (1, PageError("first".to_owned())),
                (2, PageCrashed("second".to_owned())),
            ],
            2,
            failed("first"),
        ),
    ]);
}

#[test]
fn a_settled_decision_stays() {
    let mut readiness = Readiness::new(IMPLIED());
    readiness.see(Launched, ms(0));
    assert_eq!(readiness.see(added("default"), ms(1)), service("default"));
    assert_eq!(
        readiness.see(PageCrashed("later".to_owned()), ms(2)),
        service("default")
    );
    assert_eq!(readiness.services(), ["default"]);
    let mut readiness = Readiness::new(IMPLIED());
    readiness.see(PageCrashed("dead".to_owned()), ms(0));
    assert_eq!(readiness.see(added("default"), ms(1)), failed("dead"));
}
