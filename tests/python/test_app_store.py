"""The app store through its service: edits, stage, versions, going back, copies, URL sources."""

import asyncio
import base64
import http.server
import threading
import uuid

import pytest

from fakes import RecordingWorker
from harness import User, eventually, failure, failure_text
from hypha_rpc import connect_to_server

pytestmark = pytest.mark.ours


def manifest(kind, **more):
    return {"name": "An app", "type": kind, "version": "1.0.0", **more}


async def install(controller, worker, source="one", **more):
    """Installs an app of the worker's type whose only file is `source`."""
    options = {"source": source, "manifest": manifest(worker.kind), "wait_for_service": False}
    return await controller.install(**{**options, **more})


async def text_of(controller, app_id, path="source", **which):
    return await controller.read_file(app_id, path, **which)


async def labels(controller, app_id):
    return [v["version"] for v in await controller.list_versions(app_id)]


async def current(controller, app_id):
    [label] = [v["version"] for v in await controller.list_versions(app_id) if v["current"]]
    return label


# --- editing -------------------------------------------------------------------------------

async def test_an_edit_is_staged_and_becomes_a_version_when_it_is_committed(controller, worker):
    app = await install(controller, worker)
    assert await controller.edit_app(app.id, manifest={"description": "new", "colour": "green"}) is None
    assert (await controller.get_app_info(app.id))["manifest"]["description"] is None
    staged = await controller.get_app_info(app.id, stage=True)
    assert staged["manifest"]["description"] == "new" and staged["staging"][-1] == {"_intent": "new_version"}
    # A second edit builds on the first.
    await controller.edit_app(app.id, manifest={"name": "Renamed"})
    committed = await controller.commit_app(app.id)
    assert (committed["name"], committed["description"], committed["colour"]) == ("Renamed", "new", "green")
    info = await controller.get_app_info(app.id)
    assert info["manifest"]["name"] == "Renamed" and info["staging"] is None
    assert [v["version"] for v in info["versions"]] == ["v0", "v1"]
    assert await text_of(controller, app.id) == "one", "files of the edited version are carried over"
    assert len(worker.started) == 2, "a commit tries the app once"


async def test_files_are_edited_on_the_stage(controller, worker):
    app = await install(controller, worker, source=None, files=[
        {"path": "a.txt", "content": "a", "format": "text"},
        {"path": "b/c.txt", "content": "c", "format": "text"},
    ], manifest=manifest(worker.kind, entry_point="a.txt"))
    assert await controller.edit_file(app.id, "a.txt", "changed") is None
    await controller.edit_file(app.id, "data.json", {"x": [1, 2]})
    await controller.edit_file(app.id, "raw.bin", b"\x00\xff")
    assert await controller.remove_file(app.id, "b/c.txt") is None
    assert "does not exist" in await failure(controller.remove_file(app.id, "b/c.txt"))
    assert await text_of(controller, app.id, "a.txt") == "a", "committed files stay until the commit"
    assert await text_of(controller, app.id, "a.txt", stage=True) == "changed"
    assert await text_of(controller, app.id, "a.txt", version="stage") == "changed"
    await controller.commit_app(app.id, version="second")
    assert await text_of(controller, app.id, "a.txt") == "changed"
    assert await controller.get_file_content(app.id, "data.json", format="json") == {"x": [1, 2]}
    binary = await controller.read_file(app.id, "raw.bin", format="binary")
    assert base64.b64decode(binary) == b"\x00\xff"
    assert "does not exist" in await failure(controller.read_file(app.id, "b/c.txt"))
    assert await text_of(controller, app.id, "b/c.txt", version="v0") == "c"
    for path in ("../x", "/etc/x", "a/../../x"):
        assert "Invalid file path" in await failure(controller.edit_file(app.id, path, "x"))


async def test_startup_and_autoscaling_settings_are_replaced_whole(controller, worker):
    app = await install(controller, worker, timeout=44)
    await controller.edit_app(
        app.id, startup_config={"wait_for_service": False, "stop_after_inactive": 30},
        autoscaling_config={"enabled": True, "max_instances": 3})
    edited = await controller.commit_app(app.id, timeout=20)
    assert edited["startup_config"] == {
        "wait_for_service": False, "stop_after_inactive": 30, "timeout": 20}
    assert edited["autoscaling"]["max_instances"] == 3 and edited["autoscaling"]["min_instances"] == 1
    await controller.edit_app(app.id, autoscaling_config={}, autoscaling_manifest={"max_instances": 7})
    assert (await controller.get_app_info(app.id, stage=True))["manifest"]["autoscaling"]["max_instances"] == 7
    await controller.edit_app(app.id, autoscaling_config={}, startup_config={})
    staged = (await controller.get_app_info(app.id, stage=True))["manifest"]
    assert staged["autoscaling"] is None and staged["startup_config"] is None


@pytest.mark.parametrize("edit, text", [
    ({"manifest": {"type": "application"}}, "Application type should not be application or None"),
    ({"manifest": {"daemon": "yes"}}, "field 'daemon' must be a boolean"),
    ({"autoscaling_config": {"max_instances": 0}}, "autoscaling: max_instances must be at least 1"),
    ({"startup_config": {"timeout": "long"}}, "timeout must be a number of seconds"),
    ({"startup_config": {"stop_after_inactive": 10}, "manifest": {"daemon": True}},
     "Daemon apps should not have stop_after_inactive set."),
])
async def test_edits_that_nothing_could_start_are_refused(controller, worker, edit, text):
    app = await install(controller, worker)
    error = await failure(controller.edit_app(app.id, **edit))
    assert f"Failed to edit app '{app.id}': " in error and text in error
    assert "staging mode" in await failure(controller.get_app_info(app.id, stage=True))


async def test_the_server_fields_cannot_be_edited(controller, worker, alice):
    app = await install(controller, worker)
    await controller.edit_app(app.id, manifest={
        "startup_context": {"ws": "public", "user": {"id": "root"}}, "services": [{"id": "x"}],
        "id": "other", "source_hash": "x", "description": "kept"})
    edited = await controller.commit_app(app.id)
    assert edited["startup_context"]["user"]["id"] == alice.id and edited["services"] == []
    assert edited["id"] == app.id and edited["source_hash"] == app.source_hash
    assert edited["description"] == "kept"


async def test_a_failing_commit_keeps_the_version_and_the_stage(controller, worker):
    app = await install(controller, worker)
    await controller.edit_app(app.id, manifest={"description": "broken"})
    worker.fails_with = "no luck"
    error = await failure_text(controller.commit_app(app.id))
    assert f"Failed to install app '{app.id}': " in error and "no luck" in error
    assert [a["description"] for a in await controller.list_apps()] == [None]
    worker.fails_with = None
    assert (await controller.commit_app(app.id))["description"] == "broken"
    # Nothing is staged now: the answer is what is current, and a label would be a lie.
    assert (await controller.commit_app(app.id))["description"] == "broken"
    assert "staging mode" in await failure(controller.commit_app(app.id, version="x"))
    assert await labels(controller, app.id) == ["v0", "v1"]


async def test_a_disabled_app_does_not_start_until_it_is_enabled(controller, worker):
    app = await install(controller, worker)
    session = await controller.start(app.id)
    await controller.edit_app(app.id, disabled=True)
    assert await controller.list_running() == [] and session["id"] in worker.stopped
    assert f"App {app.id} is disabled" in await failure(controller.start(app.id))
    assert (await controller.list_apps())[0]["disabled"] is True
    assert (await controller.get_app_info(app.id))["manifest"]["disabled"] is True
    await controller.edit_app(app.id, disabled=False)
    await controller.start(app.id)
    # A switch is no edit: nothing is staged, and one call uninstalls.
    await controller.uninstall(app.id)
    assert await controller.list_apps() == []


# --- stage and versions --------------------------------------------------------------------

async def test_a_staged_install_is_listed_when_it_is_committed(controller, worker):
    app = await install(controller, worker, stage=True)
    assert worker.started == [] and await controller.list_apps() == []
    assert [a["id"] for a in await controller.list_apps(include_staged=True)] == [app.id]
    session = await controller.start(app.id, stage=True)
    assert worker.started[-1]["version"] == "stage"
    await controller.stop(session["id"])
    assert (await controller.commit_app(app.id, version="first"))["id"] == app.id
    assert await labels(controller, app.id) == ["first"]
    staged = await install(controller, worker, stage=True)
    await controller.uninstall(staged.id)
    assert "does not exist" in await failure(controller.get_app_info(staged.id, stage=True))


async def test_an_app_that_was_never_committed_runs_as_it_is(controller, worker):
    app = await install(controller, worker, stage=True)
    session = await controller.start(app.id)
    assert worker.started[-1]["version"] == "stage"
    await controller.stop(session["id"])
    await controller.commit_app(app.id, version="first")
    await controller.edit_file(app.id, "source", "two")
    session = await controller.start(app.id)
    assert worker.started[-1]["version"] == "first"
    await controller.stop(session["id"])


async def test_the_stage_and_the_current_version_run_side_by_side(controller, worker):
    app = await install(controller, worker)
    running = await controller.start(app.id)
    await controller.edit_file(app.id, "source", "two")
    staged = await controller.start(app.id, stage=True)
    assert staged["id"] != running["id"]
    assert (await controller.start(app.id))["id"] == running["id"]
    assert (await controller.start(app.id, version="v0"))["id"] == running["id"]


async def test_an_overwriting_install_leaves_staged_edits(controller, worker):
    app = await install(controller, worker)
    await controller.edit_app(app.id, manifest={"description": "mine"})
    worker.fails_with = "broken"
    assert "broken" in await failure_text(install(controller, worker, "two", app_id=app.id, overwrite=True))
    worker.fails_with = None
    assert (await controller.get_app_info(app.id, stage=True))["manifest"]["description"] == "mine"
    await install(controller, worker, "three", app_id=app.id, overwrite=True)
    assert await text_of(controller, app.id) == "three"
    assert await text_of(controller, app.id, stage=True) == "one"
    assert (await controller.commit_app(app.id))["description"] == "mine"
    assert await labels(controller, app.id) == ["v0", "v1", "v2"], "a failed install takes no label"


async def test_going_back_and_forth_between_versions(controller, worker):
    app = await install(controller, worker, "one")
    await install(controller, worker, "two", app_id=app.id, overwrite=True,
                  manifest=manifest(worker.kind, description="second"))
    running = await controller.start(app.id)
    assert worker.started[-1]["version"] == "v1"
    events = []
    api = worker.api
    await api.subscribe(["app_rolled_back"])
    api.on("app_rolled_back", lambda event: events.append(event["data"]))
    assert await controller.rollback(app.id) == "v0"
    assert running["id"] in worker.stopped, "sessions of the version that was left end"
    assert await text_of(controller, app.id) == "one"
    assert (await controller.list_apps())[0]["description"] is None
    assert (await controller.get_app_info(app.id))["current_version"] == "v0"
    await controller.start(app.id)
    assert worker.started[-1]["version"] == "v0"
    assert await controller.rollback(app.id, version="v1") == "v1"
    assert await text_of(controller, app.id) == "two"
    await eventually(lambda: len(events) == 2, what="both switches are told")
    assert (events[0]["app_id"], events[0]["from_version"], events[0]["to_version"]) == (app.id, "v1", "v0")
    assert "v9" in await failure(controller.rollback(app.id, version="v9"))
    await controller.rollback(app.id, version="v0")
    assert "no version" in await failure(controller.rollback(app.id))
    # What is installed next is current, whatever was chosen before.
    await install(controller, worker, "three", app_id=app.id, overwrite=True)
    assert await current(controller, app.id) == "v2" and await text_of(controller, app.id) == "three"


@pytest.mark.parametrize("label", ["stage", "pending", "latest", "a/b", "a@b"])
async def test_labels_that_mean_something_else_are_refused(controller, worker, label):
    error = await failure(install(controller, worker, version=label))
    assert f"Invalid version label '{label}'" in error
    assert await controller.list_apps() == []


async def test_the_record_of_an_app(controller, worker, alice):
    app = await install(controller, worker)
    info = await controller.get_app_info(app.id)
    assert info["parent_id"] == f"{alice.workspace}/applications"
    granted = info["_permissions"][alice.id]
    assert "read" in granted and "commit" in granted and info["config"]["permissions"] == {alice.id: "*"}
    assert (info["version"], info["current_version"], info["name"]) == ("v0", "v0", "An app")
    assert "does not exist" in await failure(controller.get_app_info("applications"))
    assert "already exists" in await failure(install(controller, worker, app_id="applications", overwrite=True))


async def test_everything_acknowledged_survives_kill_9(crashable):
    server = crashable()
    server.start()
    user = User(server, "alice")

    async def session():
        api = await connect_to_server({"server_url": server.url, "token": user.token()})
        return api, await api.get_service("public/server-apps")

    api, controller = await session()
    worker = await RecordingWorker(server).register(api)
    kind = worker.kind
    app = await install(controller, worker, "one")
    await install(controller, worker, "two", app_id=app.id, overwrite=True)
    await controller.rollback(app.id)
    await controller.edit_app(app.id, manifest={"description": "staged"}, disabled=True)
    await controller.edit_file(app.id, "more.txt", "more")
    server.kill()
    await api.disconnect()
    server.start()
    api, controller = await session()
    assert await current(controller, app.id) == "v0" and await text_of(controller, app.id) == "one"
    assert "is disabled" in await failure(controller.start(app.id))
    assert await text_of(controller, app.id, "more.txt", stage=True) == "more"
    await controller.edit_app(app.id, disabled=False)
    worker = RecordingWorker(server)
    worker.kind = kind
    await worker.register(api)
    assert (await controller.commit_app(app.id))["description"] == "staged"
    assert await labels(controller, app.id) == ["v0", "v1", "v2"]
    await api.disconnect()


# --- sources from elsewhere ----------------------------------------------------------------

class Web:
    """A web server on this machine with the given answers: path -> (status, headers, body)."""

    def __init__(self, answers):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                status, headers, body = answers.get(self.path.split("?")[0], (404, {}, b""))
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body)
                except ConnectionError:
                    pass

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def web():
    made = Web({
        "/app/main.js": (200, {}, b"the code"),
        "/moved": (302, {"Location": "/app/main.js"}, b""),
        "/away": (302, {"Location": "http://example.com/x.js"}, b""),
        "/round": (302, {"Location": "/round"}, b""),
        "/large": (200, {}, b"x" * (17 << 20)),
        "/picture": (200, {}, b"\xff\xfe\x00"),
        "/xml.hypha.html": (200, {}, b"""<config lang="json">{"name": "From XML", "type": "KIND"}</config>
<script lang="python">print(1)</script>"""),
    })
    yield made
    made.close()


async def test_a_source_is_fetched_from_its_url(controller, worker, web):
    progress = []
    app = await install(controller, worker, f"{web.url}/app/main.js?x=1", progress_callback=progress.append)
    assert app.entry_point == "main.js" and await text_of(controller, app.id, "main.js") == "the code"
    assert f"Downloading source from {web.url}/app/main.js?x=1..." in [m["message"] for m in progress]
    app = await install(controller, worker, f"{web.url}/moved")
    assert await text_of(controller, app.id, "moved") == "the code"


@pytest.mark.parametrize("path, text", [
    ("/missing", "the server answered 404"),
    ("/away", "redirected to an address that is not secured"),
    ("/round", "too many redirects"),
    ("/large", "larger than 16 MB"),
    ("/picture", "not text in UTF-8"),
])
async def test_sources_that_cannot_be_fetched(controller, worker, web, path, text):
    error = await failure(install(controller, worker, web.url + path))
    assert "Failed to download the source from" in error and text in error
    assert await controller.list_apps() == []


async def test_a_source_url_where_nobody_listens(controller, worker):
    error = await failure(install(controller, worker, "http://127.0.0.1:1/x.js"))
    assert "Failed to download the source from http://127.0.0.1:1/x.js" in error


# --- copies --------------------------------------------------------------------------------

async def test_an_app_is_installed_from_another(controller, worker, alice):
    app = await install(controller, worker, "one")
    copy = await controller.install(artifact_id=f"{alice.workspace}/{app.id}", app_id="the-copy",
                                    wait_for_service=False)
    assert copy["id"] == f"{alice.workspace}/the-copy" and copy["manifest"]["id"] == "the-copy"
    assert await text_of(controller, "the-copy") == "one"
    session = await controller.start(copy["id"])
    assert session["app_id"] == "the-copy"
    again = controller.install(artifact_id=app.id, app_id="the-copy", wait_for_service=False)
    assert "already exists" in await failure(again)
    assert "does not exist" in await failure(controller.install(artifact_id="nothing"))


async def test_strangers_install_only_what_is_published(connect, controller, worker, alice, bob, server):
    app = await install(controller, worker, "one", manifest=manifest(
        worker.kind, config={"secrets": {"key": "hidden"}, "other": 1}))
    source = f"{alice.workspace}/{app.id}"
    api = await connect(bob)
    bobs = await api.get_service("public/server-apps")
    denied = await failure(bobs.install(artifact_id=source, wait_for_service=False))
    assert "permission" in denied.lower()
    # Alice may not write into the public collection, root may.
    assert "permission" in (await failure(controller.publish(app.id, "public/applications"))).lower()
    root = await connect(token=server.root_token)
    roots = await root.get_service("public/server-apps")
    name = f"shared-{uuid.uuid4().hex[:8]}"
    record = await roots.publish(source, "public/applications", new_app_id=name)
    assert record["id"] == f"public/{name}" and record["parent_id"] == "public/applications"
    assert record["manifest"]["config"] == {"other": 1}
    assert record["manifest"]["startup_context"] is None
    other = RecordingWorker(server)
    other.kind = worker.kind
    await other.register(api)
    copy = await bobs.install(artifact_id=f"public/{name}", wait_for_service=False)
    assert copy["manifest"]["startup_context"]["user"]["id"] == bob.id
    assert await bobs.read_file(copy["alias"], "source") == "one"
    assert "not a collection" in await failure(controller.publish(app.id, "nowhere"))
    staged = await roots.publish(source, "public/applications", new_app_id=f"{name}-2", stage=True)
    assert staged["staging"] and staged["versions"] == []
    for alias in (name, f"{name}-2"):
        await roots.uninstall(f"public/{alias}")


# --- listings and rights -------------------------------------------------------------------

async def test_listings_are_filtered(controller, worker, alice):
    one = await install(controller, worker, manifest=manifest(worker.kind, description="Counts Sheep"))
    two = await install(controller, worker, manifest=manifest(worker.kind, tags=["sheep", "wool"]))
    assert {a["id"] for a in await controller.list_apps(keywords="sheep")} == {one.id, two.id}
    assert [a["id"] for a in await controller.list_apps(keywords=["sheep", "wool"])] == [two.id]
    assert await controller.list_apps(app_type="window") == []
    assert len(await controller.list_apps(workspace=alice.workspace, app_type=worker.kind)) == 2


async def test_the_workspace_argument_is_checked(connect, controller, worker, alice, bob):
    app = await install(controller, worker)
    session = await controller.start(app.id)
    api = await connect(bob)
    bobs = await api.get_service("public/server-apps")
    there = f"{alice.workspace}/{app.id}"
    for refused in (
        bobs.list_apps(workspace=alice.workspace), bobs.list_running(workspace=alice.workspace),
        bobs.list_sessions(workspace=alice.workspace), bobs.list_workers(workspace=alice.workspace),
        bobs.get_server_status(workspace=alice.workspace),
        bobs.install(source="x", manifest=manifest(worker.kind), workspace=alice.workspace),
        bobs.edit_app(there, disabled=True), bobs.commit_app(there), bobs.list_versions(there),
        bobs.edit_file(there, "x", "x"), bobs.remove_file(there, "source"), bobs.rollback(there),
        bobs.publish(there, f"{bob.workspace}/applications"), bobs.uninstall(there),
        bobs.stop_all(app_id=there), bobs.stop_all(workspace=alice.workspace),
        bobs.restart(session["id"]), bobs.edit_worker(worker.id, disabled=True),
        bobs.get_logs(session["id"]), bobs.tail_logs(session["id"]), bobs.get_session_info(session["id"]),
        bobs.execute(session["id"], "1"), bobs.start(there),
    ):
        assert "permission" in (await failure(refused)).lower()
    reader = await connect(token=bob.token("r", workspace=alice.workspace))
    readers = await reader.get_service("public/server-apps")
    assert await readers.read_file(app.id, "source") == "one"
    for refused in (readers.edit_app(app.id, disabled=True), readers.edit_file(app.id, "x", "x"),
                    readers.commit_app(app.id), readers.stop_all()):
        assert "permission" in (await failure(refused)).lower()
    assert [s["id"] for s in await controller.list_running()] == [session["id"]]


async def test_parallel_edits_of_one_app_are_all_kept(controller, worker):
    app = await install(controller, worker)
    await asyncio.gather(*(controller.edit_file(app.id, f"{n}.txt", str(n)) for n in range(20)))
    names = {entry["name"] for entry in await controller.list_files(app.id, stage=True)}
    assert names == {"source", *(f"{n}.txt" for n in range(20))}
