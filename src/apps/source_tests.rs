use super::*;

fn manifest(value: Value) -> Option<Map<String, Value>> {
    value.as_object().cloned()
}

fn ready(source: &str, given: Value) -> Resolved {
    match resolve_source(Some(source), manifest(given), Vec::new()).unwrap() {
        Outcome::Ready(resolved) => resolved,
        Outcome::Download(download) => panic!("unexpected download of {}", download.url),
    }
}

fn only_file(resolved: &Resolved) -> (&str, &str) {
    let [file] = &resolved.files[..] else {
        panic!("{:?}", resolved.files)
    };
    (&file.path, std::str::from_utf8(&file.content).unwrap())
}

#[test]
fn plain_code_goes_to_the_entry_point_or_to_source() {
    let worker = ready(
        "\napi.export({})",
        json!({"name": "a", "type": "web-worker"}),
    );
    assert_eq!(only_file(&worker), ("source", "\napi.export({})"));
    assert_eq!(worker.manifest["entry_point"], "source");
    let named = ready(
        "print(1)",
        json!({"type": "python-eval", "entry_point": "main.py"}),
    );
    assert_eq!(only_file(&named), ("main.py", "print(1)"));
    let httpx = ready("httpx = 1", json!({"type": "x"}));
    assert_eq!(only_file(&httpx), ("source", "httpx = 1"));
    let bad = resolve_source(
        Some("x"),
        manifest(json!({"entry_point": "../x"})),
        Vec::new(),
    );
    assert_eq!(bad, Err(SourceError::EntryPoint("../x".to_owned())));
}

#[test]
fn raw_html_is_stored_untouched() {
    for source in [
        "  <!DOCTYPE html><p>",
        "<html lang=en>",
        "<HTML>",
        "\u{feff}<!-- c --> <!doctype HTML>",
    ] {
        let page = ready(
            source,
            json!({"type": "hypha", "entry_point": "other.html"}),
        );
        assert_eq!(only_file(&page), ("index.html", source));
        let expected =
            json!({"type": "window", "entry_point": "index.html", "name": "Raw HTML App"});
        assert_eq!(Value::Object(page.manifest), expected);
    }
    let typed = ready("<html>", json!({"type": "custom-html", "name": "N"}));
    assert_eq!(
        (&typed.manifest["type"], &typed.manifest["name"]),
        (&json!("custom-html"), &json!("N"))
    );
    assert!(!is_raw_html("<html5-demo>") && !is_raw_html("<div>") && !is_raw_html("<htmé"));
}

#[test]
fn the_config_of_an_xml_app_wins_over_the_manifest() {
    let source = "<config lang=\"yaml\">\ntype: web-python\nname: inner\n</config><script lang=\"python\">x</script>";
    let app = ready(
        source,
        json!({"type": "hypha", "name": "outer", "version": "2"}),
    );
    assert_eq!(app.manifest["type"], "web-python");
    assert_eq!(app.manifest["name"], "inner");
    assert_eq!(app.manifest["version"], "2");
    assert_eq!(app.manifest["entry_point"], "main.py");
    assert_eq!(only_file(&app), ("main.py", "x"));
}

#[test]
fn without_a_manifest_defaults_apply() {
    let app = match resolve_source(Some("<config>{}</config><div>1</div>"), None, Vec::new()) {
        Ok(Outcome::Ready(app)) => app,
        other => panic!("{other:?}"),
    };
    assert_eq!(app.manifest["name"], "Untitled App");
    assert_eq!(app.manifest["type"], "window");
    assert_eq!(only_file(&app), ("source", "<div>1</div>"));
}

#[test]
fn an_entry_point_among_the_files_stays() {
    let source = "<file name=\"page.html\"><p></file><script>1</script>";
    let app = ready(
        source,
        json!({"type": "window", "entry_point": "page.html"}),
    );
    assert_eq!(app.manifest["entry_point"], "page.html");
    let app = ready(
        "<script>1</script>",
        json!({"type": "window", "entry_point": "page.html"}),
    );
    assert_eq!(app.manifest["entry_point"], "main.js");
}

#[test]
fn given_files_follow_and_do_not_replace_the_source() {
    let given = vec![
        AppFile {
            path: "source".to_owned(),
            content: "other".into(),
        },
        AppFile {
            path: "b.txt".to_owned(),
            content: "b".into(),
        },
    ];
    let given_manifest = manifest(json!({"type": "web-worker"}));
    let Ok(Outcome::Ready(app)) = resolve_source(Some("code"), given_manifest, given) else {
        panic!("not ready")
    };
    let paths: Vec<_> = app
        .files
        .iter()
        .map(|file| (&*file.path, &file.content[..]))
        .collect();
    assert_eq!(paths, [("source", &b"code"[..]), ("b.txt", &b"b"[..])]);
}

#[test]
fn files_alone_are_enough_except_for_the_collective_type() {
    for source in [None, Some(" \n")] {
        assert_eq!(
            resolve_source(source, None, Vec::new()),
            Err(SourceError::Missing)
        );
        let given = manifest(json!({"type": "window"}));
        assert!(matches!(
            resolve_source(source, given, Vec::new()),
            Ok(Outcome::Ready(_))
        ));
    }
}

#[test]
fn urls_must_be_secure_or_local() {
    let table = [
        ("https://example.org/a.js", true),
        ("HTTPS://example.org/a.js", true),
        ("http://localhost:9527/a.js", true),
        ("http://127.0.0.1/a.js", true),
        ("http://example.org/a.js", false),
        ("http://localhost.example.org/a.js", false),
        ("http://127.0.0.1.example.org/", false),
        ("http://", false),
    ];
    for (url, allowed) in table {
        let given = manifest(json!({"type": "web-worker"}));
        let outcome = resolve_source(Some(url), given, Vec::new());
        assert_eq!(
            matches!(outcome, Ok(Outcome::Download(_))),
            allowed,
            "{url}"
        );
    }
    assert_eq!(
        checked_url("http://example.org/a").unwrap_err().to_string(),
        "Only secured https urls are allowed: http://example.org/a"
    );
}

#[test]
fn downloads_are_resolved_like_given_text() {
    let fetch = |url: &str, text: &str, given: Value| match resolve_source(
        Some(url),
        manifest(given),
        Vec::new(),
    )
    .unwrap()
    {
        Outcome::Download(download) => download.complete(text).unwrap(),
        Outcome::Ready(_) => panic!("no download"),
    };
    let script = fetch(
        "https://h/x/app.js?v=1",
        "code",
        json!({"type": "web-worker"}),
    );
    assert_eq!(only_file(&script), ("app.js", "code"));
    let nested = fetch(
        "https://h/x/app.js",
        "https://h/other.js",
        json!({"type": "web-worker"}),
    );
    assert_eq!(only_file(&nested), ("app.js", "https://h/other.js"));
    let xml = "<config>{\"type\": \"web-worker\", \"name\": \"n\"}</config><script>1</script>";
    let template = fetch("https://h/T.imjoy.html?raw", xml, json!({"type": "hypha"}));
    assert_eq!(only_file(&template), ("main.js", "1"));
    assert_eq!(template.manifest["type"], "web-worker");
    let page = fetch("https://h/", "<html>", json!({"type": "window"}));
    assert_eq!(only_file(&page), ("index.html", "<html>"));
}

#[test]
fn a_web_app_keeps_its_url() {
    let app = ready(
        "https://example.org/app/",
        json!({"type": "web-app", "name": "W"}),
    );
    assert_eq!(app.manifest["entry_point"], "https://example.org/app/");
    assert!(app.files.is_empty());
}
