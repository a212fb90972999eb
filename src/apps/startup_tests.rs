use serde_json::json;

use super::*;

fn read(value: Value) -> StartupConfig {
    try_read(value).unwrap()
}

fn try_read(value: Value) -> Result<StartupConfig, StartupError> {
    StartupConfig::read(value.as_object().unwrap())
}

fn manifest(value: Value) -> Manifest {
    Manifest::from(value.as_object().cloned().unwrap())
}

fn service(name: &str) -> WaitFor {
    WaitFor::Service(name.to_owned())
}

#[test]
fn what_is_waited_for() {
    let table = [
        (json!({}), service("default"), true),
        (json!({"wait_for_service": null}), service("default"), true),
        (json!({"wait_for_service": true}), service("default"), false),
        (
            json!({"wait_for_service": "default"}),
            service("default"),
            false,
        ),
        (
            json!({"wait_for_service": "hello"}),
            service("hello"),
            false,
        ),
        (json!({"wait_for_service": "x:y"}), service("y"), false),
        (
            json!({"wait_for_service": "ws/x:y@app"}),
            service("y"),
            false,
        ),
        (json!({"wait_for_service": ""}), WaitFor::Client, false),
        (json!({"wait_for_service": false}), WaitFor::Nothing, false),
    ];
    for (config, wait, implied) in table {
        let plan = read(config.clone()).plan(&manifest(json!({}))).unwrap();
        assert_eq!((plan.wait, plan.implied), (wait, implied), "{config}");
    }
}

#[test]
fn a_detached_manifest_waits_only_when_told() {
    let detached = manifest(json!({"detached": true}));
    let plan = |config| read(config).plan(&detached).unwrap();
    let silent = plan(json!({}));
    assert_eq!((silent.wait, silent.implied), (WaitFor::Nothing, false));
    assert_eq!(
        plan(json!({"wait_for_service": true})).wait,
        service("default")
    );
}

#[test]
fn false_survives_storage_as_a_boolean() {
    for value in [json!(false), json!(true), json!(""), json!("a:b")] {
        let config = read(json!({"wait_for_service": value}));
        let stored = Value::Object(config.to_json());
        assert_eq!(stored, json!({"wait_for_service": value}));
        assert_eq!(read(stored), config);
    }
    assert!(read(json!({"wait_for_service": null})).to_json().is_empty());
}

#[test]
fn call_over_manifest_over_default() {
    let stored = || {
        read(
            json!({"timeout": 30, "wait_for_service": "a", "stop_after_inactive": 300, "custom": 1}),
        )
    };
    let plan = stored()
        .overridden_by(read(json!({})))
        .plan(&manifest(json!({})))
        .unwrap();
    assert_eq!(plan.timeout, Duration::from_secs(30));
    assert_eq!(plan.wait, service("a"));
    assert_eq!(plan.stop_after_inactive, Some(Duration::from_secs(300)));
    let call = json!({"timeout": 2.5, "wait_for_service": false, "additional_kwargs": {"k": 1}});
    let merged = stored().overridden_by(read(call));
    assert_eq!(
        Value::Object(merged.to_json()),
        json!({"timeout": 2.5, "wait_for_service": false, "stop_after_inactive": 300, "additional_kwargs": {"k": 1}, "custom": 1})
    );
    let plan = merged.plan(&manifest(json!({}))).unwrap();
    assert_eq!(plan.wait, WaitFor::Nothing);
    assert_eq!(plan.additional_kwargs["k"], 1);
    let bare = StartupConfig::default().plan(&manifest(json!({}))).unwrap();
    assert_eq!(
        (bare.timeout, bare.stop_after_inactive),
        (DEFAULT_TIMEOUT, Some(DEFAULT_INACTIVITY))
    );
}

#[test]
fn inactivity_rules() {
    let plan = |seconds: Value, daemon: bool| {
        let given = manifest(json!({"daemon": daemon}));
        let plan = read(json!({"stop_after_inactive": seconds})).plan(&given);
        plan.map(|plan| plan.stop_after_inactive.map(|d| d.as_secs_f64()))
    };
    let table = [
        (json!(2), false, Ok(Some(2.0))),
        (json!(1), false, Ok(Some(1.0))),
        (json!(0.5), false, Err(StartupError::TooShort)),
        (json!(0), false, Ok(None)),
        (json!(-1), false, Ok(None)),
        (json!(1e300), false, Ok(Some(1e9))),
        (Value::Null, true, Ok(None)),
        (json!(0), true, Ok(None)),
        (json!(5), true, Err(StartupError::Daemon)),
    ];
    for (seconds, daemon, expected) in table {
        assert_eq!(
            plan(seconds.clone(), daemon),
            expected,
            "{seconds} {daemon}"
        );
    }
}

#[test]
fn wrong_types_are_named() {
    let table = [
        (
            json!({"timeout": "x"}),
            "timeout must be a number of seconds",
        ),
        (
            json!({"stop_after_inactive": true}),
            "stop_after_inactive must be a number of seconds",
        ),
        (
            json!({"wait_for_service": 3}),
            "wait_for_service must be a service name or a boolean",
        ),
        (
            json!({"additional_kwargs": []}),
            "additional_kwargs must be a dict",
        ),
    ];
    for (config, text) in table {
        assert_eq!(try_read(config).unwrap_err().to_string(), text);
    }
    for timeout in [0, -3] {
        let error = read(json!({"timeout": timeout})).plan(&manifest(json!({})));
        assert_eq!(
            error.unwrap_err().to_string(),
            "timeout must be greater than 0"
        );
    }
}
