//! Compiled apps with the real RPC client, which `scripts/fetch-runtimes` puts into `runtimes`.
//! That they answer calls through a server is tested from outside, in `tests/python`.

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

async fn site() -> Site {
    let assets = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("runtimes/hypha-rpc");
    assert!(
        assets.is_dir(),
        "run scripts/fetch-runtimes first: {} is missing",
        assets.display()
    );
    let pages = [
        ("/user", String::new()),
        ("/web-worker", compile("web-worker", CALCULATOR)),
        ("/window", compile("window", DASHBOARD)),
    ];
    Site::serve(&pages, Some(assets)).await
}

#[tokio::test]
async fn the_client_loads_and_its_failure_is_told() {
    let (site, engine) = (site().await, browser().await);
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
