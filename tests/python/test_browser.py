"""Apps of type web-worker in Chromium: what runs there, its console, and what happens when it dies."""

import asyncio
import os
import signal

import httpx
import numpy as np
import pytest

from fakes import RecordingWorker
from harness import bearer, chromium, descendants, eventually, failure, failure_text

CALCULATOR = """
let calls = 0;
api.export({
    setup() { console.log("App initialized"); },
    add(a, b) { calls += 1; return a + b; },
    count() { return calls; },
    workspace() { return api.config.workspace; },
})
"""


def manifest(**more):
    return {"name": "Calculator", "type": "web-worker", "version": "1.0.0", **more}


async def install(controller, source=CALCULATOR, **more):
    return await controller.install(source=source, manifest=manifest(), **more)


async def test_an_app_from_end_to_end(controller, api, alice):
    app = await install(controller)
    session = await controller.start(app.id)
    service = await api.get_service(f"default@{app.id}")
    assert await service.add(5, 3) == 8
    assert await service.count() == 1
    assert await service.workspace() == alice.workspace
    logs = await controller.get_logs(session.id)
    assert any("App initialized" in item["content"] for item in logs["items"])
    assert await (await api.get_app(session.id)).add(1, 2) == 3
    await controller.stop(session.id)
    assert await controller.list_running() == []


async def test_arguments_by_name(controller, api, alice, server):
    """Methods, arrow functions and fields of classes take keyword arguments, from clients and over HTTP."""
    app = await install(controller, """
        class Sums { base = 100; sub(a, b = 1) { return this.base + a - b; } }
        api.export({ add(a, b) { return a * 10 + b; }, twice: async (n) => 2 * n, sums: new Sums() })
    """)
    service = await api.get_service(f"default@{app.id}")
    assert await service.add(b=2, a=1) == 12
    assert await service.twice(n=4) == 8
    assert await service.sums.sub(a=5, b=2) == 103
    async with httpx.AsyncClient(headers=bearer(alice.token())) as http:
        base = f"{server.url}/{alice.workspace}/services/default@{app.id}"
        assert (await http.get(f"{base}/add?b=2&a=1")).json() == 12
        assert (await http.post(f"{base}/twice", json={"n": 4})).json() == 8


async def test_lazy_start(controller, api):
    app = await install(controller)
    assert await (await api.get_service(f"default@{app.id}")).add(20, 22) == 42


@pytest.mark.ours
async def test_three_starts_at_once(controller, api):
    app = await install(controller)
    sessions = await asyncio.gather(*[controller.start(app.id) for _ in range(3)])
    assert len({s.id for s in sessions}) == 1 and len(await controller.list_running()) == 1
    assert await (await api.get_service(f"default@{app.id}")).add(1, 1) == 2


async def test_data_of_every_kind(controller, api):
    app = await install(controller, source="""
        api.export({
            echo: x => x,
            total: array => array.reduce((a, b) => a + b, 0),
            call: async callback => await callback(7),
            fail() { throw new Error("no good") },
        })""")
    service = await api.get_service(f"default@{app.id}")
    for value in (None, True, 1.5, "üñí ☃", [1, [2]], {"a": {"b": None}}, b"\x00\xff" * 100):
        assert await service.echo(value) == value
    big = os.urandom(2_000_000)
    assert await service.echo(big) == big
    assert np.array_equal(await service.echo(np.arange(6.0)), np.arange(6.0))
    assert await service.call(lambda x: x * 6) == 42
    assert "no good" in await failure_text(service.fail())


@pytest.mark.ours
async def test_source_that_templates_stumble_over(controller, api):
    app = await install(controller, source=r"""
        // </script> <!-- {{ undefined_name }} {% if %} ${nope} \
        const text = "{{ 1 + 1 }} </script> \n \u0041 \\ `tick` ${x} &amp; <b>";
        const template = `line
${1 + 1}`;
        await Promise.resolve();
        api.export({text: () => text, template: () => template});
    """)
    service = await api.get_service(f"default@{app.id}")
    assert await service.text() == "{{ 1 + 1 }} </script> \n A \\ `tick` ${x} &amp; <b>"
    assert await service.template() == "line\n2"


@pytest.mark.ours
async def test_objects_keep_their_this(controller, api):
    app = await install(controller, source="""
        class Counter {
            constructor() { this.n = 0; this.name = "counter"; }
            up(by = 1) { this.n += by; return this.n; }
        }
        class Twice extends Counter { twice() { return this.up(2); } }
        api.export({plain: {n: 5, get() { return this.n; }}, counter: new Twice()});
    """)
    service = await api.get_service(f"default@{app.id}")
    assert await service.plain.get() == 5
    assert await service.counter.up() == 1
    assert await service.counter.twice() == 3
    assert service.counter.name == "counter"


async def test_broken_code(controller):
    error = await failure_text(install(controller, source="this is not javascript", timeout=5))
    assert "Failed to install app" in error
    assert await controller.list_apps() == [] and await controller.list_running() == []


@pytest.mark.ours
async def test_broken_code_fails_fast_and_says_why(controller):
    began = asyncio.get_running_loop().time()
    error = await failure_text(
        install(controller, source="throw new Error('out of ideas')", timeout=40))
    assert asyncio.get_running_loop().time() - began < 20
    assert "out of ideas" in error


async def test_code_that_comes_too_late(controller):
    await failure(install(controller, timeout=2, source="""
        await new Promise(done => setTimeout(done, 10000)); api.export({late: () => 1})"""))
    assert await controller.list_running() == []


@pytest.mark.ours
async def test_a_broken_overwrite_leaves_the_old_version_working(controller, api):
    app = await install(controller, source="api.export({which: () => 'old'})", app_id="kept")
    await failure(install(controller, source="throw 1", app_id="kept", overwrite=True, timeout=10))
    await failure(install(controller, source="syntax error!", app_id="kept", overwrite=True, timeout=10))
    assert [a["id"] for a in await controller.list_apps()] == ["kept"]
    assert await (await api.get_service(f"default@{app.id}")).which() == "old"
    await install(controller, source="api.export({which: () => 'new'})", app_id="kept", overwrite=True)
    for session in await controller.list_running():
        await controller.stop(session["id"])
    assert await (await api.get_service(f"default@{app.id}")).which() == "new"


# --- death ---------------------------------------------------------------------------------

@pytest.fixture
async def running(crashable, connect, user):
    """A server of the test's own with one calculator running in its Chromium."""
    server = crashable()
    server.start()
    api = await connect(user("alice", server), at=server)
    controller = await api.get_service("public/server-apps")
    app = await install(controller)
    session = await controller.start(app.id)
    return server, api, controller, app, session


async def works_again(api, app):
    async def call():
        try:
            service = await asyncio.wait_for(api.get_service(f"default@{app.id}"), 10)
            return await asyncio.wait_for(service.add(5, 3), 10) == 8
        except Exception:
            return False

    await eventually(call, 30, every=0.2, what="the app answers again")


@pytest.mark.ours
async def test_a_killed_renderer_is_restarted(running):
    server, api, controller, app, session = running
    for pid in chromium(server, "renderer"):
        os.kill(pid, signal.SIGKILL)

    async def noticed():
        info = await controller.get_session_info(session.id)
        return info["history"]

    history = await eventually(noticed, 5, what="the crash is in the session's history")
    assert history[0]["cause"]
    await works_again(api, app)
    assert [s["id"] for s in await controller.list_running()] == [session.id]
    info = await controller.get_session_info(session.id)
    assert info["status"] == "running" and len(info["history"]) == 1


@pytest.mark.ours
async def test_a_killed_chromium_is_restarted(running):
    server, api, controller, app, session = running
    browser, = chromium(server, "")
    os.kill(browser, signal.SIGKILL)
    await eventually(lambda: chromium(server, "") not in ([], [browser]), 15)
    await works_again(api, app)
    assert (await controller.get_session_info(session.id))["history"]
    assert len(await controller.list_running()) == 1


@pytest.mark.ours
async def test_other_apps_do_not_notice(running, connect, user):
    """An app of a worker elsewhere goes on while Chromium is dead."""
    server, _, _, _, _ = running
    api = await connect(user("bob", server), at=server)
    controller = await api.get_service("public/server-apps")
    worker = await RecordingWorker(server, serving=True).register(api)
    app = await controller.install(source="x", manifest={"name": "x", "type": worker.kind, "version": "1"})
    session = await controller.start(app.id)
    for pid in chromium(server, ""):
        os.kill(pid, signal.SIGKILL)
    service = await api.get_service(f"default@{app.id}")
    for i in range(50):
        assert await service.echo(i) == i
    assert [s["id"] for s in await controller.list_running()] == [session.id]
    await worker.close()


@pytest.mark.ours
async def test_an_orderly_stop_leaves_nothing_behind(running):
    server, *_ = running
    pids = [pid for pid, _ in descendants(server.pid)]
    assert pids
    server.process.terminate()
    server.process.wait(20)
    assert server.process.returncode == 0

    def alive(pid):
        try:
            return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] != "Z"
        except OSError:
            return False

    await eventually(lambda: not any(alive(pid) for pid in pids), 5)
