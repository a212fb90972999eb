"""What apps in Chromium cannot do: reach other hosts, use more than their share, see tokens of others, or take others
down with them."""

import json
import os
import re
import signal
from pathlib import Path

import pytest

from harness import chromium, descendants, eventually
from sites import Site

# Everything by which a page may ask for something, in the page and in a worker of it.
REACH = """async (url) => {
    const told = (work) => work.then((answer) => answer?.status ?? "ok", () => "refused");
    const ways = async (url, told) => {
        const socket = (url) => new Promise((ok, no) => {
            const line = new WebSocket(url);
            line.onopen = () => ok(); line.onerror = no;
        });
        return [await told(fetch(url)), await told(socket(url.replace("http", "ws")))];
    };
    const inWorker = `const told = ${told}; const ways = ${ways};
        ways(${JSON.stringify(url)}, told).then((seen) => postMessage(seen));`;
    const worker = new Worker(URL.createObjectURL(new Blob([inWorker])));
    const fromWorker = await new Promise((done) => worker.onmessage = ({ data }) => done(data));
    const image = (url) => new Promise((ok, no) => { const i = new Image(); i.onload = ok; i.onerror = no; i.src = url; });
    const frame = document.body.appendChild(document.createElement("iframe"));
    await new Promise((done) => { frame.onload = done; frame.src = url + "/frame"; setTimeout(done, 2000); });
    window.open(url + "/popup");
    return [...(await ways(url, told)), ...fromWorker, await told(image(url + "/image"))];
}"""

PAGE = "<!doctype html><title>plain</title><body></body>"


@pytest.fixture
async def controller(controller):
    """Leaves no pages open: a server has room for some twenty."""
    yield controller
    for session in await controller.list_running():
        await controller.stop(session["id"])


async def install(controller, own=None, page=PAGE, **more):
    manifest = {"name": "Plain", "type": "custom-html", "version": "1", "entry_point": "index.html", **(own or {})}
    return await controller.install(source=page, manifest=manifest, **more)


async def opened(controller, api, app):
    session = await controller.start(app.id)
    worker = await api.get_service(session.worker_id)
    return session, lambda script: worker.execute(session.id, script)


# --- hosts ---------------------------------------------------------------------------------

async def test_hosts_that_an_app_may_reach(controller, api, server):
    """Only those it names, by whatever way; and always the server."""
    async with Site({"": ("text/plain", "x"), "/": ("text/plain", "x")}) as friend, \
            Site({"/": ("text/plain", "x"), "/frame": ("text/html", "x"), "/popup": ("text/html", "x")}) as stranger:
        app = await install(controller, {"browser": {"allowed_hosts": [f"127.0.0.1:{friend.port}"]}})
        session, run = await opened(controller, api, app)
        seen = await run(f"({REACH})({json.dumps(stranger.url)})")
        assert seen == ["refused"] * 5
        assert stranger.requests == []
        assert await run(f"fetch('{friend.url}/').then((answer) => answer.status)") == 200
        assert await run(f"fetch('{server.url}/health/readiness').then((answer) => answer.status)") == 200
        connection = """() => {
            const frame = document.body.appendChild(document.createElement("iframe"));
            return [typeof RTCPeerConnection, typeof frame.contentWindow.RTCPeerConnection];
        }"""
        assert await run(f"({connection})()") == ["undefined"] * 2
        logs = await controller.get_logs(session.id)
        assert any(f"127.0.0.1:{stranger.port} was not reached" in item["content"] for item in logs["items"])
        _, free = await opened(controller, api, await install(controller))
        assert await free(f"fetch('{stranger.url}/').then((answer) => answer.status)") == 200
        assert await free(f"({connection})()") == ["function"] * 2


async def test_an_app_behind_a_narrow_way_out_still_works(controller, api):
    app = await controller.install(source="api.export({ add: (a, b) => a + b })", manifest={
        "name": "Narrow", "type": "web-worker", "version": "1", "browser": {"allowed_hosts": []}})
    assert await (await api.get_service(f"default@{app.id}")).add(1, 2) == 3


async def test_hosts_that_the_server_allows(crashable, connect, user):
    """An app can name fewer of them, not others."""
    async with Site({"/": ("text/plain", "x")}) as one, Site({"/": ("text/plain", "x")}) as two:
        server = crashable(env={"RHIZOME_BROWSER_ALLOWED_HOSTS": f"127.0.0.1:{one.port}"})
        server.start()
        api = await connect(user("alice", server), at=server)
        controller = await api.get_service("public/server-apps")
        _, run = await opened(controller, api, await install(controller, {"browser": {"allowed_hosts": ["*"]}}))
        ask = "fetch('{}/').then((answer) => answer.status, () => 'refused')"
        assert await run(ask.format(one.url)) == 200
        assert await run(ask.format(two.url)) == "refused"


# --- limits --------------------------------------------------------------------------------

async def ended(controller, session, cause):
    """The session's end, with its cause in the history."""
    async def look():
        info = await controller.get_session_info(session.id)
        return info if info["status"] not in ("running", "starting", "stopping") else None
    info = await eventually(look, 30, every=0.2, what="the session has ended")
    assert info["status"] == "stopped", info
    assert cause in str(info), info
    return info


async def test_too_much_memory(controller, api):
    """The session ends for good and says why; its neighbour goes on."""
    greedy = await install(controller, {"browser": {"memory_mb": 200}})
    other = await controller.install(source="api.export({ add: (a, b) => a + b })",
                                     manifest={"name": "Other", "type": "web-worker", "version": "1"})
    await controller.start(other.id)
    session, run = await opened(controller, api, greedy)
    await run("window.hoard = []; setInterval(() => hoard.push(new Uint8Array(20e6).fill(1)), 50); 1")
    await ended(controller, session, "more than its limit of 200 MB")
    assert await (await api.get_service(f"default@{other.id}")).add(1, 2) == 3
    assert [s["app_id"] for s in await controller.list_running()] == [other.id]


async def test_too_much_memory_in_a_worker(controller, api):
    app = await controller.install(
        manifest={"name": "Hoard", "type": "web-worker", "version": "1", "browser": {"memory_mb": 200}},
        source="""const hoard = [];
            api.export({ grow() { setInterval(() => hoard.push(new Uint8Array(20e6).fill(1)), 50); } })""")
    session = await controller.start(app.id)
    await (await api.get_service(f"default@{app.id}")).grow()
    await ended(controller, session, "more than its limit of 200 MB")


async def test_too_much_time(controller, api):
    """Of a page that is quiet, and of one that never comes to rest."""
    app = await install(controller, {"browser": {"time_s": 8}})
    quiet, _ = await opened(controller, api, app)
    busy, run = await opened(controller, api, await install(controller, {"browser": {"time_s": 8}}))
    await run("setTimeout(() => { for (;;); }, 0); 1")
    for session in (quiet, busy):
        await ended(controller, session, "8 s, which is its time limit")


# --- tokens --------------------------------------------------------------------------------

LEAKS = """
    console.log("token", env.get("HYPHA_TOKEN"));
    console.error(new Error(`oh ${env.HYPHA_TOKEN}`));
    fetch(`${site}/data?x=1`, { referrerPolicy: "unsafe-url" }).catch(() => {});
    fetch(`${env.HYPHA_SERVER_URL}/nowhere?token=${env.HYPHA_TOKEN}`);
    fetch(`${env.HYPHA_SERVER_URL}/missing.png?token=${env.HYPHA_TOKEN}`);
    api.export({ token: () => env.HYPHA_TOKEN, href: () => globalThis.location.href });
"""


@pytest.mark.parametrize("app_type", ["web-worker", "window"])
async def test_tokens_stay_where_they_belong(crashable, connect, user, app_type):
    """Not in addresses, the server's log, the app's log, what other sites see, or the arguments of processes."""
    server = crashable(env={"HYPHA_LOGLEVEL": "debug", "HYPHA_ACCESS_LOG": "true"})
    server.start()
    api = await connect(user("alice", server), at=server)
    controller = await api.get_service("public/server-apps")
    async with Site({"/data": ("text/plain", "x")}) as site:
        app = await controller.install(source=f"const site = '{site.url}';" + LEAKS,
                                       manifest={"name": "Leaky", "type": app_type, "version": "1"})
        session = await controller.start(app.id)
        service = await api.get_service(f"default@{app.id}")
        token = await service.token()
        assert len(token) > 50 and token not in await service.href()
        await eventually(lambda: len(site.requests) >= 2, what="both runs asked the site")
        for request in site.requests:
            assert token not in request.path and token not in json.dumps(request.headers)

        async def logged():
            logs = await controller.get_logs(session.id)
            return logs if any(("missing.png" if app_type == "window" else "token ***") in item["content"] for item in logs["items"]) else None

        logs = str(await eventually(logged, what="the failed request is in the log"))
        assert "token ***" in logs and token not in logs
        for pid, command in descendants(server.pid):
            assert token not in command
            environment = Path(f"/proc/{pid}/environ").read_bytes() if os.path.exists(f"/proc/{pid}/environ") else b""
            assert token.encode() not in environment and b"HYPHA_JWT_SECRET" not in environment
        assert token not in server.log.read_text(errors="replace")


# --- death ---------------------------------------------------------------------------------

async def test_a_dead_renderer_costs_its_session_one_restart(crashable, connect, user):
    """Nobody else notices; a second app in the same browser keeps its state."""
    server = crashable()
    server.start()
    api = await connect(user("alice", server), at=server)
    controller = await api.get_service("public/server-apps")
    source = "let n = 0; api.export({ next: () => ++n })"
    apps = [await controller.install(source=source, manifest={"name": name, "type": "web-worker", "version": "1",
                                                              "browser": {"memory_mb": memory}})
            for name, memory in (("Victim", 300), ("Witness", 300))]
    sessions = [await controller.start(app.id) for app in apps]
    services = [await api.get_service(f"default@{app.id}") for app in apps]
    for service in services:
        assert await service.next() == 1
    # The victim's process is the one that grows.
    def sizes():
        return {pid: int(re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])
                for pid in chromium(server, "renderer")}
    before = sizes()
    worker = await api.get_service(sessions[0].worker_id)
    await worker.execute(sessions[0].id, "window.big = new Uint8Array(120e6).fill(1); 1")
    after = sizes()
    victim = max(before, key=lambda pid: after.get(pid, 0) - before[pid])
    assert after[victim] - before[victim] > 100_000
    os.kill(victim, signal.SIGKILL)

    async def back():
        info = await controller.get_session_info(sessions[0].id)
        return info if info["history"] and info["status"] == "running" else None

    info = await eventually(back, 30, what="the victim is back")
    assert len(info["history"]) == 1 and info["history"][0]["cause"]
    assert await services[1].next() == 2
    assert (await controller.get_session_info(sessions[1].id))["history"] == []
    assert {s["id"] for s in await controller.list_running()} == {session.id for session in sessions}


async def test_the_sandbox_is_told_of_once(crashable, connect, user):
    """For root Chromium has none, and the log says so at its first launch."""
    server = crashable()
    server.start()
    api = await connect(user("alice", server), at=server)
    controller = await api.get_service("public/server-apps")
    app = await install(controller)
    for _ in range(2):
        session = await controller.start(app.id)
        await controller.stop(session.id)
    told = [line for line in server.log.read_text().splitlines() if "without its sandbox" in line]
    [browser] = chromium(server, "")
    command = dict(descendants(server.pid))[browser]
    assert len(told) == (1 if "--no-sandbox" in command.split() else 0)
    assert ("--no-sandbox" in command.split()) == (os.geteuid() == 0)
