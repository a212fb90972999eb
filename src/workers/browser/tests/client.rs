//! Compiled apps with the real RPC client. `RHIZOME_ASSETS` names the directory with the npm package's
//! `hypha-rpc-websocket.mjs`, `RHIZOME_SERVER_URL` a running server that lets anonymous users in.

use bytes::Bytes;
use serde_json::{Map, json};

use super::*;

const CALCULATOR: &str = r#"
api.export({
    async setup() { console.log("App initialized"); },
    async add(a, b) { return a + b; },
    async fibonacci(n) { if (n <= 1) return n; return await this.fibonacci(n - 1) + await this.fibonacci(n - 2); },
});
api.register_service({id: "user-api", type: "functions", users: {list: async (event) => ({users: ["alice", "bob"]})}});
"#;

const DASHBOARD: &str = r#"
class Dashboard {
    constructor() { this.count = 0; document.body.innerHTML = `<div id="display"></div>`; }
    updateData() { this.count += 1; document.getElementById("display").innerHTML = `Data: ${this.count}`; return this.count; }
}
api.export({ dashboard: new Dashboard() });
"#;

/// A user in a page of their own, who has logged in anonymously.
const USER: &str = r#"
    const { connectToServer } = await import("/assets/hypha-rpc-websocket.mjs");
    window.user = await connectToServer({ server_url: SERVER });
    return { workspace: user.config.workspace, token: await user.generateToken() };
"#;

fn compile(app_type: &str, code: &str) -> String {
    let manifest: Map<String, Value> = json!({"name": "Calculator", "type": app_type})
        .as_object()
        .unwrap()
        .clone();
    let file = AppFile {
        path: "source".into(),
        content: Bytes::from(code.to_owned()),
    };
    let (_, files) = Compiler::new(None)
        .unwrap()
        .compile(app_type, &manifest, vec![file])
        .unwrap();
    String::from_utf8(files[1].content.to_vec()).unwrap()
}

async fn site() -> Option<Site> {
    let Some(assets) = std::env::var_os("RHIZOME_ASSETS") else {
        eprintln!("skipped: RHIZOME_ASSETS does not name a directory with hypha-rpc-websocket.mjs");
        return None;
    };
    let pages = [
        ("/user", String::new()),
        ("/web-worker", compile("web-worker", CALCULATOR)),
        ("/window", compile("window", DASHBOARD)),
    ];
    Some(Site::serve(&pages, Some(assets.into())).await)
}

#[tokio::test]
async fn the_client_loads_and_its_failure_is_told() {
    let (Some(site), Some(engine)) = (site().await, browser().await) else {
        return;
    };
    for path in ["/web-worker", "/window"] {
        let init = json!({"server_url": "http://127.0.0.1:1", "client_id": "c", "workspace": "w", "token": "long-long-token"});
        let page = engine.open(site.request(path, init)).await.unwrap();
        let Err(BrowserError::Failed(text)) = soon(page.ready()).await else {
            panic!("nobody listens there")
        };
        assert!(
            text.contains("127.0.0.1:1") || text.to_lowercase().contains("connect"),
            "{text}"
        );
    }
    soon(engine.shutdown()).await;
}

#[tokio::test]
async fn apps_are_called_through_a_server() {
    let (Some(site), Some(engine)) = (site().await, browser().await) else {
        return;
    };
    let Ok(server) = std::env::var("RHIZOME_SERVER_URL") else {
        return eprintln!("skipped: RHIZOME_SERVER_URL does not name a running server");
    };
    let (user, _events) = site.open(&engine, "/user").await;
    soon(user.ready()).await.unwrap();
    let login = user
        .evaluate(&USER.replace("SERVER", &json!(server).to_string()))
        .await
        .unwrap();
    let start = async |path: &str| {
        let client = format!("_rapp_{}__rlb", path.trim_matches('/'));
        let init = json!({"server_url": server, "client_id": client, "workspace": login["workspace"], "token": login["token"], "app_id": "calc"});
        let started = std::time::Instant::now();
        let page = engine.open(site.request(path, init)).await.unwrap();
        let opened = started.elapsed();
        let ready = soon(page.ready()).await;
        let mut events = page.events().unwrap();
        let (lines, event) = outcome(&mut events).await;
        assert!(ready.is_ok(), "{lines:?} {event:?}");
        eprintln!(
            "{path}: navigation after {opened:?}, ready after {:?}",
            started.elapsed()
        );
        (
            page,
            format!(
                "{}/{client}",
                login["workspace"].as_str().unwrap_or_default()
            ),
        )
    };
    let (_worker, client) = start("/web-worker").await;
    for (code, result) in [
        (
            "(await user.getService('CLIENT:default')).add(5, 3)",
            json!(8),
        ),
        (
            "(await user.getService('CLIENT:default')).fibonacci(7)",
            json!(13),
        ),
        (
            "(await user.getService('CLIENT:user-api')).users.list({})",
            json!({"users": ["alice", "bob"]}),
        ),
        (
            "(await user.getService('CLIENT:default')).name",
            json!("Calculator"),
        ),
    ] {
        assert_eq!(
            user.evaluate(&format!("return await {}", code.replace("CLIENT", &client)))
                .await,
            Ok(result),
            "{code}"
        );
    }
    let (window, client) = start("/window").await;
    let update = format!(
        "const {{dashboard}} = await user.getService('{client}:default'); await dashboard.updateData(); return await dashboard.updateData()"
    );
    assert_eq!(user.evaluate(&update).await, Ok(json!(2)));
    assert_eq!(
        window
            .evaluate("document.getElementById('display').textContent")
            .await,
        Ok(json!("Data: 2"))
    );
    soon(engine.shutdown()).await;
}
