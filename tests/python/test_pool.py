"""Pages that the server makes in advance: that apps start in them, what they hold, and when they go."""

import asyncio
import os
import signal

import httpx
import pytest

from devtools import Devtools, waiting
from harness import ROOT, User, chromium, eventually
from storm import quiet, settles

pytestmark = pytest.mark.ours

SOURCE = """
const born = crypto.randomUUID();
api.export({
    add: (a, b) => a + b,
    born: () => born,
    about: () => ({token: env.get("HYPHA_TOKEN"), workspace: api.config.workspace, name: self.name, app: env.HYPHA_APP_ID}),
})
"""
ABOUT_PAGE = """({href: location.href, title: document.title, claim: typeof globalThis.__rhizomeClaim,
    injected: typeof globalThis.__rhizome, binding: typeof globalThis.__rhizomeSignal})"""


async def install(controller, app="quick", **fields):
    await controller.install(source=SOURCE, app_id=app, overwrite=True,
                             manifest={"name": "Quick", "type": "web-worker", "version": "1", **fields})


def waits(server, kind="web-worker", ready=1):
    return eventually(lambda: waiting(server)[kind]["ready"] == ready, 20, what=f"{ready} pages of kind {kind} wait")


@pytest.fixture
async def pool(crashable, connect):
    """A server with an installed app; `pool(user, env)` gives its controller and client."""
    async def make(name="alice", server=None, **env):
        if server is None:
            server = crashable(env=env)
            server.start()
        api = await connect(User(server, name), at=server)
        controller = await api.get_service("public/server-apps")
        await install(controller)
        return server, api, controller

    return make


async def test_an_app_starts_in_a_page_that_waits(pool):
    server, api, controller = await pool()
    await waits(server)
    session = await controller.start("quick")
    held = waiting(server)["web-worker"]
    assert held["taken"] == 1 and held["size"] == 1
    service = await api.get_service("default@quick")
    assert await service.add(a=2, b=3) == 5
    about = await service.about()
    assert about["workspace"] == api.config.workspace and about["token"] and about["app"] == "quick"
    assert about["name"] == "Quick"
    # Its page is what the app's own page would be.
    worker = await api.get_service(session["worker_id"])
    page = await worker.execute(session["id"], ABOUT_PAGE)
    assert page["href"].startswith(f"{server.url}/_pages/") and page["href"].endswith("/index.html")
    assert page["title"] == "Quick" and {page["claim"], page["injected"], page["binding"]} == {"undefined"}
    # Its console is heard, and nothing from before.
    logs = (await controller.get_logs(session["id"]))["items"]
    assert any("connected" in line["content"] for line in logs)
    assert not any("rehears" in line["content"] or about["token"] in line["content"] for line in logs)
    # The page's address works for the rest of the app's files.
    code = await worker.execute(session["id"], "fetch('source').then(answer => answer.text())")
    assert "crypto.randomUUID" in code


async def test_a_page_that_waits_holds_nothing_and_serves_once(pool):
    server, alices, controller = await pool()
    await waits(server)
    async with await Devtools.open(server.data_dir) as browser:
        before = await browser.pages()
        html = {target: await browser.evaluate(target, "document.documentElement.outerHTML") for target in before}
        [target] = [target for target, text in html.items() if "rhizome-app" in text]
        stored = await browser.evaluate(target, "document.cookie + JSON.stringify([{...localStorage}, {...sessionStorage}])")
        address = await browser.evaluate(target, "location.href")
        assert alices.config.workspace not in html[target] and "eyJ" not in html[target]
        assert stored == "[{},{}]" and address == f"{server.url}/_pages/waiting/web-worker.html"
        session = await controller.start("quick")
        assert await browser.evaluate(target, "document.title") == "Quick"
        await waits(server)
        await waits(server, "blank")
        # Somebody else gets another page, and the first one goes with its session.
        _, bobs, bobs_controller = await pool("bob", server)
        await waits(server)
        await bobs_controller.start("quick")
        born = [await (await api.get_service("default@quick")).born() for api in (alices, bobs)]
        assert born[0] != born[1]
        now = await browser.pages()
        assert len(set(now.values())) == len(now), "every page has a browser context of its own"
        await controller.stop(session["id"])

        async def gone():
            return target not in await browser.pages()

        await eventually(gone, 5, what="the page is gone")
        assert await (await bobs.get_service("default@quick")).add(1, 1) == 2


async def test_starts_at_once_get_pages_of_their_own(pool):
    server, api, controller = await pool(RHIZOME_WARM_WEB_WORKER="2")
    for n in range(4):
        await install(controller, f"app-{n}")
    await waits(server, ready=2)
    taken = waiting(server)["web-worker"]["taken"]
    await asyncio.gather(*(controller.start(f"app-{n}") for n in range(4)))
    assert waiting(server)["web-worker"]["taken"] == taken + 2
    services = [await api.get_service(f"default@app-{n}") for n in range(4)]
    assert len({await service.born() for service in services}) == 4
    assert [(await service.about())["app"] for service in services] == [f"app-{n}" for n in range(4)]


PYTHON = """
import os
from hypha_rpc import api

class Sums:
    def add(self, a, b=1):
        return a + b

api.export(Sums())
"""
# The first runtime has no numpy: the page that waits has to start anew with another one.
NUMPY = """
import numpy
from hypha_rpc import api

api.export({"mean": lambda values: float(numpy.mean(values))})
"""


@pytest.mark.skipif(not (ROOT / "runtimes" / "pyodide").exists(), reason="scripts/fetch-runtimes has fetched no Pyodide")
async def test_a_python_app_starts_in_a_page_whose_python_runs(pool):
    server, api, controller = await pool(RHIZOME_WARM_WEB_PYTHON="1", RHIZOME_WARM_WEB_WORKER="0", RHIZOME_WARM_BLANK="0")

    async def install_python(source, app):
        manifest = {"name": app, "type": "web-python", "version": "1"}
        await controller.install(source=source, app_id=app, manifest=manifest, timeout=120)

    def ready():
        return eventually(lambda: waiting(server)["web-python"]["ready"], 120, what="a page waits")

    await install_python(PYTHON, "sums")
    await ready()
    session = await controller.start("sums", timeout=120)
    assert waiting(server)["web-python"]["taken"] == 1
    assert await (await api.get_service("default@sums")).add(a=2, b=3) == 5
    outcome = await controller.execute(session["id"], "os.environ['HYPHA_APP_ID']")
    assert outcome["outputs"][0]["data"]["text/plain"] == "'sums'"
    await controller.stop(session["id"])
    await ready()
    await install_python(NUMPY, "means")
    assert waiting(server)["web-python"]["taken"] == 2
    assert await (await api.get_service("default@means")).mean([1, 2, 6]) == 3


async def test_an_app_with_wishes_gets_a_page_of_its_own(pool):
    server, api, controller = await pool()
    await install(controller, "special", bypass_csp=True)
    await waits(server)
    before = waiting(server)
    await controller.start("special")
    after = waiting(server)
    assert [after[kind]["taken"] for kind in after] == [before[kind]["taken"] for kind in after]
    assert await (await api.get_service("default@special")).add(1, 1) == 2


async def test_a_page_that_dies_while_it_waits_is_replaced_quietly(pool):
    server, api, controller = await pool()
    await waits(server)
    for pid in chromium(server, "renderer"):
        os.kill(pid, signal.SIGKILL)
    await eventually(lambda: waiting(server)["web-worker"]["lost"], 10, what="the loss is counted")
    await controller.start("quick")
    assert await (await api.get_service("default@quick")).add(1, 1) == 2
    await waits(server)
    assert (await controller.get_session_info((await controller.list_running())[0]["id"]))["history"] == []
    # So is the whole browser.
    [browser] = chromium(server, "")
    os.kill(browser, signal.SIGKILL)

    async def answers():
        try:
            service = await asyncio.wait_for(api.get_service("default@quick"), 10)
            return await asyncio.wait_for(service.add(1, 2), 5) == 3
        except Exception:
            return False

    await eventually(answers, 30, every=0.2, what="the app answers again")
    await waits(server)


async def test_old_pages_are_renewed(pool):
    server, api, controller = await pool(RHIZOME_WARM_MAX_AGE="1")
    await eventually(lambda: waiting(server)["web-worker"]["renewed"], 60, what="a page is renewed")
    await controller.start("quick")
    assert await (await api.get_service("default@quick")).add(1, 1) == 2


async def test_idle_pages_are_closed(pool):
    # Only pages of one kind: others, made before it, could take all the time.
    server, api, controller = await pool(RHIZOME_WARM_IDLE="4", RHIZOME_WARM_BLANK="0")
    await eventually(lambda: waiting(server)["web-worker"]["dropped"], 60, what="a page is closed")
    assert waiting(server)["web-worker"]["ready"] == 0
    await controller.start("quick")
    assert await (await api.get_service("default@quick")).add(1, 1) == 2


async def test_no_page_waits_when_memory_is_short(pool):
    server, api, controller = await pool(RHIZOME_WARM_MIN_MEMORY_MB="100000000")
    await controller.start("quick")
    assert await (await api.get_service("default@quick")).add(1, 1) == 2
    assert [held["ready"] for held in waiting(server).values()] == [0, 0, 0]
    assert waiting(server)["web-worker"]["made"] == 0


async def test_none_by_configuration_and_what_is_told(pool):
    server, api, controller = await pool(RHIZOME_WARM_WEB_WORKER="0", RHIZOME_WARM_BLANK="2")
    await waits(server, "blank", 2)
    session = await controller.start("quick")
    held = waiting(server)
    assert held["blank"]["taken"] == 1 and held["web-worker"]["made"] == 0
    text = httpx.get(f"{server.url}/metrics").text
    assert 'rhizome_waiting_page_events_total{kind="blank",event="taken"} 1' in text
    assert 'rhizome_waiting_pages{kind="web-worker"} 0' in text
    worker = await api.get_service(session["worker_id"])
    health = await worker.get_health()
    assert await worker.get_load() == health["load"] == 1 / 20
    assert health["status"] == "healthy" and health["sessions"] == 1
    assert {page["kind"] for page in health["waiting_pages"]} == {"blank", "web-worker", "web-python"}
    mode = "select:min:get_load"
    await install(controller, "chosen")
    assert (await controller.start("chosen", worker_selection_mode=mode))["worker_id"] == session["worker_id"]


async def test_nothing_is_left_of_sessions(pool):
    """The short form of `scripts/bench browser --leaks`."""
    server, api, controller = await pool()
    for n in range(6):
        await install(controller, f"app-{n}")
    await waits(server)
    await waits(server, "blank")
    async with await Devtools.open(server.data_dir) as browser:

        async def state():
            # Chromium starts and ends services of its own, of kind "utility", as it needs them.
            kinds = [len(chromium(server, kind)) for kind in ("", "renderer", "gpu-process")]
            return await browser.targets(), await browser.contexts(), kinds

        before, held = await state(), quiet(server)
        for _ in range(15):
            await controller.stop((await controller.start("quick"))["id"])
        sessions = await asyncio.gather(*(controller.start(f"app-{n}") for n in range(6)))
        await asyncio.gather(*(controller.stop(session["id"]) for session in sessions))

        async def as_before():
            return await state() == before

        await eventually(as_before, 20, what=f"pages and processes are as before: {before}")
    await settles(server, held)
