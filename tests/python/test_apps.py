"""Installing, starting, stopping, versions, errors, permissions. Most sessions here have no browser."""

import asyncio
import base64
import json
import uuid

import pytest

from fakes import RecordingWorker
from harness import eventually, failure, failure_text

SOURCE = "api.export({answer: () => 42})"


def manifest(kind, **more):
    return {"name": "An app", "type": kind, "version": "1.0.0", **more}


async def install(controller, worker, **more):
    """Installs an app of the worker's type that offers no service."""
    options = {"source": "whatever", "manifest": manifest(worker.kind), "wait_for_service": False}
    return await controller.install(**{**options, **more})


def fresh():
    return f"app-{uuid.uuid4().hex[:8]}"


# --- installing ----------------------------------------------------------------------------

async def test_install_returns_the_manifest(controller, worker, alice):
    app = await install(controller, worker, manifest=manifest(worker.kind, colour="green"))
    assert app["id"] and app.name == "An app" and app.type == worker.kind
    assert app.colour == "green", "unknown fields are kept"
    assert app.startup_config["wait_for_service"] is False
    assert app.startup_context["ws"] == alice.workspace
    assert app.startup_context["user"]["id"] == alice.id
    assert app.source_hash.startswith("Qm")
    assert app.services == [] or app.services is None
    assert set(app) >= {
        "type", "format_version", "name", "id", "description", "tags", "documentation", "covers",
        "badges", "authors", "attachments", "files", "config", "version", "links", "maintainers",
        "license", "git_repo", "source", "passive", "dependencies", "requirements", "api_version",
        "icon", "env", "entry_point", "daemon", "singleton", "worker_managed", "services",
        "startup_config", "service_selection_mode", "startup_context", "source_hash",
        "autoscaling", "service_ids"}
    json.dumps(json.loads(json.dumps(app)))


async def test_install_runs_the_app_once_to_try_it(controller, worker):
    app = await install(controller, worker)
    assert [c["app_id"] for c in worker.started] == [app.id]
    await eventually(lambda: worker.stopped == [worker.started[0]["id"]])
    assert await controller.list_running() == []


async def test_services_of_the_test_run_land_in_the_manifest(controller, serving_worker, alice):
    app = await controller.install(source="x", manifest=manifest(serving_worker.kind))
    assert [s["id"] for s in app.services] == [f"{alice.workspace}/*:default"]
    assert [s["name"] for s in app.services] == [app.id]


async def test_list_apps(controller, worker):
    assert await controller.list_apps() == []
    one, two = await install(controller, worker), await install(controller, worker)
    apps = await controller.list_apps()
    assert sorted(app["id"] for app in apps) == sorted([one.id, two.id])
    assert {app["name"] for app in apps} == {"An app"}


async def test_files(controller, worker, alice):
    picture = bytes(range(256))
    app = await install(controller, worker, source=None, files=[
        {"path": "main.txt", "content": "text", "format": "text"},
        {"name": "deep/er/conf.json", "content": {"theme": "dark"}, "format": "json", "import_path": "x"},
        {"path": "logo.png", "content": base64.b64encode(picture).decode(), "format": "base64"},
        {"path": "data.bin", "content": "data:application/x;base64," + base64.b64encode(b"hi").decode(),
         "format": "base64"},
    ], manifest=manifest(worker.kind, entry_point="main.txt"))
    names = {entry["name"] for entry in await controller.list_files(app.id)}
    assert names >= {"main.txt", "deep", "logo.png", "data.bin"}
    assert await controller.read_file(app.id, "main.txt") == "text"
    assert await controller.read_file(app.id, "deep/er/conf.json", format="json") == {"theme": "dark"}
    content = await controller.read_file(app.id, "logo.png", format="binary")
    assert base64.b64decode(content) == picture
    assert "does not exist" in await failure(controller.read_file(app.id, "nothing.txt"))


async def test_progress_is_reported(controller, worker):
    seen = []
    app = await install(controller, worker, progress_callback=seen.append)
    assert seen[0]["message"].startswith("Parsing app manifest")
    assert seen[-1] == {"type": "success", "message": "Installation complete!"}
    assert {m["type"] for m in seen} <= {"info", "success", "warning", "error"}
    assert "the worker speaks" in [m["message"] for m in seen]
    seen.clear()
    await controller.start(app.id, progress_callback=seen.append)
    assert seen[-1]["message"].startswith("Application startup completed successfully")


@pytest.mark.ours
async def test_a_manifest_without_type(controller):
    error = await failure(controller.install(source=SOURCE, manifest={"name": "No type"}))
    assert "ValueError: Application type should not be application or None" in error


@pytest.mark.parametrize("options, text", [
    ({"app_id": "a/b"},
     "App id a/b is not a valid string, only alphanumeric characters, -, and _ are allowed"),
    ({"app_id": "a b"}, "App id a b is not a valid string"),
    ({"app_id": "../x"}, "App id ../x is not a valid string"),
    ({"manifest": {"name": "x", "type": "application"}},
     "Application type should not be application or None"),
    ({"manifest": {"name": "x", "type": "no-such-type"}}, "No server app worker found"),
    ({"config": {"type": "x"}}, "Cannot specify both 'config' and 'manifest' parameters"),
    ({"source": "http://example.com/app.js"},
     "Only secured https urls are allowed: http://example.com/app.js"),
    ({"source": None, "files": [{"path": "x", "content": "abc", "format": "base64"}]},
     "Failed to decode base64 content for file"),
    pytest.param({"source": None, "files": [{"path": "x", "content": "%%%", "format": "base64"}]},
                 "Failed to decode base64 content for file", marks=pytest.mark.ours),
    ({"source": None, "files": [{"path": "x", "content": "{", "format": "json"}]},
     "Failed to process JSON content for file"),
    ({"source": None, "files": [{"path": "x", "content": "x", "format": "yaml"}]},
     "Unsupported file format 'yaml' for file x. Must be 'text', 'json', or 'base64'"),
    ({"source": None, "files": [{"content": "x"}]}, "must have 'name' or 'path' field"),
])
async def test_installs_that_are_refused(controller, worker, options, text):
    error = await failure(install(controller, worker, **options))
    assert text in error
    assert await controller.list_apps() == []
    assert worker.started == []


async def test_services_are_the_servers_to_fill_in(controller, worker):
    error = await failure(install(
        controller, worker, manifest=manifest(worker.kind, services=[{"id": "x"}])))
    assert "Services and service_ids fields are not allowed in the app manifest." in error


async def test_the_source_hash_is_verified(controller, worker):
    app = await install(controller, worker, source="one")
    same = manifest(worker.kind, source_hash=app.source_hash)
    await install(controller, worker, source="one", manifest=same)
    error = await failure(install(controller, worker, source="two", manifest=same))
    assert "App source code verification failed" in error


@pytest.mark.ours
@pytest.mark.parametrize("path", ["../escape", "/etc/passwd", "a/../../b"])
async def test_paths_that_leave_the_app(controller, worker, path):
    await failure(install(controller, worker, source=None, files=[
        {"path": path, "content": "x", "format": "text"}]))
    assert await controller.list_apps() == []


async def test_unknown_arguments(controller):
    assert "got an unexpected keyword argument" in await failure(controller.list_apps(bogus=1))
    assert "Missing required argument" in await failure(controller.start())


# --- overwriting ---------------------------------------------------------------------------

async def test_an_id_is_taken_once(controller, worker):
    name = fresh()
    assert (await install(controller, worker, app_id=name)).id == name
    error = await failure(install(controller, worker, app_id=name))
    assert f"'{name}' already exists" in error
    assert "FileExistsError" in error
    again = await install(controller, worker, app_id=name, overwrite=True,
                          manifest=manifest(worker.kind, description="second"))
    assert again.id == name and again.description == "second"
    assert [app["description"] for app in await controller.list_apps()] == ["second"]


@pytest.mark.ours
async def test_a_broken_overwrite_leaves_the_old_version_working(controller, serving_worker, api):
    name = fresh()
    await controller.install(source="v1", app_id=name, manifest=manifest(serving_worker.kind))
    before = await controller.get_app_info(name)
    session = await controller.start(name)
    for broken in (
        # The worker refuses to start it, although the old version is running.
        {"manifest": manifest(serving_worker.kind), "source": "v2"},
        {"manifest": manifest("no-such-type"), "source": "v2"},
        {"manifest": manifest(serving_worker.kind), "source": None,
         "files": [{"path": "x", "content": "%%%", "format": "base64"}]},
    ):
        serving_worker.fails_with = "the new version is broken"
        await failure(controller.install(app_id=name, overwrite=True, timeout=10, **broken))
        serving_worker.fails_with = None
    after = await controller.get_app_info(name)
    assert after["manifest"] == before["manifest"] and after["versions"] == before["versions"]
    assert await controller.read_file(name, "source") == "v1"
    assert session.id in [s["id"] for s in await controller.list_running()]
    assert await (await api.get_service(f"default@{name}")).echo("old") == "old"
    await controller.stop(session.id)
    await controller.start(name)


@pytest.mark.ours
async def test_versions_are_kept(controller, serving_worker, api):
    name = fresh()
    for label in ("one", "two"):
        await controller.install(
            source=label, app_id=name, version=label, overwrite=True,
            manifest=manifest(serving_worker.kind, version=label))
    info = await controller.get_app_info(name)
    assert [v["version"] for v in info["versions"]] == ["one", "two"]
    assert await controller.read_file(name, "source") == "two"
    assert await controller.read_file(name, "source", version="one") == "one"
    session = await controller.start(name, version="one")
    assert (await api.get_service(session.service_id.split("@")[0])).version == "one"
    await controller.stop(session.id)
    session = await controller.start(name)
    assert (await api.get_service(session.service_id.split("@")[0])).version == "two"


async def test_get_app_info(controller, worker, alice):
    app = await install(controller, worker)
    info = await controller.get_app_info(app.id)
    assert info["id"] == f"{alice.workspace}/{app.id}" and info["alias"] == app.id
    assert info["type"] == "application" and info["manifest"]["name"] == "An app"
    assert info["workspace"] == alice.workspace
    assert [v["version"] for v in info["versions"]] == ["v0"]
    json.dumps(info)
    assert "does not exist" in await failure(controller.get_app_info("no-such-app"))


async def test_uninstall(controller, worker):
    app = await install(controller, worker)
    session = await controller.start(app.id)
    await controller.uninstall(app.id)
    assert await controller.list_apps() == []
    await eventually(lambda: session.id in worker.stopped)
    assert await controller.list_running() == []
    assert "does not exist" in await failure(controller.uninstall(app.id))
    assert "does not exist" in await failure(controller.start(app.id))


# --- sessions ------------------------------------------------------------------------------

async def test_the_session_record(controller, serving_worker, alice):
    app = await controller.install(source="x", manifest=manifest(serving_worker.kind))
    session = await controller.start(app.id)
    assert session.id == session.session_id == f"{alice.workspace}/{session.client_id}"
    assert session.client_id.startswith("_rapp_") and session.client_id.endswith("__rlb")
    assert session.app_id == app.id and session.workspace == alice.workspace
    assert session.app_type == serving_worker.kind and session.name in ("An app", app.id)
    assert session.worker_id == serving_worker.id
    assert session.service_id == f"{session.id}:default@{app.id}"
    assert [s["id"] for s in session.services] == [f"{session.id}:default"]
    assert session.config["workspace"] == alice.workspace
    assert [s["id"] for s in await controller.list_running()] == [session.id]
    await controller.stop(session.id)
    assert await controller.list_running() == []
    assert serving_worker.stopped[-1] == session.id


async def test_what_a_worker_is_given(controller, worker, alice, server):
    app = await install(controller, worker, manifest=manifest(worker.kind, entry_point="source", x=None))
    session = await controller.start(app.id, additional_kwargs={"gpu": 1}, timeout=33)
    config = worker.started[-1]
    assert config["id"] == session.id and config["client_id"] == session.client_id
    assert config["app_id"] == app.id and config["workspace"] == alice.workspace
    assert config["artifact_id"] == f"{alice.workspace}/{app.id}"
    assert config["server_url"] == server.url
    assert config["app_files_base_url"].startswith(f"{server.url}/{alice.workspace}/artifacts/{app.id}")
    assert config["entry_point"] == "source" and config["timeout"] == 33 and config["gpu"] == 1
    assert config["manifest"]["name"] == "An app"
    assert config["token"]


async def test_the_sessions_token_is_bound_to_it(controller, worker, raw):
    app = await install(controller, worker)
    await controller.start(app.id)
    config = worker.started[-1]
    peer = await raw(token=config["token"], client_id=config["client_id"])
    assert peer.info["workspace"] == config["workspace"]
    assert "mismatch" in await failure(raw(token=config["token"], client_id="other"))


async def test_starting_again_gives_the_same_session(controller, serving_worker):
    app = await controller.install(source="x", manifest=manifest(serving_worker.kind))
    first = await controller.start(app.id)
    second = await controller.start(app.id)
    assert second.id == first.id and len(await controller.list_running()) == 1


@pytest.mark.ours
async def test_three_starts_at_once_give_one_session(controller, serving_worker):
    app = await controller.install(source="x", manifest=manifest(serving_worker.kind))
    runs = len(serving_worker.started)
    sessions = await asyncio.gather(*[controller.start(app.id) for _ in range(3)])
    assert len({session.id for session in sessions}) == 1
    assert len(serving_worker.started) == runs + 1
    assert len(await controller.list_running()) == 1


async def test_lazy_start(controller, serving_worker, api, alice):
    app = await controller.install(source="x", manifest=manifest(serving_worker.kind))
    assert await controller.list_running() == []
    service = await api.get_service(f"default@{app.id}")
    assert await service.echo("lazy") == "lazy"
    session, = await controller.list_running()
    assert session["app_id"] == app.id
    again = await api.get_service(f"{alice.workspace}/default@{app.id}")
    assert await again.who() == session["id"]


@pytest.mark.ours
async def test_three_lazy_starts_at_once(controller, serving_worker, api):
    app = await controller.install(source="x", manifest=manifest(serving_worker.kind))
    services = await asyncio.gather(*[api.get_service(f"default@{app.id}") for _ in range(3)])
    assert len({await service.who() for service in services}) == 1
    assert len(await controller.list_running()) == 1


async def test_lazy_start_of_what_is_not_there(controller, serving_worker, api, alice):
    app = await controller.install(source="x", manifest=manifest(serving_worker.kind))
    error = await failure(api.get_service(f"nothing@{app.id}"))
    assert "not found in application" in error and app.id in error
    error = await failure(api.get_service("default@no-such-app"))
    assert f"not found in workspace {alice.workspace}" in error and "no-such-app" in error
    assert await controller.list_running() == []


@pytest.mark.ours
async def test_stop_after_inactive(controller, serving_worker, api):
    app = await controller.install(
        source="x", manifest=manifest(serving_worker.kind), stop_after_inactive=2)
    session = await controller.start(app.id)
    service = await api.get_service(f"default@{app.id}")
    for _ in range(6):  # in use for 3 s: it stays
        await asyncio.sleep(0.5)
        await service.echo(1)
    assert [s["id"] for s in await controller.list_running()] == [session.id]

    async def stopped():
        return await controller.list_running() == []

    await eventually(stopped, 10)
    await eventually(lambda: session.id in serving_worker.stopped)


async def test_stop_of_what_is_not_running(controller, alice):
    gone = f"{alice.workspace}/_rapp_nobody__rlb"
    assert f"Server app instance not found: {gone}" in await failure(controller.stop(gone))
    assert await controller.stop(gone, raise_exception=False) is None
    assert f"Server app instance not found: {gone}" in await failure(controller.get_logs(gone))
    assert f"Session not found: {gone}" in await failure(controller.get_session_info(gone))


async def test_logs(controller, worker):
    app = await install(controller, worker)
    session = await controller.start(app.id)
    worker.logs[session.id] += ["two", "three"]
    logs = await controller.get_logs(session.id)
    assert [item["content"] for item in logs["items"]] == ["started", "two", "three"]
    assert logs["total"] == 3 and logs["offset"] == 0 and logs["limit"] is None


async def test_session_info(controller, serving_worker):
    app = await controller.install(source="x", manifest=manifest(serving_worker.kind))
    session = await controller.start(app.id)
    info = await controller.get_session_info(session.id)
    assert info["id"] == session.id and info["app_id"] == app.id
    assert info["worker_id"] == serving_worker.id


@pytest.mark.ours
async def test_session_info_has_status_and_history(controller, serving_worker):
    app = await controller.install(source="x", manifest=manifest(serving_worker.kind))
    session = await controller.start(app.id)
    info = await controller.get_session_info(session.id)
    assert info["status"] == "running" and info["history"] == []


# --- starts that fail ----------------------------------------------------------------------

async def test_a_start_that_fails_tells_why(controller, worker):
    app = await install(controller, worker)
    worker.fails_with = "no fuel"
    error = await failure_text(controller.start(app.id))
    assert f"Failed to start app '{app.id}', error: " in error and "no fuel" in error
    assert await controller.list_running() == []


async def test_a_service_that_never_comes(controller, worker):
    app = await install(controller, worker)
    error = await failure_text(controller.start(app.id, wait_for_service="never", timeout=2))
    assert "Application startup timed out" in error
    assert worker.started[-1]["id"] in worker.stopped
    assert await controller.list_running() == []


@pytest.mark.ours
async def test_one_deadline_for_the_whole_start(controller, worker):
    app = await install(controller, worker)
    began = asyncio.get_running_loop().time()
    await failure(controller.start(app.id, wait_for_service="never", timeout=2))
    assert asyncio.get_running_loop().time() - began < 3.5


@pytest.mark.ours
async def test_tokens_do_not_leak(controller, worker):
    app = await install(controller, worker)
    worker.fails_with = "nothing but trouble"
    texts = [await failure_text(controller.start(app.id))]
    token = worker.started[-1]["token"]
    worker.fails_with = None
    session = await controller.start(app.id)
    texts += [str(await controller.get_session_info(session.id)), str(await controller.list_running()),
              str(await controller.list_apps()), str(await controller.get_app_info(app.id))]
    for secret in (token, worker.started[-1]["token"]):
        assert not any(secret in text for text in texts)


# --- who may -------------------------------------------------------------------------------

async def test_anonymous_users_install_nothing(connect):
    controller = await (await connect()).get_service("public/server-apps")
    error = await failure(controller.install(source=SOURCE, manifest=manifest("web-worker")))
    assert "Anonymous users cannot install apps" in error


async def test_a_read_only_token_installs_nothing(api, connect, alice, worker):
    token = await api.generate_token({"permission": "read"})
    reader = await connect(token=token, workspace=alice.workspace)
    controller = await reader.get_service("public/server-apps")
    error = await failure(install(controller, worker))
    assert f"does not have permission to install apps in workspace {alice.workspace}" in error


async def test_a_second_user(connect, controller, serving_worker, alice, bob):
    app = await controller.install(source="x", manifest=manifest(serving_worker.kind))
    session = await controller.start(app.id)
    stranger = await connect(bob)
    theirs = await stranger.get_service("public/server-apps")
    assert await theirs.list_apps() == [] and await theirs.list_running() == []
    for call in (theirs.stop(session.id), theirs.get_logs(session.id),
                 theirs.get_session_info(session.id)):
        assert "ermission" in await failure(call)
    for call in (theirs.start(app.id), theirs.uninstall(app.id), theirs.read_file(app.id, "source"),
                 theirs.start(f"{alice.workspace}/{app.id}"),
                 theirs.uninstall(f"{alice.workspace}/{app.id}"),
                 theirs.get_app_info(f"{alice.workspace}/{app.id}"),
                 theirs.install(source="x", manifest=manifest("web-worker"), workspace=alice.workspace),
                 stranger.get_service(f"{alice.workspace}/default@{app.id}")):
        await failure(call)
    assert [s["id"] for s in await controller.list_running()] == [session.id]
    assert len(await controller.list_apps()) == 1


@pytest.mark.ours
async def test_a_stranger_starts_nothing_lazily(connect, controller, serving_worker, alice, bob):
    app = await controller.install(source="x", manifest=manifest(serving_worker.kind))
    runs = len(serving_worker.started)
    for stranger in (await connect(bob), await connect()):
        await failure(stranger.get_service(f"{alice.workspace}/default@{app.id}"))
    assert len(serving_worker.started) == runs and await controller.list_running() == []


async def test_app_ids_are_per_workspace(connect, controller, worker, server, bob):
    other = await connect(bob)
    theirs = await other.get_service("public/server-apps")
    their_worker = await RecordingWorker(server).register(other)
    name = fresh()
    await install(controller, worker, app_id=name)
    await install(theirs, their_worker, app_id=name)
    session, their_session = await controller.start(name), await theirs.start(name)
    assert session.id != their_session.id
    await theirs.stop(their_session.id)
    assert [s["id"] for s in await controller.list_running()] == [session.id]
