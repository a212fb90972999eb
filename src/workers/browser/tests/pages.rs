//! One page: logs, scripts, pictures, failures.

use chromiumoxide::cdp::browser_protocol::target::CloseTargetParams;
use serde_json::json;

use super::*;

#[tokio::test]
async fn what_a_page_says_is_heard() {
    let engine = browser().await;
    let body = r#"<script>
        console.log("plain", 1, {a: 1, b: "x"}, [1, 2], null, undefined);
        console.warn("careful");
        alert("anyone there?");
        const source = 'console.log("from a worker", {c: 1}); throw new Error("lost")';
        window.worker = new Worker(URL.createObjectURL(new Blob([source])));
        setTimeout(() => { throw new Error("uncaught") });
        Promise.reject(new Error("unhandled"));
    </script><img src="/missing.png?token=abc">"#;
    let site = Site::page("/", body).await;
    let (_page, mut events) = site.open(&engine, "/").await;
    let mut lines: Vec<LogLine> = Vec::new();
    let wanted = [
        "plain",
        "careful",
        "anyone there?",
        "from a worker",
        "lost",
        "Error: uncaught",
        "Error: unhandled",
        "missing.png",
    ];
    while !wanted
        .iter()
        .all(|text| lines.iter().any(|line| line.text.contains(text)))
    {
        if let Some(PageEvent::Log(line)) = soon(events.recv()).await {
            lines.push(line);
        }
    }
    let find = |text: &str| lines.iter().find(|line| line.text.contains(text)).unwrap();
    let plain = find("plain");
    assert_eq!(
        plain.text,
        r#"plain 1 {a: 1, b: "x"} [1, 2] null undefined"#
    );
    assert_eq!(
        (plain.kind, plain.level.as_str(), plain.source.as_str()),
        (LogKind::Console, "log", "page")
    );
    assert!((plain.ts - std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64()).abs() < 60.0);
    assert_eq!(find("careful").level, "warning");
    assert_eq!(find("anyone there?").source, "dialog");
    assert_eq!(find("from a worker").source, "worker");
    assert_eq!(find("lost").kind, LogKind::Error);
    assert_eq!(
        (find("Error: uncaught").kind, find("Error: unhandled").kind),
        (LogKind::Error, LogKind::Error)
    );
    assert_eq!(
        (
            find("missing.png").source.as_str(),
            find("missing.png").text.contains("token")
        ),
        ("network", false)
    );
    for text in wanted {
        assert_eq!(
            lines.iter().filter(|line| line.text.contains(text)).count(),
            1,
            "{text} is said once: {lines:#?}"
        );
    }
    soon(engine.shutdown()).await;
}

#[tokio::test]
async fn scripts_of_every_form_run() {
    let engine = browser_with(BrowserSettings {
        call_timeout: Duration::from_secs(10),
        ..Default::default()
    })
    .await;
    let site = Site::page("/", "<title>T</title><script>let count = 0</script>").await;
    let (page, _events) = site.open(&engine, "/").await;
    soon(page.ready()).await.unwrap();
    for (code, result) in [
        ("document.title", json!("T")),
        ("({a: [1, {b: null}]})", json!({"a": [1, {"b": null}]})),
        ("count += 1; count", json!(1)),
        ("Promise.resolve(5)", json!(5)),
        ("() => 7;", json!(7)),
        ("{a: 1, b: [2]}", json!({"a": 1, "b": [2]})),
        ("async () => document.title", json!("T")),
        ("function () { return this === window }", json!(true)),
        ("return 3 // three", json!(3)),
        ("const x = await Promise.resolve(4); return x * 2", json!(8)),
        ("undefined", json!(null)),
        ("NaN", json!("NaN")),
        ("123n", json!("123n")),
        ("", json!(null)),
    ] {
        assert_eq!(page.evaluate(code).await, Ok(result), "{code}");
    }
    for (code, message) in [
        ("throw new Error('boom')", "Error: boom"),
        ("JSON.parse('{')", "SyntaxError"),
        ("((", "SyntaxError"),
        ("Promise.reject('just text')", "just text"),
        ("return nothing", "ReferenceError"),
    ] {
        let Err(BrowserError::Script(text)) = page.evaluate(code).await else {
            panic!("{code} should throw")
        };
        assert!(text.contains(message), "{code}: {text}");
    }
    assert!(matches!(
        page.evaluate("window").await,
        Err(BrowserError::Refused { .. })
    ));
    let limit = Duration::from_millis(300);
    assert!(matches!(
        page.evaluate_within("for (;;) {}", limit).await,
        Err(BrowserError::Timeout { .. })
    ));
    assert_eq!(page.evaluate("1 + 1").await, Ok(json!(2)));
    soon(engine.shutdown()).await;
}

#[tokio::test]
async fn pictures() {
    let engine = browser().await;
    let site = Site::page("/", "<h1>Picture</h1>").await;
    let (page, _events) = site.open(&engine, "/").await;
    soon(page.ready()).await.unwrap();
    let png = page
        .screenshot("png".parse().unwrap(), false)
        .await
        .unwrap();
    assert!(png.starts_with(b"\x89PNG") && png.len() > 1000);
    let jpeg = page.screenshot(ImageFormat::Jpeg, true).await.unwrap();
    assert!(jpeg.starts_with(b"\xff\xd8") && jpeg.len() > 1000);
    let wrong = "gif".parse::<ImageFormat>().unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "Invalid format 'gif'. Must be 'png' or 'jpeg'"
    );
    soon(engine.shutdown()).await;
}

#[tokio::test]
async fn closing_is_final_and_may_be_repeated() {
    let engine = browser().await;
    let site = Site::page(
        "/",
        "<script>onbeforeunload = () => 'stay'; console.log('up')</script>",
    )
    .await;
    let (page, mut events) = site.open(&engine, "/").await;
    soon(page.ready()).await.unwrap();
    let waiting = tokio::spawn({
        let page = page.clone();
        async move { page.evaluate("new Promise(() => {})").await }
    });
    page.evaluate("1").await.unwrap();
    soon(futures::future::join(page.close(), page.close())).await;
    assert_eq!(
        soon(waiting).await.unwrap(),
        Err(BrowserError::Gone("it was closed".into()))
    );
    assert!(matches!(
        page.screenshot(ImageFormat::Png, false).await,
        Err(BrowserError::Gone(_))
    ));
    while soon(events.recv()).await.is_some() {}
    assert_eq!(engine.page_count(), 0);
    // A page that goes by itself, and one that is merely dropped.
    let plain = Site::page("/", "").await;
    let (page, mut events) = plain.open(&engine, "/").await;
    soon(page.ready()).await.unwrap();
    engine
        .command(
            "close a page",
            CloseTargetParams::new(page.target_id().to_owned()),
        )
        .await
        .unwrap();
    while soon(events.recv())
        .await
        .is_some_and(|event| event != PageEvent::Closed)
    {}
    let (page, mut events) = site.open(&engine, "/").await;
    drop(page);
    while soon(events.recv())
        .await
        .is_some_and(|event| event != PageEvent::Closed)
    {}
    soon(engine.shutdown()).await;
}

#[tokio::test]
async fn config_reaches_its_own_origin_only() {
    let engine = browser().await;
    let body = "<script>const seen = JSON.stringify([window.__rhizome, Object.keys(window).includes('__rhizome')]); console.log(seen)</script>";
    let other = Site::page("/frame", body).await;
    let body = format!(
        "{body}<iframe src='{}/frame'></iframe><iframe src='/inner'></iframe>",
        other.address
    );
    let site = Site::serve(
        &[
            ("/", body),
            (
                "/inner",
                "<script>console.log('inner', window.__rhizome)</script>".into(),
            ),
        ],
        None,
    )
    .await;
    let page = engine
        .open(site.request("/", json!({"token": "a-long-secret", "n": "<'\">"})))
        .await
        .unwrap();
    let mut events = page.events().unwrap();
    let (lines, _) = outcome(&mut events).await;
    let said: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(
        said.iter().filter(|text| text.contains("***")).count(),
        1,
        "{said:?}"
    );
    assert!(
        said.contains(&r#"[{"token":"***","n":"<'\">"},false]"#),
        "{said:?}"
    );
    assert!(
        said.contains(&"[null,false]") && said.contains(&"inner undefined"),
        "{said:?}"
    );
    soon(engine.shutdown()).await;
}

#[tokio::test]
async fn pages_that_do_not_come_up_say_why() {
    let engine = browser().await;
    let site = Site::page("/slow", "<img src='/hang'>").await;
    let (page, mut events) = site.open(&engine, "/missing?token=abc").await;
    let text = format!(
        "Failed to start browser app instance, status: 404, url: {}/missing",
        site.address
    );
    assert_eq!(
        soon(page.ready()).await,
        Err(BrowserError::Failed(text.clone()))
    );
    assert_eq!(outcome(&mut events).await.1, Some(PageEvent::Failed(text)));
    let nowhere = Site {
        address: "http://127.0.0.1:1".into(),
    };
    let (page, _events) = nowhere.open(&engine, "/").await;
    let Err(BrowserError::Failed(text)) = soon(page.ready()).await else {
        panic!("nobody listens there")
    };
    assert!(
        text.starts_with("Failed to load URL: http://127.0.0.1:1/: "),
        "{text}"
    );
    let request = PageRequest {
        timeout: Duration::from_secs(2),
        ..site.request("/slow", Value::Null)
    };
    let page = engine.open(request).await.unwrap();
    let Err(BrowserError::Failed(text)) = soon(page.ready()).await else {
        panic!("it cannot have loaded")
    };
    assert!(
        text.starts_with("the page did not load within 2 s"),
        "{text}"
    );
    // No origin, no server: still a page.
    let request = PageRequest {
        url: "data:text/html,<title>D</title>".into(),
        ..site.request("", json!({"a": 1}))
    };
    let page = engine.open(request).await.unwrap();
    soon(page.ready()).await.unwrap();
    assert_eq!(
        page.evaluate("document.title + typeof window.__rhizome")
            .await,
        Ok(json!("Dundefined"))
    );
    soon(engine.shutdown()).await;
}
