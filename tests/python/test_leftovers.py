"""What is left of sessions that are over: their clients, what their workers still run, their pages."""

import asyncio

import httpx
import pytest
from hypha_rpc import connect_to_server

from fakes import RecordingWorker
from harness import User, bearer, eventually
from storm import counts

pytestmark = pytest.mark.ours


async def install(controller, kind, app="kept", **more):
    await controller.install(source="api.export({echo: x => x})", app_id=app,
                             manifest={"name": app, "type": kind, "version": "1"}, **more)


async def session_clients(api):
    return [client["id"] for client in await api.list_clients() if "_rapp_" in client["id"]]


async def test_a_restarted_server_lets_no_old_session_in(crashable, connect):
    """The worker's library brings worker and session clients back; the sessions are over."""
    server = crashable(env={"RHIZOME_BROWSER": "false"})
    server.start()
    alice = User(server, "alice")
    api = await connect(alice, at=server)
    worker = await RecordingWorker(server, serving=True).register(api)
    controller = await api.get_service("public/server-apps")
    await install(controller, worker.kind)
    session = await controller.start("kept")
    server.kill()
    await asyncio.to_thread(server.start)
    await eventually(lambda: session["id"] in worker.stopped, 30, what="the worker is told to stop the session")
    fresh = await connect(alice, at=server)
    controller = await fresh.get_service("public/server-apps")
    await eventually(lambda: counts(server)["handed"] == 0)
    assert await controller.list_running() == [] and await session_clients(fresh) == []
    assert await (await fresh.get_service("default@kept")).echo(1) == 1
    assert len(await controller.list_running()) == len(await session_clients(fresh)) == 1
    await worker.close()


async def test_a_worker_that_returns_stops_what_it_lost(crashable, connect):
    server = crashable(env={"RHIZOME_BROWSER": "false"})
    server.start()
    api = await connect(User(server, "alice"), at=server)
    controller = await api.get_service("public/server-apps")
    hands = await connect_to_server({"server_url": server.url, "client_id": "hands",
                                     "token": await api.generate_token({"client_id": "hands"})})
    worker = await RecordingWorker(server, serving=True).register(hands)
    await install(controller, worker.kind)
    session = await controller.start("kept")
    hands.rpc._connection._websocket.transport.abort()
    await eventually(lambda: session["id"] in worker.stopped, 30, what="the worker is told to stop the session")
    assert await controller.list_running() == [] and await session_clients(api) == []
    await worker.close()
    await hands.disconnect()


async def test_a_client_that_leaves_as_its_session_starts(controller, api, worker, server):
    """It is gone before the start has settled: the session must not count as running for ever."""
    leave = False

    async def start(config, context=None):
        client = await connect_to_server({
            "server_url": config["server_url"], "client_id": config["client_id"],
            "workspace": config["workspace"], "token": config["token"], "app_id": config["app_id"]})
        worker.sessions[config["id"]] = client
        await client.register_service({"id": "default", "echo": lambda x: x})
        if leave:
            asyncio.get_running_loop().call_later(0.03, lambda: asyncio.ensure_future(client.disconnect()))
        return config["id"]

    await api.register_service({
        "id": "leaver", "type": "server-app-worker", "supported_types": ["leaving"],
        "config": {"visibility": "protected"}, "start": start, "stop": worker.stop})
    await install(controller, "leaving", "leaver")
    leave = True
    await controller.start("leaver")
    leave = False

    async def answers():
        try:
            return await (await api.get_service("default@leaver")).echo(1) == 1
        except Exception:
            return False

    await eventually(answers, 10, what="the app is started anew")
    await eventually(lambda: one_running(controller), 10)


async def one_running(controller):
    return [session["status"] for session in await controller.list_running()] == ["running"]


def pages(server):
    tree = httpx.get(f"{server.url}/admin/tree", headers=bearer(server.root_token), timeout=10)
    return tree.text.count('"kind":"page"')


async def test_a_session_that_is_stopped_before_its_page_is_open(crashable, connect):
    server = crashable()
    server.start()
    api = await connect(User(server, "alice"), at=server)
    controller = await api.get_service("public/server-apps")
    await install(controller, "web-worker", "page")
    for _ in range(5):
        starting = asyncio.ensure_future(controller.start("page"))
        [session] = await eventually(controller.list_sessions, 5, every=0)
        await controller.stop(session["id"], raise_exception=False)
        await asyncio.gather(starting, return_exceptions=True)
    # One that is opened to the end comes after all those that were on their way.
    await controller.stop((await controller.start("page"))["id"])
    assert await controller.list_sessions() == []
    await eventually(lambda: pages(server) == 0, 10, what="no page is left")
