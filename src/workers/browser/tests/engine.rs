//! The browser as a whole: start, end, death.

use super::*;

fn running(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[tokio::test]
async fn shutdown_leaves_nothing_behind() {
    let profile_dir = std::env::temp_dir().join(format!("rhizome-test-{}", uuid::Uuid::new_v4()));
    let settings = BrowserSettings {
        profile_dir: profile_dir.clone(),
        ..Default::default()
    };
    let Ok(engine) = Engine::launch(settings).await else {
        return;
    };
    let site = Site::page("/", "<p>hello").await;
    let (page, mut events) = site.open(&engine, "/").await;
    soon(page.ready()).await.unwrap();
    let processes = engine.processes().await.unwrap();
    assert!(
        processes.iter().any(|process| process.kind == "renderer"),
        "{processes:?}"
    );
    assert_eq!(engine.page_count(), 1);
    soon(engine.shutdown()).await;
    assert!(!engine.ended().await.is_empty());
    assert!(processes.iter().all(|process| !running(process.pid as i32)));
    assert_eq!(std::fs::read_dir(&profile_dir).unwrap().count(), 0);
    assert_eq!(
        outcome(&mut events).await.1,
        Some(PageEvent::Ready { signalled: false })
    );
    assert_eq!(outcome(&mut events).await.1, Some(PageEvent::Closed));
    let refused = engine.open(site.request("/", Value::Null)).await;
    assert!(
        matches!(refused, Err(BrowserError::Ended(_))),
        "{refused:?}"
    );
    std::fs::remove_dir_all(profile_dir).unwrap();
}

#[tokio::test]
async fn a_killed_browser_is_noticed_and_fails_what_waits() {
    let engine = browser().await;
    let site = Site::page("/", "<p>hello").await;
    let (page, mut events) = site.open(&engine, "/").await;
    soon(page.ready()).await.unwrap();
    assert_eq!(
        outcome(&mut events).await.1,
        Some(PageEvent::Ready { signalled: false })
    );
    let waiting = tokio::spawn({
        let page = page.clone();
        async move { page.evaluate("new Promise(() => {})").await }
    });
    // The second script only gets its answer when the first has been taken up.
    page.evaluate("1").await.unwrap();
    let killed = std::time::Instant::now();
    // SAFETY: a plain system call on a process that this test started.
    unsafe { libc::kill(engine.pid(), libc::SIGKILL) };
    let reason = soon(engine.ended()).await;
    assert!(reason.contains("signal: 9"), "{reason}");
    assert!(matches!(
        soon(waiting).await.unwrap(),
        Err(BrowserError::Gone(_))
    ));
    assert!(matches!(
        soon(events.recv()).await,
        Some(PageEvent::Crashed(_))
    ));
    assert!(matches!(
        page.evaluate("1").await,
        Err(BrowserError::Gone(_))
    ));
    assert!(
        killed.elapsed() < Duration::from_secs(3),
        "{:?}",
        killed.elapsed()
    );
    soon(engine.shutdown()).await;
}

#[tokio::test]
async fn a_killed_renderer_is_a_crash_of_its_page() {
    let engine = browser().await;
    let site = Site::page("/", "<p>hello").await;
    let (page, mut events) = site.open(&engine, "/").await;
    soon(page.ready()).await.unwrap();
    assert_eq!(
        outcome(&mut events).await.1,
        Some(PageEvent::Ready { signalled: false })
    );
    let waiting = tokio::spawn({
        let page = page.clone();
        async move { page.evaluate("new Promise(() => {})").await }
    });
    page.evaluate("1").await.unwrap();
    let killed = std::time::Instant::now();
    for process in engine
        .processes()
        .await
        .unwrap()
        .iter()
        .filter(|process| process.kind == "renderer")
    {
        // SAFETY: a plain system call on a child of the browser that this test started.
        unsafe { libc::kill(process.pid as i32, libc::SIGKILL) };
    }
    let (_, event) = outcome(&mut events).await;
    let noticed = killed.elapsed();
    assert!(
        matches!(&event, Some(PageEvent::Crashed(reason)) if reason.contains("crashed")),
        "{event:?}"
    );
    assert!(noticed < Duration::from_secs(2), "{noticed:?}");
    eprintln!("crash noticed after {noticed:?}");
    assert!(matches!(
        soon(waiting).await.unwrap(),
        Err(BrowserError::Gone(_))
    ));
    assert_eq!(soon(events.recv()).await, None);
    page.close().await;
    // The browser goes on.
    let (next, _events) = site.open(&engine, "/").await;
    soon(next.ready()).await.unwrap();
    soon(engine.shutdown()).await;
}

#[tokio::test]
async fn five_pages_at_once_stay_apart() {
    let engine = browser_with(BrowserSettings {
        max_sessions: 5,
        ..Default::default()
    })
    .await;
    let site = Site::page(
        "/",
        "<script>localStorage.n = Number(localStorage.n ?? 0) + 1</script>",
    )
    .await;
    let started = std::time::Instant::now();
    let pages =
        futures::future::join_all((0..5).map(|_| async { site.open(&engine, "/").await.0 })).await;
    let ready = futures::future::join_all(pages.iter().map(Page::ready)).await;
    eprintln!("five pages ready after {:?}", started.elapsed());
    assert!(ready.iter().all(Result::is_ok), "{ready:?}");
    for page in &pages {
        assert_eq!(page.evaluate("localStorage.n").await.unwrap(), "1");
    }
    let sixth = engine.open(site.request("/", Value::Null)).await;
    assert!(matches!(sixth, Err(BrowserError::Full(5))), "{sixth:?}");
    pages[0].close().await;
    let page = engine.open(site.request("/", Value::Null)).await.unwrap();
    soon(page.ready()).await.unwrap();
    soon(engine.shutdown()).await;
}

#[tokio::test]
async fn a_program_that_is_no_browser_is_refused() {
    let settings = |program: &str| BrowserSettings {
        executable: Some(program.into()),
        ..Default::default()
    };
    let Err(error) = Engine::launch(settings("/bin/false")).await else {
        panic!("it cannot have started")
    };
    assert!(error.to_string().contains("exit status: 1"), "{error}");
    let Err(error) = Engine::launch(settings("/nowhere/chromium")).await else {
        panic!("it cannot have started")
    };
    assert!(matches!(error, BrowserError::Launch(_)), "{error}");
}
