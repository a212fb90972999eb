"""Every type of app that Chromium runs: what a user sees of it through a client, and in its page."""

import base64
import json
import zlib

import httpx
import pytest

from harness import bearer, failure_text
from sites import Site

TYPES = ["web-worker", "window", "iframe"]

NASTY = r"""
// </script> <!-- {{ undefined_name }} {% if %} ${nope} \ 日本語 🧬
const text = "{{ 1 + 1 }} </script> \n \u0041 \\ `tick` ${x} &amp; <b> é ☃ 🧬 \u2028";
const template = `line
${1 + 1} \` </SCRIPT>`;
const pattern = /[`$\\]<\/script>/.source;
await Promise.resolve();
api.export({text: () => text, template: () => template, pattern: () => pattern});
"""

CLASSES = """
class Counter {
    #hidden = 1;
    constructor() { this.n = 0; this.label = "counter"; this.me = this; }
    up(by = 1) { this.n += by; return this.n; }
    secret() { return this.#hidden; }
    get size() { return this.n; }
    async later() { return await this.up(10); }
}
class Twice extends Counter { twice() { return this.up(2); } up(by = 1) { return super.up(by); } }
const helpers = { base: 5, sum(a, b) { return this.base + a + b; }, deep: { n: 1, next() { return ++this.n; } } };
"""


@pytest.fixture
async def controller(controller):
    """Leaves no pages open: a server has room for some twenty."""
    yield controller
    for session in await controller.list_running():
        await controller.stop(session["id"])


def manifest(app_type, **more):
    return {"name": "Typed", "type": app_type, "version": "1.0.0", **more}


async def install(controller, app_type, source, options=None, **more):
    return await controller.install(source=source, manifest=manifest(app_type, **more), **(options or {}))


async def page_of(controller, api, app):
    """A running session of the app, and how to run scripts in its page."""
    session = await controller.start(app.id)
    worker = await api.get_service(session.worker_id)

    async def run(script):
        return await worker.execute(session.id, script)

    return session, run


# --- code is data --------------------------------------------------------------------------

@pytest.mark.ours
@pytest.mark.parametrize("app_type", TYPES)
async def test_source_that_templates_stumble_over(controller, api, app_type):
    app = await install(controller, app_type, NASTY)
    service = await api.get_service(f"default@{app.id}")
    assert await service.text() == "{{ 1 + 1 }} </script> \n A \\ `tick` ${x} &amp; <b> é ☃ 🧬 \u2028"
    assert await service.template() == "line\n2 ` </SCRIPT>"
    assert await service.pattern() == r"[`$\\]<\/script>"


@pytest.mark.ours
async def test_markup_that_templates_stumble_over(controller, api):
    """The body of a window app is the author's, braces and all; its script is data."""
    source = """<config lang="json">{"name": "Marked {{ up }}", "type": "window", "version": "1"}</config>
<window lang="html"><p id="text">{{ not }} a {% template %} &amp; ünï 🧬</p></window>
<style lang="css">p { color: rgb(1, 2, 3); }</style>
<script lang="javascript">
const html = `<i>\\`</i> ${1 + 1} <\\/script>`;
api.export({ text: () => document.getElementById("text").textContent, html: () => html,
             color: () => getComputedStyle(document.getElementById("text")).color });
</script>"""
    app = await controller.install(source=source)
    service = await api.get_service(f"default@{app.id}")
    assert await service.text() == "{{ not }} a {% template %} & ünï 🧬"
    assert await service.html() == "<i>`</i> 2 </script>"
    assert await service.color() == "rgb(1, 2, 3)"


# --- the api object ------------------------------------------------------------------------

@pytest.mark.ours
@pytest.mark.parametrize("app_type", TYPES)
async def test_objects_keep_their_this(controller, api, app_type):
    app = await install(controller, app_type, CLASSES + "api.export({ counter: new Twice(), ...helpers, helpers });")
    service = await api.get_service(f"default@{app.id}")
    counter = service.counter
    assert await counter.up() == 1 and await counter.twice() == 3 and await counter.later() == 13
    assert await counter.secret() == 1 and counter.label == "counter"
    assert await service.helpers.sum(1, 2) == 8 and await service.helpers.deep.next() == 2
    assert await service.helpers.deep.next() == 3
    assert "constructor" not in counter and "me" not in counter


@pytest.mark.ours
@pytest.mark.parametrize("app_type", TYPES)
async def test_an_instance_as_the_whole_service(controller, api, app_type):
    app = await install(controller, app_type, CLASSES + "api.export(new Twice());")
    service = await api.get_service(f"default@{app.id}")
    assert await service.twice() == 2 and await service.twice() == 4


@pytest.mark.ours
@pytest.mark.parametrize("app_type", TYPES)
async def test_names_in_both_cases(controller, api, alice, app_type):
    app = await install(controller, app_type, """
        const seen = {
            same: api.register_service !== undefined && typeof api.registerService === "function",
            missing: api.no_such_thing === undefined && !("no_such_thing" in api),
            listed: (await api.list_services({ workspace: api.config.workspace })).length
                === (await api.listServices({ workspace: api.config.workspace })).length,
            env: [env.get("HYPHA_WORKSPACE"), env.HYPHA_APP_ID, env.get("HYPHA_CLIENT_ID"), !!env.get("HYPHA_TOKEN"),
                  env.get("HYPHA_SERVER_URL")],
        };
        await api.register_service({ id: "snake", name: "snake", hello: () => "from snake" });
        await api.registerService({ id: "camel", name: "camel", hello: async () => (await api.get_service("snake")).hello() });
        await api.export({ seen: () => seen });
    """)
    session = await controller.start(app.id)
    seen = await (await api.get_service(f"default@{app.id}")).seen()
    assert seen["same"] and seen["missing"] and seen["listed"]
    workspace, app_id, client, token, url = seen["env"]
    assert (workspace, app_id, token) == (alice.workspace, app.id, True)
    assert session.id == f"{workspace}/{client}" and url.startswith("http")
    assert await (await api.get_service(f"camel@{app.id}")).hello() == "from snake"


@pytest.mark.ours
@pytest.mark.parametrize("app_type", TYPES)
async def test_requirements_of_another_world(controller, api, app_type):
    """The seed's own template configuration names Python packages for a web worker: they are no addresses to load."""
    app = await install(controller, app_type, "api.export({ add: (a, b) => a + b })",
                        description="A sample web worker application", requirements=["numpy", "pandas"],
                        entry_point="index.html",
                        startup_config={"timeout": 30, "wait_for_service": "default", "stop_after_inactive": 300})
    assert await (await api.get_service(f"default@{app.id}")).add(1, 2) == 3


@pytest.mark.ours
async def test_requirements_are_loaded_first(controller, api):
    async with Site({"/lib.js": ("text/javascript", "globalThis.lib = { answer: 42 };"),
                     "/look.css": ("text/css", "body { color: rgb(4, 5, 6) }")}) as site:
        worker = await install(controller, "web-worker", "const answer = lib.answer; api.export({ get: () => answer })",
                               requirements=[f"{site.url}/lib.js"])
        assert await (await api.get_service(f"default@{worker.id}")).get() == 42
        window = await install(controller, "window", """
            const answer = lib.answer;
            api.export({ get: () => answer, color: () => getComputedStyle(document.body).color })
        """, requirements=[f"{site.url}/lib.js", f"{site.url}/look.css"])
        service = await api.get_service(f"default@{window.id}")
        assert await service.get() == 42 and await service.color() == "rgb(4, 5, 6)"


# --- windows and frames --------------------------------------------------------------------

@pytest.mark.ours
async def test_the_dashboard_of_the_guide(controller, api):
    # ------------------------------------------------------------------------------- the guide
    window_app_source = '''
<config lang="yaml">
name: Interactive Dashboard
type: window
version: 1.0.0
</config>

<script lang="javascript">
class Dashboard {
    constructor() {
        this.setupUI();
    }
    
    setupUI() {
        document.body.innerHTML = `
            <h1>Interactive Dashboard</h1>
            <button id="updateBtn">Update Data</button>
            <div id="dataDisplay"></div>
        `;
        
        document.getElementById('updateBtn').onclick = () => {
            this.updateData();
        };
    }
    
    updateData() {
        const data = Math.random() * 100;
        document.getElementById('dataDisplay').innerHTML = `Data: ${data.toFixed(2)}`;
    }
}

api.export({
    dashboard: new Dashboard()
});
</script>
'''

    app_info = await controller.install(
        source=window_app_source,
        app_id="interactive-dashboard",  # Custom app ID
        manifest={
            "name": "Interactive Dashboard",
            "type": "window", 
            "version": "1.0.0"
        },
        overwrite=True
    )
    # ------------------------------------------------------------------------- end of the guide
    _, run = await page_of(controller, api, app_info)
    assert await run("document.querySelector('h1').textContent") == "Interactive Dashboard"
    await (await api.get_service(f"default@{app_info.id}")).dashboard.updateData()
    first = await run("document.getElementById('dataDisplay').textContent")
    await run("document.getElementById('updateBtn').click()")
    second = await run("document.getElementById('dataDisplay').textContent")
    assert first.startswith("Data: ") and second.startswith("Data: ") and first != second


@pytest.mark.parametrize("app_type", ["window", "iframe"])
async def test_a_page_with_a_service(controller, api, app_type):
    """A document to draw on, and `api.log` at top level."""
    app = await install(controller, app_type, """
        api.log("drawing");
        document.body.append(Object.assign(document.createElement("h1"), { textContent: "Title" }));
        api.export({ title: () => document.querySelector("h1").textContent, kind: () => typeof document });
    """)
    session = await controller.start(app.id)
    service = await api.get_app(session.id)
    assert await service.title() == "Title" and await service.kind() == "object"


# --- pages of the author's own -------------------------------------------------------------

CUSTOM = '''
<!DOCTYPE html>
<html>
<head>
    <title>Custom Application</title>
    <style>
        body { font-family: Arial, sans-serif; margin: 20px; }
        .container { max-width: 800px; margin: 0 auto; }
        button { padding: 10px 20px; margin: 5px; }
    </style>
</head>
<body>
    <div class="container">
        <h1>Custom Application</h1>
        <button onclick="performAction()">Click Me</button>
        <div id="result"></div>
    </div>
    
    <script>
        function performAction() {
            document.getElementById('result').innerHTML = 
                `Action performed at ${new Date().toLocaleTimeString()}`;
        }
    </script>
</body>
</html>
'''


@pytest.mark.ours
@pytest.mark.parametrize("app_type", ["window", "iframe", "custom-html", "web-worker"])
async def test_a_whole_document_is_left_alone(controller, api, alice, server, app_type):
    """The guide's custom dashboard: it registers nothing and nobody said that it would not."""
    app_info = await controller.install(
        source=CUSTOM,
        app_id="custom-html-dashboard",  # Custom app ID
        manifest={
            "name": "Custom HTML App",
            "type": app_type,
            "version": "1.0.0",
            "entry_point": "index.html",
            "description": "A custom HTML application with full control"
        },
        overwrite=True
    )
    session, run = await page_of(controller, api, app_info)
    assert [s["id"] for s in await controller.list_running()] == [session.id]
    assert await run("document.title") == "Custom Application"
    await run("document.querySelector('button').click()")
    assert (await run("document.getElementById('result').textContent")).startswith("Action performed at")
    url = f"{server.url}/{alice.workspace}/artifacts/{app_info.id}/files/index.html"
    async with httpx.AsyncClient(headers=bearer(alice.token())) as http:
        answer = await http.get(url, follow_redirects=True)
    assert answer.text.strip() == CUSTOM.strip()
    assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.ours
async def test_the_generic_app_of_the_guide(controller, api):
    # ------------------------------------------------------------------------------- the guide
    # Custom HTML app with manifest
    app_info = await controller.install(
        source='''
    <!DOCTYPE html>
    <html>
    <head><title>Custom App</title></head>
    <body>
        <h1>Custom Application</h1>
        <script>
            // Custom application logic
        </script>
    </body>
    </html>
    ''',
        manifest={
            "name": "Custom App",
            "type": "custom-html",  # Custom type
            "version": "1.0.0",
            "entry_point": "index.html"
        }
    )
    # ------------------------------------------------------------------------- end of the guide
    session, run = await page_of(controller, api, app_info)
    assert await run("document.querySelector('h1').textContent") == "Custom Application"
    assert (await controller.get_session_info(session.id))["status"] == "running"
    await controller.stop(session.id)
    assert await controller.list_running() == []


@pytest.mark.ours
@pytest.mark.parametrize("app_type", ["window", "custom-html"])
async def test_a_whole_document_may_connect(controller, api, server, app_type):
    """It finds what it needs in its query, as pages of the reference do."""
    page = f"""<!DOCTYPE html><html><body><script type="module">
        import {{ connectToServer }} from "{server.url}/assets/hypha-rpc-websocket.mjs";
        const query = Object.fromEntries(new URLSearchParams(location.search));
        const server = await connectToServer(query);
        await server.registerService({{ id: "default", name: "raw", hello: (name) => `Hello ${{name}}`,
                                        app: () => query.app_id }});
    </script></body></html>"""
    app = await install(controller, app_type, page, {"wait_for_service": "default"})
    service = await api.get_service(f"default@{app.id}")
    assert await service.hello("you") == "Hello you" and await service.app() == app.id


def png():
    """The smallest picture, made by hand: one red pixel."""
    def chunk(kind, data):
        body = kind + data
        return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    head = (1).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0\xff\0\0")) + chunk(b"IEND", b""))


@pytest.mark.ours
@pytest.mark.parametrize("entry, more", [("index.html", {}), ("nested/folder/index.html", {}),
                                         ("index.html", {"wait_for_service": False})])
async def test_an_app_of_several_files(controller, api, alice, entry, more):
    """The guide's multi-file app, its page spelled out: it loads its neighbours by relative addresses."""
    page = """<!DOCTYPE html><html><head><link rel="stylesheet" href="styles.css"></head>
<body><img id="logo" src="logo.png"><p id="theme"></p><script src="code/app.js"></script></body></html>"""
    folder = entry.rpartition("index.html")[0]
    app_info = await controller.install(
        app_id="multi-file-app",
        manifest={
            "name": "Multi-File Application",
            "type": "window",
            "version": "1.0.0",
            "entry_point": entry
        },
        files=[
            {"path": entry, "content": page, "format": "text"},
            {"path": folder + "styles.css", "content": "body { margin: 7px; }", "format": "text"},
            {"path": folder + "config.json", "content": {"theme": "dark", "version": "1.0"}, "format": "json"},
            {"path": folder + "logo.png", "content": base64.b64encode(png()).decode(), "format": "base64"},
            {"path": folder + "code/app.js", "format": "text", "content": """
                fetch("config.json").then((answer) => answer.json()).then((config) => {
                    document.getElementById("theme").textContent = config.theme;
                });"""},
        ],
        overwrite=True, **more)
    session, run = await page_of(controller, api, app_info)
    # An app that nothing was awaited of is running before its page has loaded.
    assert await run("""async () => {
        while (document.readyState !== "complete") await new Promise((done) => setTimeout(done, 10));
        return getComputedStyle(document.body).margin;
    }""") == "7px"
    assert await run("document.getElementById('logo').naturalWidth") == 1
    assert await run("""async () => {
        while (!document.getElementById("theme").textContent) await new Promise((done) => setTimeout(done, 10));
        return document.getElementById("theme").textContent;
    }""") == "dark"
    files = {file["name"] for file in await controller.list_files(app_info.id)} if not folder else None
    if files is not None:
        assert {"index.html", "styles.css", "config.json", "logo.png"} <= files
        config = await controller.read_file(app_info.id, "config.json", format="json")
        assert (config["content"] if "content" in config else config)["theme"] == "dark"
    await controller.stop(session.id)


# --- pages elsewhere -----------------------------------------------------------------------

ELSEWHERE = """<!doctype html><title>Elsewhere</title><script>
    window.first = { local: localStorage.getItem("user"), session: sessionStorage.getItem("tab"),
                     cookie: document.cookie, query: location.search };
</script>"""


@pytest.mark.ours
async def test_a_web_app(controller, api):
    """A page of another site, with what its user would have there."""
    async with Site({"/": ("text/html", ELSEWHERE)}) as site:
        app = await controller.install(manifest=manifest(
            "web-app", entry_point=f"{site.url}/?page=1", cookies={"session": "abc", "n": 5},
            local_storage={"user": "me </script> ü 'quoted' `x`"}, session_storage={"tab": 7},
            authorization_token="Bearer site-token"), source="")
        _, run = await page_of(controller, api, app)
        first = await run("first")
        assert first["local"] == "me </script> ü 'quoted' `x`" and first["session"] == "7"
        assert set(first["cookie"].split("; ")) == {"session=abc", "n=5"}
        assert first["query"] == "?page=1"
        request = site.requests[-1]
        assert request.headers["authorization"] == "Bearer site-token"


@pytest.mark.ours
async def test_cookies_in_full(controller, api):
    async with Site({"/": ("text/html", ELSEWHERE), "/deep/": ("text/html", "<title>deep</title>")}) as site:
        cookies = [{"name": "seen", "value": "1"},
                   {"name": "hidden", "value": "2", "httpOnly": True, "sameSite": "Strict"},
                   {"name": "deep", "value": "3", "path": "/deep"},
                   {"name": "other", "value": "4", "domain": "example.org"}]
        app = await controller.install(manifest=manifest("web-app", entry_point=site.url + "/", cookies=cookies), source="")
        _, run = await page_of(controller, api, app)
        assert (await run("first"))["cookie"] == "seen=1"
        assert set(site.requests[-1].headers["cookie"].split("; ")) == {"seen=1", "hidden=2"}
        assert await run("async () => (await fetch('/deep/')).status") == 200
        assert set(site.requests[-1].headers["cookie"].split("; ")) == {"seen=1", "hidden=2", "deep=3"}


@pytest.mark.ours
async def test_the_authorization_goes_to_the_app_s_own_site(controller, api):
    """The reference sends it to third parties, too."""
    async with Site({"/pixel": ("image/png", "")}) as stranger, Site({}) as site:
        site.pages["/"] = ("text/html", f"<!doctype html><script>fetch('{stranger.url}/pixel', {{mode: 'no-cors'}})"
                                        ".then(() => { document.title = 'done' })</script>")
        app = await controller.install(manifest=manifest("web-app", entry_point=site.url + "/",
                                                         authorization_token="Bearer site-token"), source="")
        _, run = await page_of(controller, api, app)
        await run("async () => { while (document.title !== 'done') await new Promise((r) => setTimeout(r, 10)) }")
        assert site.requests[-1].headers["authorization"] == "Bearer site-token"
        assert stranger.requests and all("authorization" not in request.headers for request in stranger.requests)


@pytest.mark.ours
async def test_a_web_app_with_parameters(controller, api, alice):
    async with Site({"/": ("text/html", ELSEWHERE)}) as site:
        app = await controller.install(manifest=manifest("web-app", entry_point=f"{site.url}/?page=1",
                                                         inject_auth_params=True), source="")
        _, run = await page_of(controller, api, app)
        query = await run("Object.fromEntries(new URLSearchParams(location.search))")
        assert query["page"] == "1" and query["workspace"] == alice.workspace and query["app_id"] == app.id
        assert {"server_url", "client_id", "token"} <= set(query)


@pytest.mark.ours
@pytest.mark.parametrize("more, text", [
    ({}, "entry_point"),
    ({"entry_point": "http://127.0.0.1:9/"}, "Failed to load URL"),
    ({"entry_point": "data:text/html,x", "cookies": 5}, "cookies"),
    ({"entry_point": "data:text/html,x", "cookies": [{"value": "no name"}]}, "cookies"),
    ({"entry_point": "data:text/html,x", "local_storage": ["no"]}, "local_storage"),
])
async def test_web_apps_that_are_refused(controller, more, text):
    assert text in await failure_text(controller.install(source="", manifest=manifest("web-app", **more), timeout=20))
    assert await controller.list_apps() == []


@pytest.mark.ours
async def test_a_startup_script(controller, api):
    """It runs in the page after it has loaded; a broken one is a warning in the log."""
    app = await controller.install(
        manifest=manifest("custom-html", entry_point="index.html", startup_script="prepare.js"),
        files=[{"path": "index.html", "content": "<!doctype html><title>plain</title>", "format": "text"},
               {"path": "prepare.js", "content": "document.title = 'prepared'; await Promise.resolve();", "format": "text"}])
    _, run = await page_of(controller, api, app)
    assert await run("document.title") == "prepared"
    broken = await controller.install(
        manifest=manifest("custom-html", entry_point="index.html", startup_script="missing.js"),
        files=[{"path": "index.html", "content": "<!doctype html><title>plain</title>", "format": "text"}])
    session, run = await page_of(controller, api, broken)
    assert await run("document.title") == "plain"
    logs = await controller.get_logs(session.id)
    assert any("startup script missing.js" in item["content"] for item in logs["items"]), json.dumps(logs)


# --- a page that uses web applications of the same server ----------------------------------

EVENTS = '''
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200,
                    "headers": [(b"content-type", b"text/event-stream")]})
        for n in range(3):
            await send({"type": "http.response.body", "body": f"data: tick {n}\\n\\n".encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"].upper()})
'''


@pytest.mark.ours
async def test_a_window_shows_events_and_a_socket(controller, api, alice, server):
    """EventSource and WebSocket against an ASGI application of the same server."""
    space = {}
    exec(EVENTS, space)

    async def serve(args, context=None):
        await space["app"](args["scope"], args["receive"], args["send"])

    await api.register_service({"id": "ticker", "type": "asgi", "serve": serve,
                                "config": {"visibility": "public"}}, {"overwrite": True})
    app = await install(controller, "window", """
        document.body.innerHTML = `<ul id="events"></ul><ul id="socket"></ul>`;
        const show = (list, text) => {
            const item = Object.assign(document.createElement("li"), { textContent: text });
            document.getElementById(list).append(item);
        };
        const base = `${env.get("HYPHA_SERVER_URL")}/${env.get("HYPHA_WORKSPACE")}/apps/ticker`;
        const source = new EventSource(`${base}/events`);
        source.onmessage = ({ data }) => { show("events", data); if (data === "tick 2") source.close(); };
        const line = new WebSocket(`${base.replace(/^http/, "ws")}/echo`);
        line.onopen = () => line.send("hello from the page");
        line.onmessage = ({ data }) => show("socket", data);
        api.export({ shown: () => document.body.innerText });
    """)
    _, run = await page_of(controller, api, app)
    shown = await run("""async () => {
        while (document.querySelectorAll("li").length < 4) await new Promise((done) => setTimeout(done, 10));
        return [...document.querySelectorAll("li")].map((item) => item.textContent).sort();
    }""")
    assert shown == ["HELLO FROM THE PAGE", "tick 0", "tick 1", "tick 2"]
