//! Compiled apps, with a stand-in for the RPC client that keeps what is registered within the page.

use bytes::Bytes;
use serde_json::{Map, json};

use super::*;

/// Has the surface of the real client that the templates use.
const STAND_IN: &str = r#"
export async function connectToServer(config) {
  if (config.workspace === "forbidden") throw new Error("no entry");
  const services = (globalThis.services = {});
  return {
    config,
    async registerService(service, options) {
      if (service.id === "broken") throw new Error("refused");
      services[service.id] = service;
      return { id: service.id, options };
    },
    async export(service) { service.id = "default"; services.default = service; },
    async getServiceInfo() { return 42; },
  };
}
export async function loadRequirements(list) { globalThis.requirements = list; }
"#;

/// The seed's dashboard and its neighbours in one app.
const WINDOW: &str = r#"
class Base { inherited() { return this.n } }
class Dashboard extends Base {
    constructor() { super(); this.n = 1; this.self = this; this.node = document.body; this.list = [1, 2];
        document.body.innerHTML = "<button id='updateBtn'>Update</button>"; }
    updateData() { this.n += 1; return this.n }
    _hidden() {}
}
const stream = (function* () { yield 1 })();
await api.export({
    dashboard: new Dashboard(), stream,
    async fibonacci(n) { return n <= 1 ? n : await this.fibonacci(n - 1) + await this.fibonacci(n - 2) },
    data: new Uint8Array(2), text: "{{ 7 * 7 }} `${x}` </script> \\ <!--", when: new Date(0), table: new Map([[1, 2]]),
});
window.facts = {
    snake: await api.get_service_info(), missing: typeof api.no_such_thing, promise: typeof api.then, own: typeof api.toString,
    env: [env.get("HYPHA_APP_ID"), env.HYPHA_TOKEN, window.env.get("COLOUR")], hidden: typeof window.__rhizome,
};
return "ignored";
"#;

fn compile(app_type: &str, manifest: Value, code: &str) -> String {
    let mut manifest: Map<String, Value> = manifest.as_object().unwrap().clone();
    manifest.insert("name".into(), "Test App".into());
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

/// The build of the client that is no module.
fn classic(module: &str) -> String {
    let names = "connectToServer, loadRequirements";
    let code = module.replace("export ", "");
    format!("globalThis.hyphaWebsocketClient = (() => {{{code}\nreturn {{ {names} }}; }})();")
}

async fn open(engine: &Engine, html: String, init: Value) -> (Page, PageEvents) {
    let site = Site::serve(
        &[
            ("/app", html),
            ("/assets/hypha-rpc-websocket.min.mjs", STAND_IN.into()),
            ("/assets/hypha-rpc-websocket.min.js", classic(STAND_IN)),
        ],
        None,
    )
    .await;
    let page = engine
        .open(site.request("/app?app_id=from-query&workspace=w", init))
        .await
        .unwrap();
    let events = page.events().unwrap();
    (page, events)
}

#[tokio::test]
async fn a_window_app_has_the_friendly_api() {
    let engine = browser().await;
    let html = compile(
        "window",
        json!({"env": {"COLOUR": "blue"}, "requirements": ["a.js"]}),
        WINDOW,
    );
    let (page, mut events) = open(
        &engine,
        html,
        json!({"token": "t0ken-t0ken", "client_id": "c"}),
    )
    .await;
    let (lines, event) = outcome(&mut events).await;
    assert_eq!(
        event,
        Some(PageEvent::Ready { signalled: true }),
        "{lines:?}"
    );
    for (code, result) in [
        ("services.default.fibonacci(10)", json!(55)),
        (
            "services.default.dashboard.updateData() + services.default.dashboard.updateData()",
            json!(5),
        ),
        ("services.default.dashboard.inherited()", json!(3)),
        (
            "Object.keys(services.default.dashboard).sort()",
            json!(["inherited", "list", "n", "updateData"]),
        ),
        (
            "services.default.dashboard.constructor === Object && services.default.fibonacci.name",
            json!("fibonacci"),
        ),
        (
            "services.default.text",
            json!("{{ 7 * 7 }} `${x}` </script> \\ <!--"),
        ),
        (
            "[services.default.data.byteLength, services.default.when.getTime(), services.default.table.get(1)]",
            json!([2, 0, 2]),
        ),
        ("services.default.stream.next().value", json!(1)),
        ("facts.snake", json!(42)),
        (
            "[facts.missing, facts.promise, facts.own, facts.hidden]",
            json!(["undefined", "undefined", "function", "undefined"]),
        ),
        ("facts.env", json!(["from-query", "t0ken-t0ken", "blue"])),
        (
            "[api.config.app_id, api.config.client_id, api.config.name, api.config.server_url === location.origin]",
            json!(["from-query", "c", "Test App", true]),
        ),
        ("requirements", json!(["a.js"])),
        ("!!document.getElementById('updateBtn')", json!(true)),
    ] {
        let found = page
            .evaluate(code)
            .await
            .unwrap_or_else(|error| json!(error.to_string()));
        let scrubbed = json!(["from-query", "***", "blue"]);
        assert!(found == result || found == scrubbed, "{code}: {found}");
    }
    soon(engine.shutdown()).await;
}

#[tokio::test]
async fn a_worker_app_speaks_through_its_page() {
    let engine = browser().await;
    let code = r#"
        console.log("hello", {a: [1, {b: 2}]}, new Map([[1, 2]]), new Error("shown").message);
        console.warn("careful");
        api.register_service({id: "s", users: {list: async () => [1]}}).then((info) => console.log("registered", info.id));
        api.export({async add(a, b) { return a + b }, async twice(x) { return this.add(x, x) }});
        await new Promise((resolve) => setTimeout(resolve, 10));
        console.log("sum", await services.default.twice(4), typeof document, env.get("HYPHA_CLIENT_ID"));
        setTimeout(() => { throw new Error("later") }, 50);
    "#;
    let (_page, mut events) = open(
        &engine,
        compile("web-worker", json!({}), code),
        json!({"client_id": "c"}),
    )
    .await;
    let (lines, event) = outcome(&mut events).await;
    assert_eq!(
        event,
        Some(PageEvent::Ready { signalled: true }),
        "{lines:?}"
    );
    let said: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line.source.as_str(),
                line.level.as_str(),
                line.text.as_str(),
            )
        })
        .collect();
    assert_eq!(
        said[0],
        (
            "worker",
            "log",
            r#"hello {a: [1, {b: 2}]} Map {1: 2} shown"#
        ),
        "{said:?}"
    );
    assert!(
        said.contains(&("worker", "warning", "careful"))
            && said.contains(&("worker", "log", "registered s")),
        "{said:?}"
    );
    assert!(
        said.contains(&("worker", "log", "sum 8 undefined c")),
        "{said:?}"
    );
    assert_eq!(said.len(), 4, "nothing is said twice: {said:?}");
    let later = line_with(&mut events, "Error: later").await;
    assert_eq!(
        (later.kind, later.source.as_str()),
        (LogKind::Error, "worker")
    );
    soon(engine.shutdown()).await;
}

#[tokio::test]
async fn failures_before_the_export_are_told() {
    let engine = browser().await;
    let forbidden = json!({"workspace": "forbidden"});
    for app_type in ["web-worker", "window"] {
        for (code, init, text) in [
            (
                "\nthrow new TypeError('in the code')",
                json!({}),
                "TypeError: in the code",
            ),
            ("if (", json!({}), "SyntaxError"),
            (
                "api.register_service({id: 'broken'})",
                json!({}),
                "Error: refused",
            ),
            (
                "await missing.function()",
                json!({}),
                "ReferenceError: missing is not defined",
            ),
            ("1", forbidden.clone(), "Error: no entry"),
        ] {
            let (page, mut events) = open(&engine, compile(app_type, json!({}), code), init).await;
            let (lines, event) = outcome(&mut events).await;
            let Some(PageEvent::Failed(message)) = &event else {
                panic!("{app_type}: {code}: {event:?}")
            };
            assert!(message.starts_with(text), "{app_type}: {code}: {message}");
            assert!(
                lines.iter().any(|line| line.kind == LogKind::Error),
                "{app_type}: {code}: {lines:?}"
            );
            if code.starts_with('\n') {
                assert!(
                    message.contains("main.js:2:"),
                    "the line is right: {message}"
                );
            }
            assert!(page.ready().await.is_err());
            page.close().await;
        }
    }
    soon(engine.shutdown()).await;
}

#[tokio::test]
async fn handled_failures_and_modules_are_fine() {
    let engine = browser().await;
    for app_type in ["web-worker", "window"] {
        for code in [
            "try { await api.registerService({id: 'broken'}) } catch (error) { console.log('fine', error.message) }",
            "import { x } from 'data:text/javascript,export const x = 1';\nexport const y = x;\nconsole.log('fine', x, typeof api.export);",
        ] {
            let (page, mut events) =
                open(&engine, compile(app_type, json!({}), code), Value::Null).await;
            let (lines, event) = outcome(&mut events).await;
            assert_eq!(
                event,
                Some(PageEvent::Ready { signalled: true }),
                "{app_type}: {lines:?}"
            );
            assert!(
                lines.iter().any(|line| line.text.starts_with("fine")),
                "{lines:?}"
            );
            page.close().await;
        }
    }
    soon(engine.shutdown()).await;
}
