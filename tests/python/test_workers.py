"""Workers that are registered from Python: the guide's own, selection, loss."""

import asyncio
import uuid

import pytest

import seed_worker
from fakes import RecordingWorker
from harness import eventually, failure, failure_text


def manifest(kind):
    return {"name": "An app", "type": kind, "version": "1.0.0"}


async def install(controller, kind, **more):
    return await controller.install(
        source="whatever", manifest=manifest(kind), wait_for_service=False, **more)


# --- the guide's worker, word for word -----------------------------------------------------

class WithId:
    """A client that gives services an id, which the guide's registration leaves to its host."""

    def __init__(self, client):
        self.client = client

    async def register_service(self, service):
        return await self.client.register_service({"id": "custom-worker", **service})


@pytest.fixture
async def seed(connect, alice):
    """The guide's module with its worker registered by a client of its own, all state fresh."""
    seed_worker.worker_sessions.clear()
    client = await connect(alice)
    await seed_worker.hypha_startup(WithId(client))
    yield seed_worker
    seed_worker.worker_sessions.clear()


@pytest.mark.ours
async def test_the_guides_worker_without_detaching(controller, seed):
    """As the guide prints it: nobody says what to wait for, and the worker offers no service."""
    app_info = await controller.install(
        source="print('hello')",
        manifest={"name": "My Custom App", "type": "my-custom-type", "version": "1.0.0",
                  "entry_point": "main.ext"})
    session = await controller.start(app_info.id)
    assert [s["id"] for s in await controller.list_running()] == [session.id]
    assert seed.worker_sessions[session.id]["status"] == "running"


@pytest.mark.ours
async def test_the_guides_worker(controller, api, seed, alice):
    app_info = await controller.install(
        source="print('hello')",
        manifest={"name": "My Custom App", "type": "my-custom-type", "version": "1.0.0",
                  "entry_point": "main.ext"},
        wait_for_service=False)
    session = await controller.start(app_info.id)
    kept = seed.worker_sessions[session.id]
    assert kept["app_id"] == app_info.id and kept["workspace"] == alice.workspace
    assert kept["client_id"] == session.client_id and kept["status"] == "running"
    assert kept["app_type"] == "my-custom-type"
    assert [s["id"] for s in await controller.list_running()] == [session.id]

    worker = await api.get_service(session.worker_id)
    result = await worker.execute(session.id, "print('Executing directly on the worker!')",
                                  config={"timeout": 30.0})
    assert result["status"] == "ok" and result["error"] is None
    assert result["outputs"][0]["text"].startswith("Executed script: print('Executing")

    # The guide's get_logs reads a map of lists, its start leaves a list: get_logs fails in the
    # worker, and that error must come through as it is.
    assert "'list' object has no attribute 'items'" in await failure(controller.get_logs(session.id))
    lines, kept["logs"] = kept["logs"], {"info": kept["logs"]}
    logs = await controller.get_logs(session.id)
    assert [item["content"] for item in logs["items"]] == [f"Custom session {session.id} started"]
    assert await controller.get_logs(session.id, type="error") == {
        "items": [], "total": 0, "offset": 0, "limit": None}
    kept["logs"] = lines

    await controller.stop(session.id)
    assert kept["status"] == "stopped"
    assert await controller.list_running() == []
    await controller.uninstall(app_info.id)


# --- contract ------------------------------------------------------------------------------

@pytest.mark.parametrize("visibility", [
    "public", pytest.param("unlisted", marks=pytest.mark.ours),
    pytest.param("protected", marks=pytest.mark.ours)])
async def test_workers_of_every_visibility(controller, api, server, visibility):
    worker = await RecordingWorker(server).register(api, visibility)
    app = await install(controller, worker.kind)
    session = await controller.start(app.id)
    await controller.stop(session.id)
    assert session.id in worker.stopped


@pytest.mark.ours
async def test_a_worker_with_context_is_told_who_starts(controller, api, alice):
    contexts = []

    async def start(config, context):
        contexts.append(context)
        return config["id"]

    kind = f"kind-{uuid.uuid4().hex[:8]}"
    await api.register_service({
        "id": "with-context", "type": "server-app-worker", "supported_types": [kind],
        "config": {"visibility": "protected", "require_context": True}, "start": start,
        "stop": lambda session_id, context: None,
        "get_logs": lambda session_id, **more: {"items": [], "total": 0, "offset": 0, "limit": None}})
    app = await install(controller, kind)
    await controller.start(app.id)
    assert contexts[-1]["ws"] == alice.workspace
    assert contexts[-1]["user"]["id"] == alice.id


@pytest.mark.ours
async def test_a_worker_that_is_done_at_once(controller, api):
    """Scripts run to their end: `completed` ends the wait although no service appeared."""
    kind = f"kind-{uuid.uuid4().hex[:8]}"
    await api.register_service({
        "id": "script-runner", "type": "server-app-worker", "supported_types": [kind],
        "start": lambda config: {"session_id": config["id"], "status": "completed"},
        "stop": lambda session_id: None,
        "get_logs": lambda session_id: {"stdout": ["the result is 84"]}})
    app = await controller.install(source="x", manifest=manifest(kind), timeout=20)
    session = await controller.start(app.id)
    logs = await controller.get_logs(session.id)
    assert [(i["type"], i["content"]) for i in logs["items"]] == [("stdout", "the result is 84")]


async def test_list_workers(controller, worker):
    workers = {w["id"]: w for w in await controller.list_workers()}
    mine = workers[worker.id]
    assert mine["supported_types"] == [worker.kind] and mine["name"] == "Recording Worker"
    assert mine["description"] == "For tests" and mine["disabled"] is False
    browsers = [w for w in workers.values() if "web-worker" in w["supported_types"]]
    assert browsers and browsers[0]["id"].startswith("public/")
    only = await controller.list_workers(worker.kind)
    assert [w["id"] for w in only] == [worker.id]


async def test_selection(controller, api, connect, alice, server):
    one = await RecordingWorker(server).register(api)
    two = RecordingWorker(server)
    two.kind = one.kind
    await two.register(await connect(alice))
    app = await install(controller, one.kind)
    session = await controller.start(app.id, worker_id=two.id)
    assert session.worker_id == two.id and two.started[-1]["id"] == session.id
    await controller.stop(session.id)
    session = await controller.start(app.id, worker_selection_mode="first")
    assert session.worker_id in (one.id, two.id)
    await controller.stop(session.id)
    error = await failure_text(controller.start(app.id, worker_selection_mode="exact"))
    assert f"Multiple workers found for app_type {one.kind}, but mode is 'exact'" in error
    error = await failure_text(controller.start(app.id, worker_selection_mode="worst"))
    assert "Invalid selection mode: worst" in error


async def test_a_worker_of_the_wrong_kind(controller, api, worker, server):
    other = await RecordingWorker(server).register(api)
    app = await install(controller, worker.kind)
    error = await failure_text(controller.start(app.id, worker_id=other.id))
    assert f"does not support app type '{worker.kind}'" in error


# --- loss ----------------------------------------------------------------------------------

async def test_a_worker_that_disconnects_loses_its_sessions(controller, connect, alice, server):
    client = await connect(alice)
    worker = await RecordingWorker(server).register(client)
    app = await install(controller, worker.kind)
    session = await controller.start(app.id)
    assert [s["id"] for s in await controller.list_running()] == [session.id]
    await client.disconnect()

    async def gone():
        return await controller.list_running() == []

    await eventually(gone, 5)
    assert "No server app worker found" in await failure_text(controller.start(app.id))


@pytest.mark.ours
async def test_a_worker_whose_connection_is_cut(controller, connect, alice, server):
    """No goodbye at all: the socket just ends. Its process does not come back."""
    client = await connect(alice)
    worker = await RecordingWorker(server).register(client)
    app = await install(controller, worker.kind)
    await controller.start(app.id)
    client.rpc._connection._closed = True  # keeps the client library from reconnecting
    client.rpc._connection._websocket.transport.abort()

    async def gone():
        return await controller.list_running() == []

    await eventually(gone, 5)


async def test_a_session_whose_client_disconnects(controller, serving_worker):
    app = await controller.install(source="x", manifest=manifest(serving_worker.kind))
    session = await controller.start(app.id)
    await serving_worker.sessions[session.id].disconnect()

    async def gone():
        return session.id not in [s["id"] for s in await controller.list_running()]

    await eventually(gone, 10)


@pytest.mark.ours
async def test_a_worker_that_never_answers_holds_nothing_up(controller, connect, alice, server):
    """Its start runs into the deadline; other apps start meanwhile."""
    client = await connect(alice)
    stuck = RecordingWorker(server)

    async def start(config, context=None):
        await asyncio.sleep(3600)

    stuck.start = start
    await stuck.register(client)
    quick = await RecordingWorker(server).register(await connect(alice))
    app = await install(controller, quick.kind)
    stuck_install = asyncio.ensure_future(install(controller, stuck.kind, timeout=4))
    session = await asyncio.wait_for(controller.start(app.id), 3)
    await controller.stop(session.id)
    assert "timed out" in await failure_text(asyncio.wait_for(stuck_install, 20))


# --- choosing by asking --------------------------------------------------------------------

@pytest.mark.ours
@pytest.mark.parametrize("mode, chosen", [
    ("select:min:load", 1), ("select:max:load", 0), ("select:first_success:only_second", 1),
])
async def test_workers_are_asked_for_their_opinion(controller, server, connect, alice, mode, chosen):
    """The question is asked in the name of whoever starts; functions of the contract are no questions."""
    workers, askers = [], []
    for load in (3, 1):
        api = await connect(alice)
        worker = RecordingWorker(server)
        worker.kind = workers[0].kind if workers else worker.kind

        def answer(load=load, context=None):
            askers.append(context["user"]["id"])
            return load

        functions = {"load": answer, **({"only_second": answer} if load == 1 else {})}
        info = await api.register_service({
            "id": f"worker-{load}", "type": "server-app-worker", "supported_types": [worker.kind],
            "config": {"require_context": list(functions)}, "start": worker.start, "stop": worker.stop,
            "get_logs": worker.get_logs, **functions})
        worker.id = info["id"]
        workers.append(worker)
    app = await install(controller, workers[0].kind, worker_selection_mode=mode)
    assert [len(worker.started) for worker in workers] == [int(i == chosen) for i in (0, 1)]
    assert set(askers) == {alice.id}
    stopped = list(workers[0].stopped + workers[1].stopped)
    await controller.start(app.id, worker_selection_mode="select:min:stop", wait_for_service=False)
    assert workers[0].stopped + workers[1].stopped == stopped


# --- workers that apps offer ---------------------------------------------------------------

@pytest.fixture
async def offering(controller, serving_worker):
    """An app that offers a worker for a type of its own, once it runs."""
    kind = f"offered-{uuid.uuid4().hex[:8]}"
    inner = {}

    async def start(config):
        inner[config["id"]] = config
        return config["id"]

    async def stop(session_id):
        inner.pop(session_id, None)

    async def get_logs(session_id, type=None, offset=0, limit=None):
        return {"items": [], "total": 0, "offset": offset, "limit": limit}

    serve = serving_worker.serve

    async def serve_worker(config):
        await serve(config)
        await serving_worker.sessions[config["id"]].register_service({
            "id": "inner-worker", "name": "Inner", "description": "Of an app", "type": "server-app-worker",
            "config": {"visibility": "protected"}, "supported_types": [kind],
            "start": start, "stop": stop, "get_logs": get_logs})

    serving_worker.serve = serve_worker
    app = await controller.install(source="x", manifest=manifest(serving_worker.kind), wait_for_service="inner-worker")
    app.kind, app.inner = kind, inner
    return app


@pytest.mark.ours
async def test_a_worker_that_an_app_offers_is_started_when_it_is_needed(controller, offering, alice):
    assert await controller.list_running() == []
    [listed] = await controller.list_workers(app_type=offering.kind)
    dormant = f"{alice.workspace}/*:inner-worker@{offering.id}"
    assert listed == {"id": dormant, "name": "Inner", "description": "Of an app",
                      "supported_types": [offering.kind], "disabled": False}
    app = await install(controller, offering.kind)
    # It runs since the install; running, it hides what the manifest offers.
    [listed] = await controller.list_workers(app_type=offering.kind)
    assert listed["id"].startswith(f"{alice.workspace}/_rapp_")
    session = await controller.start(app.id)
    assert session["worker_id"] == listed["id"] and list(offering.inner) == [session["id"]]
    await controller.stop_all()
    session = await controller.start(app.id, worker_id=dormant)
    running = {s["app_id"] for s in await controller.list_running()}
    assert running == {app.id, offering.id} and list(offering.inner) == [session["id"]]
    wrong = await failure_text(install(controller, "window", worker_id=f"{alice.workspace}/*:nothing@{offering.id}"))
    assert "not found" in wrong


@pytest.mark.ours
async def test_an_app_that_works_for_others_is_not_idle(controller, offering):
    await controller.edit_app(offering.id, startup_config={"stop_after_inactive": 1, "wait_for_service": "inner-worker"})
    await controller.commit_app(offering.id)
    app = await install(controller, offering.kind)
    session = await controller.start(app.id, stop_after_inactive=0)
    await asyncio.sleep(3)
    running = {s["app_id"] for s in await controller.list_running()}
    assert running == {app.id, offering.id}
    await controller.stop(session["id"])

    async def asleep():
        return await controller.list_running() == []
    await eventually(asleep, 10, what="without work it stops")


@pytest.mark.ours
async def test_three_starts_wake_one_worker(controller, offering):
    apps = [await install(controller, offering.kind) for _ in range(3)]
    await controller.stop_all()
    sessions = await asyncio.gather(*(controller.start(app.id) for app in apps))
    assert len({session["worker_id"] for session in sessions}) == 1
    assert len([s for s in await controller.list_running() if s["app_id"] == offering.id]) == 1


# --- who may switch workers off ------------------------------------------------------------

@pytest.mark.ours
async def test_strangers_switch_no_workers_off(controller, connect, worker, alice, bob):
    """By the rights in the worker's own workspace, not in the caller's."""
    app = await install(controller, worker.kind)
    session = await controller.start(app.id)
    stranger = await (await connect(bob)).get_service("public/server-apps")
    reader = await (await connect(token=bob.token("r", workspace=alice.workspace))).get_service("public/server-apps")
    builtin = next(w["id"] for w in await controller.list_workers() if w["id"].startswith("public/"))
    for who, target in ((stranger, worker.id), (reader, worker.id), (stranger, builtin), (controller, builtin)):
        for disabled in (True, False):
            assert "permission" in (await failure_text(who.edit_worker(target, disabled=disabled))).lower()
    [listed] = await controller.list_workers(app_type=worker.kind)
    assert listed["disabled"] is False
    assert [s["id"] for s in await controller.list_running()] == [session["id"]]
    # A worker of the stranger's own with the same name changes nothing here.
    client, service = worker.id.split("/")[1].split(":")
    assert "not found" in await failure_text(stranger.edit_worker(f"{client}:{service}", disabled=True))
    [listed] = await controller.list_workers(app_type=worker.kind)
    assert listed["disabled"] is False
