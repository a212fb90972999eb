"""The Server Apps guide from "Two Types of Applications" on: each example, as printed there.

The bodies between the ruler comments are the guide's own text. Python in pages has tests of its own.
"""

import base64
import json
import sys

import httpx
import pytest

from harness import ROOT, bearer, eventually, failure_text

pytestmark = pytest.mark.ours


async def page_says(api, controller, session, expression):
    """What an expression is in the page of a session, over the worker itself as in step 3.6."""
    worker = await api.get_service(session["worker_id"])
    return await worker.execute(session["id"], expression)


async def test_the_functions_example_answers_at_its_urls(server, api, controller, alice):
    app = await controller.install(
        # --------------------------------------------------------------------------- the guide
        source='''
        api.register_service({
            "id": "user-api",
            "type": "functions",
            "users": {
                "list": async (event) => ({ users: ["alice", "bob"] }),
                "create": async (event) => ({ message: "User created" })
            },
            "health": async (event) => ({ status: "ok" }),
            "default": async (event) => ({ 
                path: event.function_path,
                message: "Endpoint not found" 
            })
        });
    ''',
        # --------------------------------------------------------------------- end of the guide
        manifest={"type": "web-worker", "name": "User REST API", "version": "1.0.0"},
        overwrite=True)
    assert await controller.list_running() == [], "the first request starts it"
    base = f"{server.url}/{alice.workspace}/apps/user-api"
    async with httpx.AsyncClient(headers=bearer(alice.token()), timeout=60) as http:
        for path, answer in [
                ("users/list", {"users": ["alice", "bob"]}), ("users/create", {"message": "User created"}),
                ("health", {"status": "ok"}),
                ("any-other-path", {"path": "/any-other-path", "message": "Endpoint not found"})]:
            response = await http.get(f"{base}/{path}")
            assert (response.status_code, response.json()) == (200, answer), path
    await controller.uninstall(app.id)


async def test_the_calculator(api, controller):
    # ------------------------------------------------------------------------------- the guide
    # Simple web-worker app using built-in template
    app_info = await controller.install(
        source='''
    api.export({
        async add(a, b) { return a + b; },
        async multiply(a, b) { return a * b; }
    });
    ''',
        manifest={
            "name": "Calculator",
            "type": "web-worker",  # Built-in template type
            "version": "1.0.0"
        }
    )
    # ------------------------------------------------------------------------- end of the guide
    service = await api.get_service(f"default@{app_info.id}")
    assert (await service.add(2, 3), await service.multiply(2, 3)) == (5, 6)


async def test_the_custom_html_app(api, controller):
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
    session = await controller.start(app_info.id)
    assert await page_says(api, controller, session, "document.title") == "Custom App"
    assert await page_says(api, controller, session, "document.querySelector('h1').textContent") == "Custom Application"
    await controller.stop(session["id"])


async def test_the_window_dashboard(api, controller):
    """An instance of a class in what is exported, and a page."""
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
    assert app_info.id == "interactive-dashboard"
    session = await controller.start(app_info.id)
    service = await api.get_service(session["service_id"])
    text = "document.getElementById('dataDisplay').textContent"
    assert await page_says(api, controller, session, text) == ""
    await service.dashboard.updateData()
    assert (await page_says(api, controller, session, text)).startswith("Data: ")
    await page_says(api, controller, session, "document.getElementById('dataDisplay').textContent = ''")
    await page_says(api, controller, session, "document.getElementById('updateBtn').click()")
    assert (await page_says(api, controller, session, text)).startswith("Data: ")
    await controller.stop(session["id"])


async def test_the_template_configuration(api, controller):
    app_source = "api.export({ping: () => 'pong'})"
    # ------------------------------------------------------------------------------- the guide
    app_info = await controller.install(
        source=app_source,
        app_id="configured-app",  # Custom app ID
        manifest={
            "name": "My App",
            "type": "web-worker",
            "version": "1.0.0",
            "description": "A sample web worker application",
            "requirements": ["numpy", "pandas"],  # For web-python apps
            "entry_point": "index.html",  # Custom entry point
            "startup_config": {
                "timeout": 30,
                "wait_for_service": "default",
                "stop_after_inactive": 300
            },
            "autoscaling": {  # Enable autoscaling (see autoscaling.md)
                "enabled": True,
                "min_instances": 1,
                "max_instances": 5,
                "target_requests_per_instance": 100
            }
        },
        overwrite=True
    )
    # ------------------------------------------------------------------------- end of the guide
    assert app_info.startup_config == {
        "timeout": 30, "wait_for_service": "default", "stop_after_inactive": 300}
    assert app_info.autoscaling["max_instances"] == 5
    assert await (await api.get_service(f"default@{app_info.id}")).ping() == "pong"
    assert len((await controller.get_autoscaling_status(app_info.id))["now"]["instances"]) == 1
    await controller.stop_all(app_id=app_info.id)


async def test_the_custom_html_dashboard(api, controller):
    # ------------------------------------------------------------------------------- the guide
    custom_html_app = '''
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

    app_info = await controller.install(
        source=custom_html_app,
        app_id="custom-html-dashboard",  # Custom app ID
        manifest={
            "name": "Custom HTML App",
            "type": "window",
            "version": "1.0.0",
            "entry_point": "index.html",
            "description": "A custom HTML application with full control"
        },
        overwrite=True
    )
    # ------------------------------------------------------------------------- end of the guide
    assert await controller.read_file(app_info.id, "index.html") == custom_html_app
    session = await controller.start(app_info.id)
    await page_says(api, controller, session, "document.querySelector('button').click()")
    shown = await page_says(api, controller, session, "document.getElementById('result').textContent")
    assert shown.startswith("Action performed at ")
    await controller.stop(session["id"])


PIXEL = base64.b64encode(base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")).decode()


async def test_an_installation_with_files(server, controller, alice):
    """The guide's picture is cut off in print; it is a whole one here."""
    # ------------------------------------------------------------------------------- the guide
    app_info = await controller.install(
        app_id="multi-file-app",
        manifest={
            "name": "Multi-File Application",
            "type": "window",
            "version": "1.0.0",
            "entry_point": "index.html"
        },
        files=[
            {
                "path": "index.html", # can also be "path": "nested/folder/index.html"
                "content": "<!DOCTYPE html><html>...</html>",
                "format": "text"
            },
            {
                "path": "styles.css", 
                "content": "body { margin: 0; }",
                "format": "text"
            },
            {
                "path": "config.json",
                "content": {"theme": "dark", "version": "1.0"},
                "format": "json"
            },
            {
                "path": "logo.png",
                "content": PIXEL,  # base64 content
                "format": "base64"
            }
        ],
        overwrite=True
    )
    # ------------------------------------------------------------------------- end of the guide
    # "App IDs are used in service URLs: `workspace/artifacts/app_id/files/...`"
    base = f"{server.url}/{alice.workspace}/artifacts/{app_info.id}/files"
    async with httpx.AsyncClient(headers=bearer(alice.token())) as http:
        for path, kind, content in [
                ("index.html", "text/html", b"<!DOCTYPE html><html>...</html>"),
                ("styles.css", "text/css", b"body { margin: 0; }"),
                ("logo.png", "image/png", base64.b64decode(PIXEL))]:
            answer = await http.get(f"{base}/{path}")
            assert answer.headers["content-type"].startswith(kind) and answer.content == content, path
        config = await http.get(f"{base}/config.json")
        assert config.json() == {"theme": "dark", "version": "1.0"}
    session = await controller.start(app_info.id)
    await controller.stop(session["id"])


async def test_custom_app_ids(controller):
    calculator_source = "api.export({version: () => 2})"
    updated_calculator_source = "api.export({version: () => 2.1})"
    # ------------------------------------------------------------------------------- the guide
    # Install with meaningful app_id
    app_info = await controller.install(
        source=calculator_source,
        app_id="team-calculator-v2",  # Custom identifier
        manifest={
            "name": "Team Calculator v2",
            "type": "web-worker",
            "version": "2.0.0"
        }
    )

    # Update existing app (requires overwrite=True)
    updated_app_info = await controller.install(
        source=updated_calculator_source,
        app_id="team-calculator-v2",  # Same identifier
        manifest={
            "name": "Team Calculator v2",
            "type": "web-worker", 
            "version": "2.1.0"  # Updated version
        },
        overwrite=True  # Required to replace existing app
    )
    # ------------------------------------------------------------------------- end of the guide
    assert app_info.id == updated_app_info.id == "team-calculator-v2"
    assert [(app["id"], app["version"]) for app in await controller.list_apps()] == [("team-calculator-v2", "2.1.0")]


# --- starting the server -------------------------------------------------------------------

async def test_the_server_with_startup_functions(crashable, connect, user, tmp_path):
    """Several functions beside the flags of the guide's "complete server setup"."""
    (tmp_path / "another_service.py").write_text(
        "async def hypha_startup(server):\n"
        "    await server.register_service({'id': 'another', 'config': {'visibility': 'public'}, 'hi': lambda: 'hi'})\n")
    node = crashable(
        args=["--start-minio-server", "--enable-server-apps",
              f"--startup-functions={ROOT}/tests/python/seed_worker.py:hypha_startup",
              f"--startup-functions={tmp_path}/another_service.py:hypha_startup"],
        env={"RHIZOME_PYTHON": sys.executable, "RHIZOME_BROWSER": "false"})
    node.start()
    api = await connect(user("alice", node), at=node)
    assert await (await api.get_service("public/another")).hi() == "hi"
    controller = await api.get_service("public/server-apps")
    assert "Custom Worker" in [worker["name"] for worker in await controller.list_workers()]


# --- the parameters of install -------------------------------------------------------------

async def test_every_parameter_of_install(controller, serving_worker, alice, bob, connect, server):
    """Each row of the guide's table, given a value of its own."""
    told = []
    kind = serving_worker.kind
    manifest = {"name": "Rows", "type": kind, "version": "3.0.0", "entry_point": "main.txt"}
    await controller.install(source="old", app_id="rows", manifest=manifest)
    app = await controller.install(
        source=None,
        manifest=manifest,
        app_id="rows",
        files=[{"name": "main.txt", "content": "from files", "format": "text"}],
        workspace=alice.workspace,
        overwrite=True,
        timeout=40,
        version="third",
        stage=False,
        wait_for_service="default",
        stop_after_inactive=77,
        additional_kwargs={"gpu": 2},
        progress_callback=told.append,
    )
    assert app.id == "rows" and app.startup_context["ws"] == alice.workspace
    assert app.startup_config == {"timeout": 40, "wait_for_service": "default", "stop_after_inactive": 77,
                                  "additional_kwargs": {"gpu": 2}}
    assert serving_worker.started[-1]["gpu"] == 2 and serving_worker.started[-1]["timeout"] == 40
    assert [v["version"] for v in (await controller.get_app_info("rows"))["versions"]] == ["v0", "third"]
    assert await controller.read_file("rows", "main.txt") == "from files"
    await eventually(lambda: told and told[-1]["type"] == "success")
    # What was given to install counts for later starts as well.
    session = await controller.start("rows")
    assert serving_worker.started[-1]["gpu"] == 2
    await controller.stop(session["id"])

    # stage: not committed, nothing is tried.
    tried = len(serving_worker.started)
    staged = await controller.install(source="x", app_id="staged-row", stage=True, manifest=manifest)
    assert len(serving_worker.started) == tried and staged["id"] == "staged-row"
    assert "staged-row" not in [listed["id"] for listed in await controller.list_apps()]
    # overwrite
    assert "already exists" in await failure_text(controller.install(source="x", app_id="rows", manifest=manifest))
    # timeout
    serving_worker.serving = False
    text = await failure_text(controller.install(source="x", manifest=manifest, timeout=1))
    assert "timed out" in text
    # wait_for_service=False is the detached mode.
    detached = await controller.install(source="x", manifest=manifest, wait_for_service=False)
    assert detached.startup_config["wait_for_service"] is False
    # workspace: of somebody else, it is refused.
    other = await (await connect(bob)).get_service("public/server-apps")
    assert "permission" in (await failure_text(
        other.install(source="x", manifest=manifest, workspace=alice.workspace))).lower()
    # context is the system's alone.
    assert await failure_text(controller.install(source="x", manifest=manifest, context={"ws": bob.workspace}))


@pytest.mark.parametrize("given, kept", [
    ("plain text", "plain text"), (json.dumps({"a": 1}), {"a": 1})])
async def test_a_source_without_files_is_one_file(controller, worker, given, kept):
    app = await controller.install(source=given, wait_for_service=False,
                                   manifest={"name": "S", "type": worker.kind, "version": "1", "entry_point": "main.txt"})
    read = await controller.read_file(app.id, "main.txt", format="json" if isinstance(kept, dict) else "text")
    assert read == kept
