"""Apps of type web-python: Pyodide in Chromium, which resolves no name here but this machine's own.

Starting Python in a page takes seconds, so each test gets as much out of an app as it can. `stage=True` saves the trial.
"""

import hashlib
import os
import textwrap

import httpx
import pytest

from harness import Server, failure_text

pytestmark = pytest.mark.timeout(300)
# A start has this many seconds: the machine may be busy with other tests.
WITHIN = 120


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("web-python")
    server = Server(folder / "data", folder / "server.log", env={"RHIZOME_BROWSER_OFFLINE": "true"})
    server.start()
    yield server
    server.stop()


def manifest(**more):
    return {"name": "Python in a page", "type": "web-python", "version": "1.0.0", **more}


def text_file(path, content):
    return {"path": path, "content": content, "format": "text"}


async def logged(controller, session):
    return "\n".join(item["content"] for item in (await controller.get_logs(session.id))["items"])


APP = """
from hypha_rpc import api
from hypha_artifact import AsyncHyphaArtifact, HyphaArtifact
import asyncio, os, sys, httpx
import tool

await asyncio.sleep(0)
print("top level", "`${backticks}`", "\\\\", "</script>")
print("to stderr", file=sys.stderr)


class Counter:
    step = 2

    def __init__(self):
        self.count, self._private, self.socket = 0, object(), object()

    def up(self, by=1):
        self.count += by * self.step
        return self.count


def artifact(kind):
    names = ("server_url", "workspace", "token")
    values = {name: os.environ[f"HYPHA_{name.upper()}"] for name in names}
    return kind(os.environ["HYPHA_APP_ID"], **values)


async def from_artifact():
    files = artifact(AsyncHyphaArtifact)
    await files.get("lib/tool.py", "/tmp/tool.py")
    with open("/tmp/tool.py") as file:
        return [await files.ls("/lib"), file.read()]


def from_artifact_at_once():
    files = artifact(HyphaArtifact)
    return [files.ls("/lib"), files.cat("lib/tool.py")]


async def to_artifact(text):
    files = artifact(AsyncHyphaArtifact)
    with open("/tmp/new.txt", "w") as file:
        file.write(text)
    await files.edit(stage=True)
    await files.put("/tmp/new.txt", "out/new.txt")
    await files.commit()
    return await files.cat("out/new.txt")


def status(path):
    with httpx.Client() as http:
        return http.get(os.environ["HYPHA_SERVER_URL"] + path).status_code


async def unreachable():
    try:
        async with httpx.AsyncClient() as http:
            await http.get("https://pypi.org/simple/")
    except httpx.ConnectError:
        return True


def environment():
    return {name: value for name, value in os.environ.items() if name.startswith("HYPHA_") or name == "MINE"}


def numbers(upto):
    yield from range(upto)


api.export({"counter": Counter(), "tool": tool.twice, "from_artifact": from_artifact,
            "from_artifact_at_once": from_artifact_at_once, "to_artifact": to_artifact, "status": status,
            "unreachable": unreachable, "environment": environment, "numbers": numbers})
"""


async def test_an_app_from_end_to_end(controller, api, alice, server):
    files = [text_file("lib/tool.py", "def twice(x):\n    return 2 * x\n")]
    app = await controller.install(
        source=APP, files=files, timeout=WITHIN, app_id="whole",
        manifest=manifest(required_artifact_files=["lib"], env={"MINE": "yes"}))
    session = await controller.start(app.id, timeout=WITHIN)
    service = await api.get_service(session.service_id)

    # What it offers: members of instances, functions of its own modules, by name and not; generators.
    assert [await service.counter.up(), await service.counter.up(by=3)] == [2, 8]
    assert service.counter.step == 2 and "socket" not in service.counter and "_private" not in service.counter
    assert await service.tool(21) == 42
    assert [item async for item in await service.numbers(3)] == [0, 1, 2]

    # Its artifact, waiting and not.
    assert await service.from_artifact() == [["tool.py"], files[0]["content"]]
    assert await service.from_artifact_at_once() == [["tool.py"], files[0]["content"]]
    assert await service.to_artifact("fresh") == "fresh"
    assert await service.status("/health/liveness") == 200
    assert await service.unreachable()

    # What it knows, and what it logs.
    environment = await service.environment()
    assert environment.pop("HYPHA_TOKEN")
    assert environment == {
        "HYPHA_SERVER_URL": server.url, "HYPHA_WORKSPACE": alice.workspace, "HYPHA_APP_ID": app.id,
        "HYPHA_CLIENT_ID": session.client_id, "MINE": "yes"}
    logs = await logged(controller, session)
    assert "top level `${backticks}` \\ </script>" in logs
    assert "[error] to stderr" in logs and "Application initialized successfully." in logs

    # Code on top of it.
    outcome = await controller.execute(session.id, "print(tool.twice(4))\nawait asyncio.sleep(0)\ncounter = Counter()\ncounter.up()")
    assert outcome == {"status": "ok", "error": None, "outputs": [
        {"type": "stream", "name": "stdout", "text": "8\n"},
        {"type": "execute_result", "data": {"text/plain": "2"}, "metadata": {}}]}
    outcome = await controller.execute(session.id, "counter.up()\nundefined")
    assert outcome["status"] == "error" and outcome["error"]["ename"] == "NameError"
    assert 'File "<cell 2>", line 2' in "".join(outcome["error"]["traceback"])
    outcome = await controller.execute(session.id, "await asyncio.sleep(60)", config={"timeout": 0.2})
    assert outcome["error"]["ename"] == "TimeoutError"
    assert (await controller.execute(session.id, "counter.count"))["outputs"][0]["data"]["text/plain"] == "4"
    assert await controller.execute(session.id, "1 + 1", config={"language": "javascript"}) == 2


RESTORED = """
import random, uuid
import hypha_rpc.rpc, msgpack
from hypha_rpc import api

random.random()
api.export({"draws": lambda: [random.random(), str(uuid.uuid4())], "packer": lambda: msgpack.Packer.__module__,
            "has_pydantic": lambda: hasattr(hypha_rpc.rpc, "pydantic_encoder")})
"""


async def test_sessions_from_one_snapshot_differ_and_are_complete(controller, api):
    """Python starts from a snapshot of its memory, in which the client was imported before there was an app."""
    app = await controller.install(source=RESTORED, app_id="restored", timeout=WITHIN,
                                   manifest=manifest(requirements=["pydantic"], singleton=False))
    draws = []
    for _ in range(2):
        session = await controller.start(app.id, timeout=WITHIN)
        service = await api.get_service(session.service_id)
        draws.extend(await service.draws())
        assert await service.packer() == "msgpack._cmsgpack", "messages are packed by the slow stand-in"
        assert await service.has_pydantic(), "the client does not know models"
        await controller.stop(session.id)
    assert len(set(draws)) == 4, draws


async def test_the_guide_numpy(controller, api):
    # ------------------------------------------------------------------------------- the guide
    web_python_source = '''
<config lang="yaml">
name: Python Data Processor
type: web-python
version: 1.0.0
</config>

<script lang="python">
import numpy as np
from hypha_rpc import api

def process_array(arr):
    return np.array(arr) ** 2

def analyze_data(data):
    arr = np.array(data)
    return {
        "mean": float(np.mean(arr)),
        "std": float(np.std(arr)),
        "min": float(np.min(arr)),
        "max": float(np.max(arr))
    }

api.export({
    "process_array": process_array,
    "analyze_data": analyze_data
})
</script>
'''

    app_info = await controller.install(
        source=web_python_source,
        app_id="python-data-processor",  # Custom app ID
        manifest={
            "name": "Python Data Processor", 
            "type": "web-python",
            "version": "1.0.0"
        },
        overwrite=True
    )
    # ----------------------------------------------------------------------------------------
    session = await controller.start(app_info.id, timeout=WITHIN)
    service = await api.get_service(session.service_id)
    assert (await service.process_array([1, 2, 3])).tolist() == [1, 4, 9]
    analysis = await service.analyze_data([1.0, 2.0, 3.0])
    assert analysis["mean"] == 2.0 and analysis["max"] == 3.0


async def test_the_guide_artifacts(controller, api):
    # ------------------------------------------------------------------------------- the guide
    source = '''
from hypha_rpc import api
import os
from hypha_artifact import AsyncHyphaArtifact

async def setup():
    """Setup function - called before main application."""
    print("🚀 Setting up web-python app with artifact access...")
    
    # Initialize artifact client
    artifact = AsyncHyphaArtifact(
        server_url=os.environ.get("HYPHA_SERVER_URL"),
        artifact_id=os.environ.get("HYPHA_APP_ID"),
        workspace=os.environ.get("HYPHA_WORKSPACE"),
        token=os.environ.get("HYPHA_TOKEN")
    )
    
    # List available files
    files = await artifact.list_files()
    print(f"Available artifact files: {files}")
    
    # Download and use a model file
    if "models/model.py" in files:
        model_content = await artifact.get_file("models/model.py")
        # Execute or import the model code
        exec(model_content, globals())
    
    print("✅ Setup completed successfully")

async def process_data(data):
    """Process data using files from artifact."""
    # Your processing logic here
    return {"processed": data, "status": "success"}

# Export the functions
api.export({
    "setup": setup,
    "process_data": process_data
})
'''
    # ----------------------------------------------------------------------------------------
    app = await controller.install(
        source=source, manifest=manifest(requirements=["hypha-artifact"]), timeout=WITHIN,
        files=[text_file("models/model.py", "print('the model runs')")])
    session = await controller.start(app.id, timeout=WITHIN)
    service = await api.get_service(session.service_id)
    assert await service.process_data([1]) == {"processed": [1], "status": "success"}
    logs = await logged(controller, session)
    assert "the model runs" in logs and "Setup completed successfully" in logs


FASTAPI = '''
from hypha_rpc import api
from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse
import json
from datetime import datetime

def create_fastapi_app():
    app = FastAPI(
        title="Modern FastAPI App",
        description="A stylish FastAPI application with interactive features",
        version="1.0.0"
    )

    @app.get("/", response_class=HTMLResponse)
    async def home():
        current_time = datetime.now().strftime("%Y-%m-%d %H:%M:%S")
        return f"""
        <html>
        <head>
            <title>Modern FastAPI App</title>
        </head>
        <body>
            <div class="container">
                <div class="header">
                    <h1>🚀 Modern FastAPI App</h1>
                    <div class="subtitle">A stylish web application with interactive features</div>
                </div>
                
                <div class="status">
                    <strong>Status:</strong> ✅ Service Running<br>
                    <strong>Time:</strong> {current_time}<br>
                    <strong>Service:</strong> hello-fastapi
                </div>
            </div>

        </body>
        </html>
        """

    @app.get("/api/add/{a}/{b}")
    async def add_numbers(a: int, b: int):
        result = a + b
        return {
            "operation": "addition",
            "inputs": {"a": a, "b": b},
            "result": result,
            "timestamp": datetime.now().isoformat()
        }


    return app

async def setup():
    # Registering FastAPI app
    fastapi_app = create_fastapi_app()

    async def serve_fastapi(args):
        await fastapi_app(args["scope"], args["receive"], args["send"])

    await api.register_service({
        "id": "hello-fastapi",
        "type": "asgi",
        "serve": serve_fastapi,
        "config": {
            "visibility": "public"
        }
    }, {"overwrite": True})

api.export({"setup": setup})
'''


async def test_the_guide_fastapi_also_without_its_index(crashable, connect, user):
    """Installed with an index at hand, and started again when that is gone."""
    server = crashable(env={"RHIZOME_BROWSER_OFFLINE": "true"})
    server.start()
    alice = user("alice", at=server)
    controller = await (await connect(alice, at=server)).get_service("public/server-apps")
    source = FASTAPI
    # ------------------------------------------------------------------------------- the guide
    await controller.install(
        source=source,
        manifest={ 
            "type": "web-python", 
            "name": "Web Dashboard",
            "version": "1.0.0",
            "requirements": ["fastapi==0.112.1"]
        },
        overwrite=True
    )
    # ----------------------------------------------------------------------------------------
    server.stop()
    for page in (server.data_dir / "wheels" / "index").iterdir():
        os.utime(page, (0, 0))
    server.env["RHIZOME_WHEEL_INDEX"] = "http://127.0.0.1:9/simple/"
    server.start()
    controller = await (await connect(alice, at=server)).get_service("public/server-apps")
    [app] = await controller.list_apps()
    await controller.start(app.id, timeout=WITHIN)
    async with httpx.AsyncClient(base_url=f"{server.url}/{alice.workspace}/apps/hello-fastapi", timeout=20) as http:
        home = await http.get("/")
        assert home.status_code == 200 and "Modern FastAPI App" in home.text
        assert (await http.get("/api/add/2/3")).json()["result"] == 5
        assert (await http.get("/api/add/2/x")).status_code == 422


async def test_an_app_that_fails(controller):
    source = textwrap.dedent('''
        from hypha_rpc import api

        def divide(by):
            return 1 / by

        print("so far so good")
        api.export({"quotient": divide(0)})
    ''')
    text = await failure_text(controller.install(source=source, manifest=manifest(), timeout=WITHIN))
    assert 'File "main.py", line 8, in <module>' in text and 'File "main.py", line 5, in divide' in text
    assert "ZeroDivisionError: division by zero" in text and "so far so good" in text
    assert "<rhizome>" not in text


async def test_wheels_that_do_not_exist(controller):
    async def refused(*requirements, source="1"):
        return await failure_text(controller.install(
            source=source, manifest=manifest(requirements=list(requirements)), timeout=WITHIN))

    # No runtime has both; that is known before one is started.
    text = await refused("numpy", "pydantic_core>=2")
    assert "no runtime of this server has all" in text
    assert "(Python 3.14.2) has no wheel of numpy" in text and "(Python 3.12.7) has no wheel of pydantic-core" in text
    # The index says what it does not have.
    text = await refused("no-such-package-of-rhizome", source="import numpy")
    assert "there is no package no-such-package-of-rhizome with a wheel" in text


async def test_the_index_of_packages(server, http):
    answer = await http.get("/assets/pypi/simple/Humanize/", headers={"Origin": "https://elsewhere.example"})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] in ("*", "https://elsewhere.example")
    assert answer.headers["content-type"] == "application/vnd.pypi.simple.v1+json"
    page = answer.json()
    assert page["name"] == "humanize" and all(file["filename"].endswith("-none-any.whl") for file in page["files"])
    wheel = page["files"][-1]
    assert wheel["url"] == f"{server.url}/assets/pypi/files/humanize/{wheel['filename']}"
    content = (await http.get(wheel["url"])).content
    assert hashlib.sha256(content).hexdigest() == wheel["hashes"]["sha256"]
    stored = server.data_dir / "wheels" / "files" / wheel["hashes"]["sha256"]
    assert stored.read_bytes() == content
    for path in ("simple/no-such-package-of-rhizome/", "files/humanize/humanize-0-py3-none-any.whl"):
        answer = await http.get(f"/assets/pypi/{path}")
        assert answer.status_code == 404 and "there is no package" in answer.json()["detail"]


async def test_runtimes_are_served_for_ever(http):
    runtimes = (await http.get("/assets/pyodide/runtimes.json")).json()["runtimes"]
    assert ["numpy" in runtime["compiled"] for runtime in runtimes] == [False, True]
    for runtime in runtimes:
        wasm = await http.head(f"/assets/pyodide/{runtime['path']}pyodide.asm.wasm")
        assert wasm.status_code == 200 and wasm.headers["content-type"] == "application/wasm"
        assert "immutable" in wasm.headers["cache-control"] and wasm.headers["access-control-allow-origin"] == "*"
    for path in ("../hypha-rpc/hypha-rpc-version.txt", "314.0.7/../runtimes.json", "314.0.7/nothing"):
        assert (await http.get(f"/assets/pyodide/{path.replace('/..', '/%2e%2e')}")).status_code == 404
