"""The lives of sessions: daemons, singletons, idleness, crashes, what is kept of them, their logs."""

import asyncio
import os
import signal
import time

import httpx
import pytest

from fakes import RecordingWorker
from harness import User, descendants, eventually, failure, failure_text, leave_waiting
from hypha_rpc import connect_to_server

pytestmark = pytest.mark.ours


def manifest(kind, **more):
    return {"name": "An app", "type": kind, "version": "1.0.0", **more}


async def install(controller, worker, **more):
    given = manifest(worker.kind, **more.pop("fields", {}))
    options = {"source": "x", "manifest": given, "wait_for_service": False}
    return await controller.install(**{**options, **more})


class Owner:
    """Alice on a server of the test's own, with a recording worker of a fixed type."""

    def __init__(self, server, serving=False):
        self.server, self.serving = server, serving
        self.user, self.kind = User(server, "alice"), None

    async def connect(self):
        self.api = await connect_to_server({"server_url": self.server.url, "token": self.user.token()})
        self.controller = await self.api.get_service("public/server-apps")
        return self

    async def work(self):
        self.worker = RecordingWorker(self.server, serving=self.serving)
        self.kind = self.worker.kind = self.kind or self.worker.kind
        await self.worker.register(self.api)
        return self.worker

    async def leave(self):
        try:
            await self.worker.close()
            await self.api.disconnect()
        except Exception:  # the server may be dead
            pass


@pytest.fixture
async def owner(crashable):
    """An owner on a server that may be killed."""
    server = crashable()
    server.start()
    owner = await Owner(server).connect()
    await owner.work()
    yield owner
    await owner.leave()


async def reborn(owner):
    """kill -9 of the server, and a new connection after its start."""
    owner.server.kill()
    await owner.leave()
    owner.server.start()
    return await owner.connect()


async def only_running(controller, app_id):
    async def one():
        running = [s for s in await controller.list_running() if s["app_id"] == app_id]
        return running if len(running) == 1 and running[0]["status"] == "running" else None
    return (await eventually(one, 15, what=f"one session of {app_id} runs"))[0]


# --- sharing -------------------------------------------------------------------------------

async def test_a_start_joins_the_running_session(controller, worker):
    app = await install(controller, worker)
    first, second = await asyncio.gather(controller.start(app.id), controller.launch(app.id))
    assert first["id"] == second["id"] and len(worker.started) == 2


async def test_a_daemon_gets_a_new_instance_with_each_start_and_a_singleton_never(controller, worker):
    daemon = await install(controller, worker, fields={"daemon": True})
    one, two = await controller.start(daemon.id), await controller.start(daemon.id)
    assert one["id"] != two["id"] and one["daemon"] is True
    single = await install(controller, worker, fields={"daemon": True, "singleton": True})
    one, two = await controller.start(single.id), await controller.start(single.id)
    assert one["id"] == two["id"]


async def test_a_detached_start_answers_without_a_service(controller, worker):
    app = await install(controller, worker, fields={"detached": True}, wait_for_service=None)
    session = await controller.start(app.id)
    assert "service_id" not in session and session["services"] == []
    info = await controller.get_session_info(session["id"])
    assert info["status"] == "running"


async def test_stop_all_and_restart(controller, worker):
    one, two = await install(controller, worker), await install(controller, worker)
    a, b = await controller.start(one.id), await controller.start(two.id)
    fresh = await controller.restart(a["id"])
    assert fresh["id"] != a["id"] and a["id"] in worker.stopped
    assert await controller.stop_all(app_id=one.id) == [fresh["id"]]
    assert await controller.stop_all() == [b["id"]]
    assert await controller.list_running() == [] and await controller.stop_all() == []
    assert "not found" in await failure(controller.restart(a["id"]))
    status = await controller.get_server_status()
    assert (status["apps"], status["sessions"]) == (2, 0)


# --- idleness ------------------------------------------------------------------------------

async def test_an_idle_session_stops(controller, serving_worker):
    app = await controller.install(source="x", manifest=manifest(serving_worker.kind))
    session = await controller.start(app.id, stop_after_inactive=1)

    async def stopped():
        info = await controller.get_session_info(session["id"])
        return info["status"] == "stopped" and info
    info = await eventually(stopped, 8)
    assert info["states"][-1]["status"] == "stopped"
    assert "inactive" in [state["cause"] for state in info["states"]]


async def test_work_in_flight_keeps_a_session_alive(connect, alice, controller, serving_worker):
    async def slow(seconds):
        await asyncio.sleep(seconds)
        return "done"

    serving_worker.extra = {"slow": slow}
    app = await controller.install(source="x", manifest=manifest(serving_worker.kind))
    session = await controller.start(app.id, stop_after_inactive=1)
    api = await connect(alice)
    service = await api.get_service(session["service_id"])
    # One call, silent for several times the idle limit.
    assert await service.slow(4) == "done"
    assert (await controller.get_session_info(session["id"]))["status"] == "running"

    async def stopped():
        return (await controller.get_session_info(session["id"]))["status"] == "stopped"
    await eventually(stopped, 8, what="idle again, it stops")


# --- lazy starts ---------------------------------------------------------------------------

async def test_many_callers_cause_one_lazy_start(connect, alice, controller, serving_worker):
    app = await controller.install(source="x", manifest=manifest(serving_worker.kind))
    before = len(serving_worker.started)
    api = await connect(alice)
    services = await asyncio.gather(*(api.get_service(f"default@{app.id}") for _ in range(20)))
    assert len({service["id"] for service in services}) == 1
    assert len(serving_worker.started) == before + 1
    assert await services[0].echo("x") == "x"


async def test_an_app_that_does_not_start_is_left_alone_for_a_while(connect, alice, controller, serving_worker):
    app = await controller.install(source="x", manifest=manifest(serving_worker.kind))
    serving_worker.fails_with = "no luck"
    api = await connect(alice)
    for _ in range(5):
        assert "no luck" in await failure_text(api.get_service(f"default@{app.id}"))
    tried = len(serving_worker.started)
    assert "try later" in await failure(api.get_service(f"default@{app.id}"))
    assert len(serving_worker.started) == tried
    # A start by hand is not held back, and a new version starts with a clean slate.
    serving_worker.fails_with = None
    await controller.stop((await controller.start(app.id))["id"])
    await controller.install(source="y", manifest=manifest(serving_worker.kind), app_id=app.id, overwrite=True)
    service = await api.get_service(f"default@{app.id}")
    assert await service.echo(1) == 1


async def test_services_of_a_later_start_land_in_a_silent_manifest(controller, serving_worker, alice):
    serving_worker.serving = False
    app = await install(controller, serving_worker)
    assert app.services == []
    serving_worker.serving = True
    await controller.start(app.id, wait_for_service="default")

    async def noted():
        [listed] = await controller.list_apps()
        return [service["id"] for service in listed["services"]]
    assert await eventually(noted, 5) == [f"{alice.workspace}/*:default"]
    assert len(await controller.list_versions(app.id)) == 1


# --- workers -------------------------------------------------------------------------------

async def test_a_disabled_worker_is_not_chosen(controller, worker):
    app = await install(controller, worker)
    session = await controller.start(app.id)
    await controller.edit_worker(worker.id, disabled=True)
    assert session["id"] in worker.stopped and await controller.list_running() == []
    assert [w["disabled"] for w in await controller.list_workers(app_type=worker.kind)] == [True]
    assert "No server app worker found" in await failure_text(controller.start(app.id))
    named = await failure_text(controller.start(app.id, worker_id=worker.id))
    assert f"Worker with ID '{worker.id}' is disabled" in named
    await controller.edit_worker(worker.id, disabled=False)
    await controller.start(app.id)
    assert "not found" in await failure(controller.edit_worker("nobody:worker", disabled=True))


async def test_sessions_end_with_their_worker(connect, alice, controller, server):
    api = await connect(alice)
    worker = await RecordingWorker(server).register(api)
    app = await install(controller, worker)
    session = await controller.start(app.id)
    await api.disconnect()

    async def lost():
        info = await controller.get_session_info(session["id"])
        return info["status"] == "failed" and info
    info = await eventually(lost, 5)
    assert info["states"][-1]["cause"] == "the worker disconnected"
    assert await controller.list_running() == []


async def test_a_daemon_comes_back_when_its_worker_does(connect, alice, controller, server):
    api = await connect(alice)
    worker = await RecordingWorker(server).register(api)
    app = await install(controller, worker, fields={"daemon": True})
    first = await controller.start(app.id)
    await api.disconnect()
    await eventually(lambda: gone(controller), 5)
    again = RecordingWorker(server)
    again.kind = worker.kind
    await again.register(await connect(alice))
    second = await only_running(controller, app.id)
    assert second["id"] != first["id"]
    # Stopped on purpose it stays down.
    await controller.stop(second["id"])
    await again.api.unregister_service(again.id)
    await again.register(again.api)
    await eventually(lambda: workers_there(controller, again.kind), 5)
    assert await controller.list_running() == []


async def gone(controller):
    return await controller.list_running() == []


async def workers_there(controller, kind):
    return await controller.list_workers(app_type=kind)


# --- the server dies -----------------------------------------------------------------------

async def test_daemons_are_back_after_kill_9(owner):
    daemon = await install(owner.controller, owner.worker, fields={"daemon": True})
    plain = await install(owner.controller, owner.worker)
    disabled = await install(owner.controller, owner.worker, fields={"daemon": True})
    for app in (daemon, plain):
        await owner.controller.start(app.id)
    await owner.controller.edit_app(disabled.id, disabled=True)
    await reborn(owner)
    # Its worker is a client that has yet to come back.
    worker = await owner.work()
    session = await only_running(owner.controller, daemon.id)
    assert [config["app_id"] for config in worker.started] == [daemon.id]
    assert (await owner.controller.get_session_info(session["id"]))["user"] == {"id": owner.user.id}


async def test_what_happened_to_sessions_is_told_after_kill_9(owner):
    app = await install(owner.controller, owner.worker)
    stopped = await owner.controller.start(app.id)
    owner.worker.logs[stopped["id"]].append("the last words")
    await owner.controller.stop(stopped["id"])
    running = await owner.controller.start(app.id)

    async def stored():
        listed = await owner.controller.list_sessions(include_stopped=True)
        return len(listed) == 2
    await eventually(stored, 5)
    # The journal writes behind the calls; asking for the ended ones waits for it.
    await reborn(owner)
    controller = owner.controller
    info = await controller.get_session_info(stopped["id"])
    assert (info["status"], info["app_id"], info["restarts"]) == ("stopped", app.id, 0)
    assert info["last_logs"] == ["started", "the last words"]
    assert [state["status"] for state in info["states"]][-2:] == ["stopping", "stopped"]
    assert "stopped by call" in [state["cause"] for state in info["states"]]
    logs = await controller.get_logs(stopped["id"], offset=1)
    assert logs == {"items": [{"type": "info", "content": "the last words"}], "total": 2, "offset": 1, "limit": None}
    info = await controller.get_session_info(running["id"])
    assert info["status"] == "failed" and info["last_error"] == "the server ended unexpectedly"
    ended = await controller.list_sessions(app_id=app.id, include_stopped=True)
    assert [s["id"] for s in ended] == [stopped["id"], running["id"]]
    assert await controller.list_sessions() == []
    assert "is stopped" in await failure(controller.execute(stopped["id"], "1"))


async def test_an_orderly_stop_is_told_as_such(owner):
    app = await install(owner.controller, owner.worker, fields={"daemon": True})
    session = await owner.controller.start(app.id)
    # The worker must answer while the server stops it.
    code = await asyncio.get_running_loop().run_in_executor(None, owner.server.stop)
    assert code == 0
    await owner.leave()
    owner.server.start()
    await owner.connect()
    info = await owner.controller.get_session_info(session["id"])
    assert info["status"] == "stopped" and "the server is stopping" in [s["cause"] for s in info["states"]]


async def test_only_the_last_twenty_sessions_of_an_app_are_kept(controller, worker):
    app = await install(controller, worker)
    ids = []
    for _ in range(23):
        session = await controller.start(app.id)
        ids.append(session["id"])
        await controller.stop(session["id"])
    kept = await controller.list_sessions(app_id=app.id, include_stopped=True)
    assert [s["id"] for s in kept] == ids[-20:]
    assert "Session not found" in await failure(controller.get_session_info(ids[0]))


# --- crashes -------------------------------------------------------------------------------

def renderers(server):
    return [pid for pid, command in descendants(server.pid)
            if "--type=renderer" in command and "chrom" in command.split()[0]]


SOURCE = "api.export({version: () => 'VERSION'})"


async def test_a_new_version_that_only_crashes_gives_way_to_the_one_before(crashable):
    server = crashable()
    server.start()
    owner = await Owner(server).connect()
    controller = owner.controller
    web = manifest("web-worker")
    app = await controller.install(source=SOURCE.replace("VERSION", "old"), manifest=web)
    await controller.install(source=SOURCE.replace("VERSION", "new"), manifest=web,
                             app_id=app.id, overwrite=True)
    events = []
    await owner.api.subscribe(["app_rolled_back"])
    owner.api.on("app_rolled_back", lambda event: events.append(event["data"]))
    session = await controller.start(app.id)
    killed, deadline = set(), time.monotonic() + 90
    while not events:
        assert time.monotonic() < deadline, "it was not rolled back"
        # A page that is only being opened is left alone: Chromium waits long for its renderer.
        if (await controller.get_session_info(session["id"]))["status"] == "running":
            for pid in set(renderers(server)) - killed:
                try:
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
                except ProcessLookupError:
                    pass
        await asyncio.sleep(0.2)
    assert (events[0]["app_id"], events[0]["from_version"], events[0]["to_version"]) == (app.id, "v1", "v0")
    assert "keeps crashing" in events[0]["cause"] and len(killed) >= 5
    [old, new] = await controller.list_versions(app.id)
    assert old["current"] and not new["current"] and "keeps crashing" in new["failed"]
    service = await owner.api.get_service(f"default@{app.id}")
    assert await service.version() == "old"
    info = await controller.get_session_info(session["id"])
    assert info["restarts"] >= 5 and len(info["history"]) >= 5
    assert "app rolled back" in server.tail(400)
    # A version that somebody chooses again gets another chance.
    assert await controller.rollback(app.id, version="v1") == "v1"
    assert [v["failed"] for v in await controller.list_versions(app.id)] == [None, None]
    await owner.api.disconnect()


async def test_a_new_version_that_does_not_start_gives_way_as_well(controller, worker):
    """It passed its trial, and then six starts in a row fail."""
    app = await install(controller, worker)
    await install(controller, worker, app_id=app.id, overwrite=True)
    assert (await controller.get_app_info(app.id))["current_version"] == "v1"
    worker.fails_with = "no luck"
    for _ in range(5):
        assert "no luck" in await failure_text(controller.start(app.id))
    # Starts that were asked for in a way of their own tell nothing of the version.
    assert "no luck" in await failure_text(controller.start(app.id, wait_for_service="another"))
    assert "no luck" in await failure_text(controller.start(app.id, worker_id=worker.id))
    assert (await controller.get_app_info(app.id))["current_version"] == "v1"
    assert "no luck" in await failure_text(controller.start(app.id))

    async def back():
        return (await controller.get_app_info(app.id))["current_version"] == "v0"
    await eventually(back, 10)
    [_, second] = await controller.list_versions(app.id)
    assert "version v1 does not start" in str(second)
    worker.fails_with = None
    await controller.start(app.id)
    assert worker.started[-1]["version"] == "v0"


# --- clients that leave --------------------------------------------------------------------

async def test_an_install_whose_client_leaves_is_done_all_the_same(raw, alice, api, controller, serving_worker):
    """The trial goes on to its end: the app is there, and nothing of the trial stays behind."""
    go = asyncio.Event()
    serve = serving_worker.serve

    async def slow(config):
        await go.wait()
        await serve(config)

    serving_worker.serve = slow
    service = await api.get_service("public/server-apps")
    given = {"source": "x", "app_id": "left-behind", "manifest": manifest(serving_worker.kind)}
    await leave_waiting(raw, alice, api, service, "install", list(given.values()), names=list(given))
    await eventually(lambda: serving_worker.started, 10)
    assert await controller.list_apps() == []
    go.set()

    async def installed():
        return [app["id"] for app in await controller.list_apps()] == ["left-behind"]
    await eventually(installed, 10)
    assert await (await api.get_service("default@left-behind")).echo(1) == 1
    await controller.stop_all()
    assert len(serving_worker.stopped) == 2 and not serving_worker.sessions
    assert await controller.list_running() == []


async def test_an_install_whose_client_leaves_and_fails_leaves_nothing(raw, alice, api, controller, worker):
    service = await api.get_service("public/server-apps")
    worker.fails_with = "no luck"
    given = {"source": "x", "app_id": "left-behind", "manifest": manifest(worker.kind)}
    await leave_waiting(raw, alice, api, service, "install", list(given.values()), names=list(given))
    await eventually(lambda: worker.started, 10)

    async def clean():
        return "does not exist" in await failure_text(controller.get_app_info("left-behind", stage=True))
    await eventually(clean, 10)
    worker.fails_with = None
    await install(controller, worker, app_id="left-behind")


# --- logs ----------------------------------------------------------------------------------

async def test_logs_are_paged_in_the_documented_shape(controller, worker):
    app = await install(controller, worker)
    session = await controller.start(app.id)
    worker.logs[session["id"]] += ["a", "b", "c"]
    page = await controller.get_logs(session["id"], offset=1, limit=2)
    assert [item["content"] for item in page["items"]] == ["a", "b"]
    assert (page["total"], page["offset"], page["limit"]) == (4, 1, 2)
    assert "Server app instance not found" in await failure(controller.get_logs("nothing"))
    assert "must not be negative" in await failure(controller.get_logs(session["id"], offset=-1))


async def test_a_log_is_followed_by_a_generator(controller, worker):
    app = await install(controller, worker)
    session = await controller.start(app.id)
    lines = worker.logs[session["id"]]
    seen = []

    async def follow():
        async for line in await controller.tail_logs(session["id"]):
            seen.append(line["content"])

    following = asyncio.ensure_future(follow())
    await eventually(lambda: seen == ["started"], 5)
    for number in range(5):
        lines.append(f"line {number}")
    await eventually(lambda: seen[-1] == "line 4", 5, what="new lines come by themselves")
    await controller.stop(session["id"])
    await asyncio.wait_for(following, 5)
    assert seen == ["started", *(f"line {n}" for n in range(5))]
    assert "has ended" in await failure(controller.tail_logs(session["id"]))


async def test_a_log_is_followed_by_a_callback(controller, worker):
    app = await install(controller, worker)
    session = await controller.start(app.id)
    seen = []
    following = asyncio.ensure_future(
        controller.tail_logs(session["id"], callback=lambda line: seen.append(line["content"])))
    await eventually(lambda: seen == ["started"], 5)
    worker.logs[session["id"]].append("more")
    await eventually(lambda: seen == ["started", "more"], 5)
    await controller.stop(session["id"])
    assert await asyncio.wait_for(following, 5) == 2


async def test_a_generator_that_is_left_is_closed(controller, worker):
    app = await install(controller, worker)
    session = await controller.start(app.id)
    tail = await controller.tail_logs(session["id"])
    assert (await anext(tail))["content"] == "started"
    await tail.aclose()
    # A hundred may be open; closed ones do not count.
    for _ in range(110):
        tail = await controller.tail_logs(session["id"])
        await tail.__anext__()
        await tail.aclose()


async def test_page_logs_are_followed(api, controller):
    app = await controller.install(
        source="api.export({say: (x) => console.log(x)})", manifest=manifest("web-worker"))
    session = await controller.start(app.id)
    service = await api.get_service(session["service_id"])
    seen = []

    async def follow():
        async for line in await controller.tail_logs(session["id"], type="console"):
            seen.append(line)

    following = asyncio.ensure_future(follow())
    for number in range(20):
        await service.say(f"line {number}")
    await eventually(lambda: any("line 19" in line["content"] for line in seen), 10)
    said = [line["content"] for line in seen if "line " in line["content"]]
    assert said == [f"[log] line {n}" for n in range(20)], "each line once, in order"
    assert {"seq", "ts"} <= set(seen[0])
    await controller.stop(session["id"])
    await asyncio.wait_for(following, 5)


# --- over HTTP -----------------------------------------------------------------------------

async def test_http_reaches_the_same_methods(server, alice, controller, worker):
    app = await install(controller, worker)
    headers = {"Authorization": f"Bearer {alice.token()}"}
    base = f"{server.url}/public/services/server-apps"
    async with httpx.AsyncClient(headers=headers, timeout=20) as http:
        listed = (await http.get(f"{base}/list_versions", params={"app_id": app.id})).json()
        assert [v["version"] for v in listed] == ["v0"]
        session = (await http.post(f"{base}/start", json={"app_id": app.id})).json()
        refused = await http.get(f"{base}/tail_logs", params={"session_id": session["id"]})
        assert refused.status_code == 400 and "connection" in refused.text
