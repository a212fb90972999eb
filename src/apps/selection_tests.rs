use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

fn rng() -> StdRng {
    StdRng::seed_from_u64(7)
}

fn worker(id: &str, kinds: &[&str]) -> WorkerCandidate {
    WorkerCandidate {
        id: WorkerId::parse(id, "none").unwrap(),
        supported_types: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
        disabled: false,
        provider: None,
        dormant: false,
    }
}

fn ids(found: &[&WorkerCandidate]) -> Vec<String> {
    found.iter().map(|worker| worker.id.to_string()).collect()
}

#[test]
fn modes_are_read_and_written_alike() {
    for text in [
        "exact",
        "random",
        "first",
        "last",
        "min_load",
        "native:random",
        "select:min:load",
        "select:max:f",
        "select:first_success:ping",
    ] {
        assert_eq!(text.parse::<SelectionMode>().unwrap().to_string(), text);
    }
}

#[test]
fn wrong_modes_say_how() {
    let table = [
        ("best", "Invalid mode: best. Mode must be "),
        ("", "Invalid mode: . Mode must be "),
        (
            "select:min",
            "Invalid select mode format: select:min. Expected 'select:criteria:function'",
        ),
        (
            "select:min:",
            "Invalid select mode format: select:min:. Expected",
        ),
        (
            "select:min:a:b",
            "Invalid select mode format: select:min:a:b. Expected",
        ),
        ("select:mean:f", "Unknown selection criteria: mean"),
    ];
    for (text, expected) in table {
        let error = text.parse::<SelectionMode>().unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let worker = |text| SelectionMode::for_workers(text);
    assert_eq!(worker(None), Ok(SelectionMode::Random));
    assert_eq!(worker(Some("")), Ok(SelectionMode::Random));
    let error = worker(Some("best")).unwrap_err().to_string();
    assert!(
        error.starts_with("Invalid selection mode: best."),
        "{error}"
    );
    let error = worker(Some("select:x")).unwrap_err().to_string();
    assert!(
        error.starts_with("Invalid select mode format: select:x"),
        "{error}"
    );
}

#[test]
fn picks_by_mode() {
    let loads = [3.0, 1.0, 2.0];
    let pick = |mode: &str, count| {
        let mode: SelectionMode = mode.parse().unwrap();
        mode.pick(count, |index| loads[index], &mut rng())
    };
    for mode in ["exact", "random", "select:min:f", "min_load"] {
        assert_eq!(pick(mode, 0), Pick::Nothing);
        assert_eq!(pick(mode, 1), Pick::Index(0));
    }
    assert_eq!(pick("exact", 2), Pick::Ambiguous);
    assert_eq!(pick("first", 3), Pick::Index(0));
    assert_eq!(pick("last", 3), Pick::Index(2));
    assert_eq!(pick("min_load", 3), Pick::Index(1));
    assert!(matches!(pick("random", 3), Pick::Index(0..3)));
    let ask = Pick::Ask {
        criterion: Criterion::Max,
        function: "f".to_owned(),
    };
    assert_eq!(pick("select:max:f", 3), ask);
}

#[test]
fn equal_loads_are_spread() {
    let mut rng = rng();
    let mut seen = [0; 3];
    for _ in 0..300 {
        let Pick::Index(index) = SelectionMode::MinLoad.pick(3, |_| 0.0, &mut rng) else {
            panic!("no pick")
        };
        seen[index] += 1;
    }
    assert!(seen.iter().all(|count| *count > 50), "{seen:?}");
    let odd = SelectionMode::MinLoad.pick(2, |_| f64::NAN, &mut rng);
    assert!(matches!(odd, Pick::Index(0..2)));
}

#[test]
fn answers_are_compared() {
    let answers = [None, Some(5.0), Some(1.0), Some(5.0), Some(f64::NAN)];
    let settle = |criterion| settle(criterion, &answers, &mut rng());
    assert_eq!(settle(Criterion::Min), Some(2));
    assert_eq!(settle(Criterion::Max), Some(1));
    assert_eq!(settle(Criterion::FirstSuccess), Some(1));
    let silent = super::settle(Criterion::Min, &[None, None], &mut rng());
    assert!(matches!(silent, Some(0..2)));
    assert_eq!(super::settle(Criterion::Max, &[], &mut rng()), None);
}

#[test]
fn the_own_workspace_comes_first() {
    let workers = [
        worker("public/s:browser", &["window", "web-worker"]),
        worker("ws/a:mine", &["my-type", "window"]),
        worker("ws/b:mine", &["my-type"]),
        worker("other/c:theirs", &["my-type", "odd"]),
    ];
    let find = |kind: &str| candidates(&workers, "ws", "app", kind).map(|found| ids(&found));
    assert_eq!(find("my-type").unwrap(), ["ws/a:mine", "ws/b:mine"]);
    assert_eq!(find("window").unwrap(), ["ws/a:mine"]);
    assert_eq!(find("web-worker").unwrap(), ["public/s:browser"]);
    let error = find("odd").unwrap_err();
    assert_eq!(
        error.to_string(),
        "No server app worker found for app type: odd"
    );
    assert_eq!(error.class(), "WorkerNotFoundError");
}

#[test]
fn disabled_own_and_hidden_workers_are_skipped() {
    let provider = |app: &str| AppRef::parse(app).ok();
    let workers = [
        WorkerCandidate {
            disabled: true,
            ..worker("ws/a:off", &["t"])
        },
        WorkerCandidate {
            provider: provider("app"),
            ..worker("ws/b:self", &["t"])
        },
        WorkerCandidate {
            provider: provider("maker"),
            dormant: true,
            ..worker("ws/x:twin", &["t"])
        },
        WorkerCandidate {
            provider: provider("sleeper"),
            dormant: true,
            ..worker("ws/y:asleep", &["t"])
        },
        WorkerCandidate {
            provider: provider("maker"),
            ..worker("ws/c:awake", &["t"])
        },
    ];
    let found = candidates(&workers, "ws", "app", "t").unwrap();
    assert_eq!(ids(&found), ["ws/c:awake", "ws/y:asleep"]);
    // The same alias in another workspace is another app.
    let foreign = [WorkerCandidate {
        provider: provider("app"),
        ..worker("public/b:w", &["t"])
    }];
    assert_eq!(candidates(&foreign, "ws", "app", "t").unwrap().len(), 1);
}

#[test]
fn a_named_worker_must_exist_be_on_and_fit() {
    let workers = [
        worker("ws/a:w", &["t", "u"]),
        WorkerCandidate {
            disabled: true,
            ..worker("ws/b:w", &["t"])
        },
    ];
    let find = |id: &str, kind: &str| {
        let found = named(&workers, &WorkerId::parse(id, "ws").unwrap(), kind);
        found
            .map(|w| w.id.to_string())
            .map_err(|error| error.to_string())
    };
    assert_eq!(find("a:w", "t").unwrap(), "ws/a:w");
    assert_eq!(
        find("b:w", "t").unwrap_err(),
        "Worker with ID 'ws/b:w' is disabled"
    );
    assert_eq!(
        find("c:w", "t").unwrap_err(),
        "Worker with ID 'ws/c:w' not found"
    );
    assert_eq!(
        find("a:w", "x").unwrap_err(),
        "Worker 'ws/a:w' does not support app type 'x'. Supported types: ['t', 'u']"
    );
}

#[test]
fn ambiguity_names_the_matches() {
    let one = worker("ws/a:w", &["t"]);
    let text = many_workers("t", &[&one, &one]).to_string();
    assert!(
        text.starts_with("Multiple workers found for app_type t, but mode is 'exact'"),
        "{text}"
    );
    let text =
        SelectionError::many_services("ws/*:s@*", ["ws/a:s", "ws/b:s"].into_iter()).to_string();
    assert!(
        text.starts_with(
            "Multiple services found for ws/*:s@*, e.g. ['ws/a:s', 'ws/b:s']. You can either"
        ),
        "{text}"
    );
}
