"""The community's `python -m hypha_apps_cli` against this server.

The program is a single file in a repository (oeway/hypha-apps-cli), not on PyPI and without a licence, so
it is not part of this project. HYPHA_APPS_CLI names a folder with a checkout of it (which wants
python-dotenv and PyYAML beside the client); then the unmodified program runs, command by command. Without one, the test makes the calls that the program makes: the
same methods with the same arguments, and the same reading of the answers.
"""

import asyncio
import base64
import contextlib
import io
import json
import mimetypes
import os
import re
import sys
from pathlib import Path

import pytest
from hypha_rpc import connect_to_server

from fakes import RecordingWorker
from harness import eventually

CHECKOUT = os.environ.get("HYPHA_APPS_CLI")
ICON = b"\x89PNG\r\n\x1a\n\x00\xff"


class Checkout:
    """The program itself, as a process per command."""

    def __init__(self, folder, server, user):
        self.folder = folder
        modules = os.pathsep.join(filter(None, (str(Path(CHECKOUT).resolve()), os.environ.get("PYTHONPATH"))))
        self.env = {**os.environ, "PYTHONPATH": modules, "PYTHONDONTWRITEBYTECODE": "1",
                    "HYPHA_SERVER_URL": server.url, "HYPHA_WORKSPACE": user.workspace, "HYPHA_TOKEN": user.token(),
                    "PYTHONIOENCODING": "utf-8"}

    async def __call__(self, *arguments):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "hypha_apps_cli", *arguments, cwd=self.folder, env=self.env,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
        said, _ = await asyncio.wait_for(process.communicate(), 60)
        text = said.decode()
        assert process.returncode == 0, text
        return text


class Calls:
    """What each command of the program asks of the server, and what it prints of the answers."""

    def __init__(self, folder, server, user):
        self.folder, self.server, self.user = folder, server, user

    async def __call__(self, command, *arguments):
        options, names = {"files": []}, iter(arguments)
        for name in names:
            if name == "--overwrite":
                options["overwrite"] = True
            elif name == "--files":
                options["files"].append(next(names))
            else:
                options[name.strip("-").replace("-", "_")] = next(names)
        api = await connect_to_server({"client_id": None, "server_url": self.server.url, "token": self.user.token(),
                                       "workspace": self.user.workspace, "ssl": None})
        said = io.StringIO()
        try:
            controller = await api.get_service("public/server-apps")
            with contextlib.redirect_stdout(said):
                await getattr(self, command.replace("-", "_"))(api, controller, **options)
        finally:
            await api.disconnect()
        return said.getvalue()

    async def install(self, api, controller, app_id, manifest, source, files, overwrite=False):
        given = [entry for folder in files for entry in self.collect(folder)]
        await controller.install(
            app_id=app_id, source=(self.folder / source).read_text(), manifest=json.loads((self.folder / manifest).read_text()),
            files=given, overwrite=overwrite, progress_callback=lambda info: print(info.get("type"), info.get("message")))
        print(json.dumps(await controller.get_app_info(app_id), indent=2))

    def collect(self, folder):
        base = (self.folder / folder).resolve()
        for path in sorted(base.rglob("*")):
            if not path.is_file():
                continue
            kind, _ = mimetypes.guess_type(path)
            name = f"{base.name}/{path.relative_to(base).as_posix()}"
            if kind == "application/json":
                entry = {"name": name, "content": json.loads(path.read_text()), "format": "json"}
            elif kind and kind.startswith("text/"):
                entry = {"name": name, "content": path.read_text(), "format": "text"}
            else:
                entry = {"name": name, "content": base64.b64encode(path.read_bytes()).decode(), "format": "base64"}
            if path.suffix == ".py":
                entry["import_path"] = path.relative_to(base).with_suffix("").as_posix().replace("/", ".")
            yield entry

    async def start(self, api, controller, app_id, files):
        started = await controller.start(app_id, timeout=30, progress_callback=lambda info: print(info.get("message")))
        for service in started.services:
            print(f"- {service.id.split(':')[1]} ({service.get('name', '')}): {service.get('description', '')}")
        print(f"Started app '{app_id}' with session ID: {started.id}")

    async def stop(self, api, controller, session_id, files):
        if any(app.id == session_id for app in await controller.list_running()):
            await controller.stop(session_id)
            print(f"Stopped session '{session_id}'.")

    async def stop_all_apps(self, api, controller, files):
        for app in await controller.list_running():
            await controller.stop(app.id)
            print(f"Stopped app '{app.id}'.")

    async def stop_all_instances(self, api, controller, app_id, files):
        for app in await controller.list_running():
            if app.app_id == app_id:
                await controller.stop(app.id)
                print(f"Stopped instance '{app.id}' of app '{app.app_id}'.")

    async def uninstall(self, api, controller, app_id, files):
        await controller.uninstall(app_id)
        print(f"Uninstalled app '{app_id}'")

    async def list_installed(self, api, controller, files):
        for app in await controller.list_apps():
            print(f"- {app.get('name')} (app_id: `{app.id}`): {app.get('description', 'No description')}")

    async def list_running(self, api, controller, files):
        for app in await controller.list_running():
            print(f"- {app.get('name')} (session id: `{app.id}`, app_id: `{app.get('app_id', '')}`)")

    async def list_services(self, api, controller, files):
        for service in await api.list_services():
            print(service["id"], json.dumps(service, indent=2))

    async def logs(self, api, controller, session_id, files):
        print(json.dumps({**await controller.get_logs(session_id)}, indent=2))


@pytest.fixture
def cli(tmp_path, server, alice):
    return (Checkout if CHECKOUT else Calls)(tmp_path, server, alice)


def project(folder, kind, source, name="Hello World"):
    """A project as in the program's manual."""
    (folder / "manifest.yaml").write_text(json.dumps(
        {"name": name, "type": kind, "version": "1.0.0", "description": "A simple hello world app"}))
    (folder / "main.js").write_text(source)
    for path, content in (("data/config.json", b'{"a": [1, 2]}'), ("static/icon.png", ICON),
                          ("static/style.css", b"body {}"), ("lib/tool.py", b"x = 1\n")):
        (folder / "example-files" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "example-files" / path).write_bytes(content)


INSTALL = ("--manifest", "manifest.yaml", "--source", "main.js")


def session_in(said):
    return re.search(r"with session ID: (\S+)", said)[1]


async def test_the_workflow_of_its_manual(cli, tmp_path, controller):
    project(tmp_path, "web-worker", "api.export({ hello: () => 'world' })")
    said = await cli("install", "--app-id", "hello", *INSTALL)
    assert "Installation complete" in said or "installed" in said.lower()
    assert '"name": "Hello World"' in said and '"type": "web-worker"' in said
    said = await cli("start", "--app-id", "hello")
    session = session_in(said)
    assert "default" in said
    said = await cli("list-running")
    assert session in said and "hello" in said and "Hello World" in said
    assert session in await cli("list-services")
    if not CHECKOUT:
        # The program cannot print the documented form of logs, of any server: in the client library's
        # dictionaries the key `items` hides the method that `json.dumps` calls.
        assert '"items"' in await cli("logs", "--session-id", session)
    said = await cli("stop", "--session-id", session)
    assert session in said and await controller.list_running() == []
    said = await cli("list-installed")
    assert "Hello World" in said and "`hello`" in said and "A simple hello world app" in said
    await cli("uninstall", "--app-id", "hello")
    assert await controller.list_apps() == []


async def test_files_of_every_format(cli, tmp_path, controller, serving_worker):
    project(tmp_path, serving_worker.kind, "source")
    await cli("install", "--app-id", "filed", *INSTALL, "--files", "example-files")

    async def read(name, **more):
        return await controller.read_file("filed", f"example-files/{name}", **more)

    assert json.loads(await read("data/config.json")) == {"a": [1, 2]}
    assert await read("static/style.css") == "body {}"
    assert await read("lib/tool.py") == "x = 1\n"
    assert base64.b64decode(await read("static/icon.png", format="binary")) == ICON


async def test_overwrite_and_the_stops_for_all(cli, tmp_path, controller, api, server):
    workers = [await RecordingWorker(server, serving=True).register(api) for _ in range(2)]
    for number, worker in enumerate(workers):
        project(tmp_path, worker.kind, "source", f"App {number}")
        await cli("install", "--app-id", f"app-{number}", *INSTALL)
        await cli("install", "--app-id", f"app-{number}", *INSTALL, "--overwrite")
        await cli("start", "--app-id", f"app-{number}")
    assert len(await controller.list_running()) == 2
    said = await cli("stop-all-instances", "--app-id", "app-0")
    assert "app-0" in said
    assert [session["app_id"] for session in await controller.list_running()] == ["app-1"]
    assert "app-1" not in await cli("stop-all-instances", "--app-id", "app-0")
    await cli("stop-all-apps")
    await eventually(lambda: all(not worker.sessions for worker in workers))
    assert await controller.list_running() == []
    for worker in workers:
        await worker.close()
