"""What must be true of a server when the faults of a run have ceased."""

import asyncio
import os

import httpx

from faults import LOST, OWN, PAGE, PAGE_SOURCE, YES, Wrong
from fault_parts import orphans, startup_hosts
from harness import bearer, chromium, eventually
from storm import counts, rss_mib, within

# Backoff before a restart and the launch of Chromium lie between the last fault and calm.
CALM_WITHIN = 45
# The counts that an empty server may differ in: clients are remembered for two minutes, and what a
# killed worker had is, for two days, as long as it could return.
UNSTEADY = ("departed", "subscribers_stored", "connection_actors", "handed")
# Memory that is no leak: arenas of the allocator, the page cache of the store.
SLACK_MIB = 40
SLACK_FDS = 12


def empty_counts(server):
    return {key: value for key, value in counts(server).items() if key not in UNSTEADY}


def actors(server):
    """The supervision tree: kind and name of each actor, sorted."""
    def walk(node):
        nodes = node if isinstance(node, list) else list(node.values()) if isinstance(node, dict) else []
        own = [f"{node.get('kind')} {node['id']}"] if isinstance(node, dict) and "id" in node else []
        return own + [found for inner in nodes for found in walk(inner)]

    return sorted(walk(httpx.get(f"{server.url}/admin/tree", headers=bearer(server.root_token), timeout=10).json()))


def fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


async def warm_up(run):
    """Has everything started once that is started once and kept; the server is empty afterwards."""
    controller = await run.controller()
    for type_name, more in ((run.type_name, {}), ("web-worker", {"source": PAGE_SOURCE.format(label="warm")})):
        if type_name == "web-worker" and not any(app.kind == PAGE for app in run.apps):
            continue
        manifest = {"name": "warm", "type": type_name, "version": "1.0.0"}
        files = [{"path": "a.txt", "content": "warm", "format": "text"}]
        await controller.install(app_id="warm", manifest=manifest, files=files, timeout=30, **more)
        assert await (await run.api.get_service("default@warm")).label() == "warm"
        await controller.uninstall("warm")


class Verdict:
    """Compares the server with the model of a run, and then takes everything away."""

    def __init__(self, run):
        self.run, self.server = run, run.server
        self.before = self.rss = self.fds = None

    async def begin(self):
        """Notes what an empty server holds."""
        await warm_up(self.run)
        self.before, self.actors = await self.steady(), actors(self.server)
        self.rss, self.fds = rss_mib(self.server.pid), fds(self.server.pid)

    async def steady(self):
        """The counts, once they stay the same for a second."""
        last = None

        async def same():
            nonlocal last
            previous, last = last, empty_counts(self.server)
            return previous == last

        await eventually(same, 20, every=0.5)
        return last

    async def finish(self):
        await eventually(self.worker_is_back, 30, what="the worker is registered again")
        sessions = await eventually(self.calm, CALM_WITHIN, every=0.3, what="all sessions run")
        await self.installed_apps()
        await self.sessions(sessions)
        await self.nothing_else(sessions)
        await self.all_start()
        if self.run.startup:
            await eventually(self.startup_answers, 20, what="the startup function's service answers")
        await self.nothing_is_left()

    async def worker_is_back(self):
        async def workers():
            return await (await self.run.controller()).list_workers()

        found = await within(5, workers()) or []
        return any(self.run.worker.client_id in worker["id"] for worker in found)

    async def calm(self):
        """The sessions, when all run and are the same after a second; an empty list counts too."""
        async def listed():
            return await (await self.run.controller()).list_sessions()

        first = await within(5, listed())
        await asyncio.sleep(1)
        second = await within(5, listed())
        if first is None or second is None:
            return None
        same = sorted(s["id"] for s in first) == sorted(s["id"] for s in second)
        settled = all(s["status"] == "running" for s in [*first, *second])
        # A page that fails again and again is waited for longer, but is said to be so.
        return (second,) if same and settled else None

    async def installed_apps(self):
        listed = {app["id"]: app["name"] for app in await (await self.run.controller()).list_apps()}
        for app in self.run.apps:
            app.narrow(listed.pop(app.id, None), "the list of apps")
            if app.is_installed() and await self.run.read(app) != YES:
                raise Wrong(f"{app.id} cannot be read")
        if listed:
            raise Wrong(f"installed by nobody: {listed}")

    async def sessions(self, sessions):
        """What must run does, what must not does not, and all of it can be used."""
        sessions, = sessions
        by_app = {}
        for session in sessions:
            by_app.setdefault(session["app_id"], []).append(session["id"])
        double = {app: ids for app, ids in by_app.items() if len(ids) > 1}
        if double:
            raise Wrong(f"more than one session: {double}")
        for app in self.run.apps:
            runs = app.id in by_app
            if app.running != LOST and runs != (app.running == YES):
                raise Wrong(f"{app.id} {'runs' if runs else 'does not run'}, which it must{' not' * runs}")
        for session in sessions:
            [app] = [app for app in self.run.apps if app.id == session["app_id"]]
            service = await self.run.api.get_service(f"{session['id']}:default")
            app.narrow(await asyncio.wait_for(service.label(), 10), "the session")

    async def nothing_else(self, sessions):
        """No session that only one side knows of: clients, worker, browser."""
        known = {session["id"] for session in sessions[0]}
        clients = {client["id"] for client in await self.run.api.list_clients()}
        clients = {client if "/" in client else f"{self.run.user.workspace}/{client}" for client in clients}
        clients = {client for client in clients if client.split("/")[1].startswith("_rapp_")}
        if clients != known:
            raise Wrong(f"clients of no session: {clients - known}; sessions of no client: {known - clients}")
        own = {session["id"] for session in sessions[0] if session["app_id"].startswith(OWN)}

        async def worker_knows_them():
            return set(await self.run.worker.sessions()) == own

        await eventually(worker_knows_them, 10, what="the worker holds the sessions that the server knows")
        now = counts(self.server)
        assert now["sessions"] == len(known), now
        tree = httpx.get(f"{self.server.url}/admin/tree", headers=bearer(self.server.root_token), timeout=10).text
        pages = tree.count('"kind":"page"')
        assert pages == len(known) - len(own), (pages, known)

    async def all_start(self):
        for app in self.run.apps:
            if not app.is_installed():
                continue
            for operation in (self.run.call, self.run.start, self.run.call_http):
                if await operation(app) != YES:
                    raise Wrong(f"{app.id} does not start or answer when all is calm")

    async def startup_answers(self):
        async def call():
            return await (await self.run.api.get_service("public/startup-echo")).test(1)

        return await within(5, call()) == 100

    async def nothing_is_left(self):
        for app in self.run.apps:
            if app.is_installed() and await self.run.uninstall(app) != YES:
                raise Wrong(f"{app.id} cannot be uninstalled when all is calm")
        await warm_up(self.run)
        now = None

        def as_before():
            nonlocal now
            now = empty_counts(self.server)
            return now == self.before

        try:
            await eventually(as_before, 30, every=0.2)
        except AssertionError:
            left = {key: (self.before[key], now[key]) for key in self.before if now[key] != self.before[key]}
            raise Wrong(f"not as before, as (before, now): {left}; actors then {self.actors}, now {actors(self.server)}") from None
        assert await self.run.worker.sessions() == []
        await eventually(lambda: rss_mib(self.server.pid) < self.rss + SLACK_MIB, 20,
                         what=f"memory returns to {self.rss:.0f} MiB, it is {rss_mib(self.server.pid):.0f}")
        await eventually(lambda: fds(self.server.pid) < self.fds + SLACK_FDS, 20,
                         what=f"open files return to {self.fds}, there are {fds(self.server.pid)}")
        await eventually(lambda: not orphans(self.server), 10, what=f"no orphans: {orphans(self.server)}")
        if any(app.kind == PAGE for app in self.run.apps):
            assert len(chromium(self.server, "")) == 1
        if self.run.startup:
            assert len(startup_hosts(self.server)) == 1
