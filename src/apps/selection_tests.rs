use super::*;

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
fn modes_of_workers() {
    let worker = |text| worker_mode(text).map_err(|error| error.to_string());
    assert_eq!(worker(None), Ok(SelectionMode::Random));
    assert_eq!(worker(Some("")), Ok(SelectionMode::Random));
    let error = worker(Some("best")).unwrap_err();
    assert!(
        error.starts_with("Invalid selection mode: best."),
        "{error}"
    );
    let error = worker(Some("select:x")).unwrap_err();
    assert!(
        error.starts_with("Invalid select mode format: select:x"),
        "{error}"
    );
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
}
