use super::*;

fn fields(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn checked(value: Value) -> Result<Manifest, ManifestError> {
    Manifest::checked(fields(value))
}

#[test]
fn a_committed_manifest_has_the_documented_keys() {
    let given = json!({"zeta": 1, "type": "web-worker", "name": "n", "server_url": "http://s", "custom": null});
    let committed = checked(given).unwrap().committed();
    let keys: Vec<_> = committed.fields().keys().map(String::as_str).collect();
    let expected = "type format_version name id description tags documentation covers badges authors attachments \
        files config version links maintainers license git_repo source passive dependencies requirements api_version \
        icon env entry_point daemon singleton worker_managed services startup_config service_selection_mode \
        startup_context source_hash autoscaling server_url service_ids zeta custom";
    assert_eq!(keys, expected.split_whitespace().collect::<Vec<_>>());
    let defaults = [
        ("format_version", json!("0.2.1")),
        ("api_version", json!("0.1.0")),
        ("version", json!("0.1.0")),
        ("daemon", json!(false)),
        ("services", json!([])),
        ("tags", Value::Null),
        ("zeta", json!(1)),
    ];
    for (key, value) in defaults {
        assert_eq!(committed.get(key), Some(&value), "{key}");
    }
    assert_eq!(committed.committed(), committed);
    assert!(
        checked(json!({"type": "x"}))
            .unwrap()
            .committed()
            .get("server_url")
            .is_none()
    );
}

#[test]
fn wrong_manifests_are_refused_with_the_known_texts() {
    let table = [
        (
            json!({"type": "a", "services": [{"id": "x"}]}),
            "Services and service_ids fields are not allowed in the app manifest.",
        ),
        (
            json!({"type": "a", "service_ids": ["x"]}),
            "Services and service_ids fields are not allowed in the app manifest.",
        ),
        (
            json!({}),
            "Application type should not be application or None",
        ),
        (
            json!({"type": null}),
            "Application type should not be application or None",
        ),
        (
            json!({"type": "application"}),
            "Application type should not be application or None",
        ),
        (
            json!({"type": 5}),
            "Application type should not be application or None",
        ),
        (
            json!({"type": "a", "name": 5}),
            "Invalid application manifest: field 'name' must be a string",
        ),
        (
            json!({"type": "a", "daemon": "yes"}),
            "Invalid application manifest: field 'daemon' must be a boolean",
        ),
        (
            json!({"type": "a", "requirements": "numpy"}),
            "Invalid application manifest: field 'requirements' must be a list",
        ),
        (
            json!({"type": "a", "service_selection_mode": "best"}),
            "Invalid application manifest: Invalid mode: best.",
        ),
        (
            json!({"type": "a", "startup_config": {"timeout": "soon"}}),
            "Invalid application manifest: timeout must be",
        ),
    ];
    for (given, text) in table {
        let error = checked(given.clone()).unwrap_err();
        assert!(error.to_string().starts_with(text), "{given} -> {error}");
        assert_eq!(error.class(), "ValueError");
    }
}

#[test]
fn lenient_where_no_meaning_is_lost() {
    let manifest =
        checked(json!({"type": "a", "version": 1.5, "services": [], "service_ids": null})).unwrap();
    assert_eq!(manifest.get("version"), Some(&json!("1.5")));
    let precise = json!({"type": "a", "n": 12345678901234567890u64, "f": 0.1, "z": null});
    assert_eq!(
        serde_json::to_value(checked(precise.clone()).unwrap()).unwrap(),
        precise
    );
}

#[test]
fn either_name_of_the_manifest_parameter_but_not_both() {
    let one = || Some(fields(json!({"a": 1})));
    assert_eq!(given_manifest(one(), None).unwrap(), one());
    assert_eq!(given_manifest(None, one()).unwrap(), one());
    assert_eq!(given_manifest(None, None).unwrap(), None);
    let error = given_manifest(one(), one()).unwrap_err().to_string();
    assert!(error.starts_with("Cannot specify both 'config' and 'manifest' parameters"));
}

#[test]
fn services_are_recorded_only_when_they_change() {
    let mut manifest = checked(json!({"type": "a"})).unwrap();
    let services = vec![json!({"id": "ws/*:default"}), json!({"id": "ws/*:extra"})];
    assert!(manifest.set_services(services.clone()));
    assert!(!manifest.set_services(services.clone()));
    assert_eq!(
        manifest.get("service_ids"),
        Some(&json!(["ws/*:default", "ws/*:extra"]))
    );
    assert_eq!(manifest.service("extra"), Some(&services[1]));
    assert_eq!(manifest.service("ws/*"), None);
    assert!(manifest.set_services(Vec::new()));
}

#[test]
fn autoscaled_apps_do_not_default_to_exact() {
    let mode = |value| Manifest::from(fields(value)).selection_mode().unwrap();
    assert_eq!(mode(json!({})), None);
    let scaled = json!({"autoscaling": {"enabled": true}});
    assert_eq!(mode(scaled), Some(SelectionMode::MinLoad));
    let named = json!({"autoscaling": {"enabled": true}, "service_selection_mode": "first"});
    assert_eq!(mode(named), Some(SelectionMode::First));
}

#[test]
fn published_copies_carry_no_secrets() {
    let manifest = Manifest::from(fields(
        json!({"startup_context": {"ws": "w"}, "config": {"secrets": {"a": 1}, "b": 2}}),
    ));
    let public = Value::Object(manifest.without_secrets().into_fields());
    assert_eq!(public, json!({"config": {"b": 2}}));
}
