"""One server for the whole suite; tests that crash it bring up their own."""

import os
import signal
import uuid

import httpx
import pytest
from hypha_rpc import connect_to_server

from fakes import RecordingWorker
from harness import RawPeer, RunningServer, Server, StreamPeer, User, Wire


def pytest_configure():
    """Told to end, the run ends as after Ctrl-C: with its servers."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    if os.environ.get("RHIZOME_URL"):
        server = RunningServer(os.environ["RHIZOME_URL"])
    else:
        folder = tmp_path_factory.mktemp("server")
        server = Server(folder / "data", folder / "server.log")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def crashable(tmp_path):
    """Makes servers of the test's own, to be killed and started again on the same data."""
    made = []

    def make(**options):
        made.append(Server(tmp_path / "data", tmp_path / "server.log", **options))
        return made[-1]

    make.made = made
    yield make
    for server in made:
        server.stop()


@pytest.fixture
async def http(server):
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
        yield client


@pytest.fixture
def user(server):
    """Makes users; each has a fresh id and so a fresh workspace."""
    return lambda name, at=None: User(at or server, name)


@pytest.fixture
def alice(user):
    return user("alice")


@pytest.fixture
def bob(user):
    return user("bob")


@pytest.fixture
async def connect(server):
    """Connects the unmodified client: `connect()`, `connect(alice)`, `connect(token=…)`."""
    open_now = []

    async def connect(who=None, at=None, **config):
        config.setdefault("client_id", f"test-{uuid.uuid4().hex[:8]}")
        if who is not None:
            config.setdefault("token", who.token())
        api = await connect_to_server({"server_url": (at or server).url, **config})
        open_now.append(api)
        return api

    yield connect
    for api in open_now:
        try:
            await api.disconnect()
        except Exception:  # a test may have cut the connection already
            pass


@pytest.fixture
async def raw(server):
    """Opens raw peers: `raw()`, `raw(token=…)`, `raw(first=b"…")`."""
    open_now = []

    async def open_peer(who=None, at=None, **auth):
        if who is not None:
            auth.setdefault("token", who.token())
        peer = await RawPeer.open(at or server, **auth)
        open_now.append(peer)
        return peer

    yield open_peer
    for peer in open_now:
        await peer.close()


@pytest.fixture
async def stream(server):
    """Opens raw peers over HTTP: `stream()`, `stream(alice)`, `stream(token=…, workspace=…)`."""
    open_now = []

    async def open_peer(who=None, at=None, **auth):
        if who is not None:
            auth.setdefault("token", who.token())
        peer = await StreamPeer.open(at or server, **auth)
        open_now.append(peer)
        return peer

    yield open_peer
    for peer in open_now:
        await peer.close()


@pytest.fixture
async def wire(server):
    """Lines to a server that a test can cut."""
    made = []

    async def make(at=None):
        made.append(await Wire(at or server).start())
        return made[-1]

    yield make
    for line in made:
        line.stop()


@pytest.fixture
async def api(connect, alice):
    return await connect(alice)


@pytest.fixture
async def controller(api):
    return await api.get_service("public/server-apps")


@pytest.fixture
async def worker(server, api):
    """A recording worker in alice's workspace, whose sessions offer no service."""
    worker = await RecordingWorker(server).register(api)
    yield worker
    await worker.close()


@pytest.fixture
async def serving_worker(server, api):
    """The same, and its sessions offer a `default` service."""
    worker = await RecordingWorker(server, serving=True).register(api)
    yield worker
    await worker.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A failure shows the end of the logs of its servers beside it."""
    report = (yield).get_result()
    if not report.failed:
        return
    used = getattr(item, "funcargs", {})
    servers = [used.get("server"), *getattr(used.get("crashable"), "made", [])]
    for server in filter(None, servers):
        report.sections.append(("server log", server.tail()))
