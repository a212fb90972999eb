"""A random run of operations and faults against one server, beside a model of what it must hold.

Lanes install, overwrite, start, call, stop and uninstall apps, one operation at a time per app, while
another task cuts connections and kills workers, renderers, Chromium and the server. The model notes
what was acknowledged. An operation whose answer was lost may have happened or not: both stay possible
until the server is asked.
"""

import asyncio
import os
import random
import signal
import time
from collections import Counter, deque
from dataclasses import dataclass, field

import httpx
from hypha_rpc import connect_to_server
from hypha_rpc.rpc import RemoteException

from fault_parts import WorkerProcess, log_of, processes_of, startup_hosts
from harness import User, bearer, chromium, eventually
from storm import within

OWN, PAGE = "own", "page"
# Longer than any timeout of server and client: what takes longer hangs.
OPERATION = 45.0
YES, NO, LOST = "yes", "no", "lost"
# Files beside the label, to see that a version is whole.
FILES = ("a.txt", "folder/b.txt")
# How the server says that an app is not installed.
GONE = ("does not exist", "not found in workspace")
PAGE_SOURCE = "api.export({{ label: () => '{label}' }})"


class Wrong(AssertionError):
    """The server said something that the model rules out."""


@dataclass
class App:
    """What is known of one app. `labels`: the installs it may show, None for not installed."""

    id: str
    kind: str
    labels: set = field(default_factory=lambda: {None})
    running: str = NO  # YES, NO, or LOST: not known
    busy: bool = False

    def is_installed(self):
        return None not in self.labels

    def narrow(self, label, told_by):
        if label not in self.labels:
            raise Wrong(f"{told_by} of {self.id} shows {label}, possible were {self.labels}")
        self.labels = {label}


class Run:
    """One run against one server; `play` it for a while, then `finish` it."""

    def __init__(self, server, seed, own_apps, page_apps, startup=False):
        self.server, self.seed = server, seed
        self.user = User(server, "alice")
        self.apps = [App(f"own-{n}", OWN) for n in range(own_apps)]
        self.apps += [App(f"page-{n}", PAGE) for n in range(page_apps)]
        self.type_name = f"mortal-{seed}"
        self.count = 0
        # The death of the server ends what waits for an answer; until it is up again nothing is asked.
        self.death, self.up = asyncio.Event(), asyncio.Event()
        # Counts the faults that may end running sessions, by kind of app.
        self.epoch = Counter()
        self.outcomes, self.noes, self.faults = Counter(), Counter(), Counter()
        self.journal = deque(maxlen=400)
        self.began = time.monotonic()
        self.startup, self.worker, self.api = startup, None, None

    # --- what the run consists of -------------------------------------------------------------

    async def begin(self):
        await self.connect()
        self.http = httpx.AsyncClient(base_url=self.server.url, timeout=30, headers=bearer(self.user.token()))
        self.worker = await WorkerProcess.start(self.server, self.user, self.type_name)

    async def connect(self):
        """A fresh client: whether clients themselves survive a server is the matter of the storm tests."""
        old, self.api = self.api, await connect_to_server(
            {"server_url": self.server.url, "token": self.user.token(), "method_timeout": 25})
        if old:
            await within(5, old.disconnect())
        self.up.set()

    async def play(self, seconds, lanes, pause, server_kills):
        """Operations in so many lanes and faults, the given seconds between two, for a while."""
        end = time.monotonic() + seconds
        faults = asyncio.ensure_future(self.harm(end, pause, server_kills))
        tasks = [asyncio.ensure_future(self.lane(random.Random(f"{self.seed} {n}"), end)) for n in range(lanes)]
        try:
            await asyncio.gather(faults, *tasks)
        finally:
            for task in (faults, *tasks):
                task.cancel()

    async def close(self):
        if self.worker:
            self.worker.end()
        if self.api:
            await self.http.aclose()
            await self.api.disconnect()

    def note(self, *words):
        self.journal.append(f"{time.monotonic() - self.began:8.2f}  {' '.join(str(word) for word in words)}")

    def story(self):
        lines = [f"seed {self.seed}; operations {dict(self.outcomes)}; faults {dict(self.faults)}"]
        lines += [f"{count:5} × {text}" for text, count in self.noes.most_common(20)]
        said = log_of(self.server).read_text(errors="replace").splitlines()[-60:]
        return "\n".join([*lines, "--- what happened last", *self.journal, "--- what workers said last", *said])

    # --- operations ---------------------------------------------------------------------------

    async def lane(self, dice, end):
        while time.monotonic() < end:
            free = [app for app in self.apps if not app.busy]
            app = dice.choice(free)
            wanted = self.choose(dice, app)
            app.busy = True
            try:
                outcome = await getattr(self, wanted)(app)
            finally:
                app.busy = False
            if outcome != YES:
                await asyncio.sleep(0.2)
            await self.up.wait()

    @staticmethod
    def choose(dice, app):
        if app.labels == {None}:
            return dice.choices(["install", "start", "call"], [8, 1, 1])[0]
        names = ["overwrite", "uninstall", "start", "stop", "call", "call_http", "read"]
        return dice.choices(names, [3, 2, 4, 3, 6, 4, 2] if app.kind == OWN else [2, 1, 4, 3, 6, 4, 2])[0]

    async def ask(self, what, app, call):
        """The outcome of a call and its value; an answer that never comes is a failure."""
        began = time.monotonic()
        try:
            outcome, value = YES, await self.unless_it_dies(call())
        except RemoteException as error:
            outcome, value = NO, str(error).strip().splitlines()[-1]
        except Wrong as error:
            raise Wrong(f"{what} {app.id}: {error}") from None
        except Exception as error:
            outcome, value = LOST, repr(error)
        self.outcomes[f"{what} {outcome}"] += 1
        if outcome == NO and any(words in value for words in GONE):
            app.narrow(None, f"the answer to {what}")
        if outcome != YES:
            text = value.replace(app.id, "<app>")
            self.noes[f"{what} {outcome}: {text[:150]}"] += 1
        shown = value if isinstance(value, str) else ""
        self.note(what, app.id, outcome, f"({time.monotonic() - began:.2f} s)", shown[:160])
        return outcome, value

    async def unless_it_dies(self, call):
        """The answer of a call; the death of the server ends the wait, as the client library does not."""
        call, death = asyncio.ensure_future(call), asyncio.ensure_future(self.death.wait())
        try:
            done, _ = await asyncio.wait({call, death}, timeout=OPERATION, return_when=asyncio.FIRST_COMPLETED)
            if call in done:
                return call.result()
            if death in done:
                raise ConnectionError("the server was killed")
            raise Wrong("no answer and no failure")
        finally:
            call.cancel()
            death.cancel()
            await asyncio.gather(call, death, return_exceptions=True)

    async def controller(self):
        return await self.api.get_service("public/server-apps")

    def settle(self, app, outcome, happened, epoch):
        """What runs after an operation that would leave `happened`."""
        if outcome == YES and (happened == NO or self.epoch[app.kind] == epoch):
            app.running = happened
        elif outcome != NO or happened == YES:
            # A start may have been done and its session lost, or not be found yet.
            app.running = LOST

    async def install(self, app, overwrite=False):
        self.count += 1
        label, epoch = f"{app.id}.{self.count}", self.epoch[app.kind]
        more = {"source": PAGE_SOURCE.format(label=label)} if app.kind == PAGE else {}
        manifest = {"name": label, "version": "1.0.0", "entry_point": "a.txt",
                    "type": self.type_name if app.kind == OWN else "web-worker"}
        if app.kind == PAGE:
            del manifest["entry_point"]

        async def call():
            controller = await self.controller()
            return await controller.install(
                app_id=app.id, overwrite=overwrite, manifest=manifest, version=label, timeout=20,
                stop_after_inactive=0,
                files=[{"path": name, "content": label * 20, "format": "text"} for name in FILES], **more)

        was_there = app.is_installed()
        outcome, value = await self.ask("overwrite" if overwrite else "install", app, call)
        if outcome == YES:
            if was_there and not overwrite:
                raise Wrong(f"{app.id} was installed a second time")
            app.labels = {label}
        elif outcome == LOST:
            app.labels = app.labels | {label}
        self.settle(app, outcome, NO, epoch)
        return outcome

    async def overwrite(self, app):
        return await self.install(app, overwrite=True)

    async def uninstall(self, app):
        async def call():
            return await (await self.controller()).uninstall(app.id)

        outcome, _ = await self.ask("uninstall", app, call)
        if outcome == YES:
            app.labels = {None}
        elif outcome == LOST:
            app.labels = app.labels | {None}
        self.settle(app, outcome, NO, 0)
        return outcome

    async def start(self, app):
        epoch = self.epoch[app.kind]

        async def call():
            return await (await self.controller()).start(app.id, timeout=20)

        outcome, session = await self.ask("start", app, call)
        if outcome == YES:
            if app.labels == {None}:
                raise Wrong(f"{app.id} was started and is not installed")
            if session["app_id"] != app.id:
                raise Wrong(f"the start of {app.id} gave {session}")
            app.narrow(session["name"], "the session")
        self.settle(app, outcome, YES, epoch)
        return outcome

    async def stop(self, app):
        async def call():
            controller = await self.controller()
            for session in await controller.list_running():
                if session["app_id"] == app.id:
                    # It may end by itself meanwhile.
                    await controller.stop(session["id"], raise_exception=False)

        # A session between two lives is not listed; the model cannot know that.
        outcome, _ = await self.ask("stop", app, call)
        if app.running == YES and outcome == YES:
            app.running = NO
        else:
            app.running = LOST
        return outcome

    async def call(self, app):
        async def call():
            service = await self.api.get_service(f"default@{app.id}")
            return await service.label()

        return await self.called(app, "call", call)

    async def call_http(self, app):
        async def call():
            answer = await self.http.get(f"/{self.user.workspace}/services/default@{app.id}/label")
            if answer.status_code != 200:
                raise RemoteException(f"{answer.status_code} {answer.text[-300:]}")
            return answer.json()

        return await self.called(app, "call_http", call)

    async def called(self, app, what, call):
        epoch = self.epoch[app.kind]
        outcome, label = await self.ask(what, app, call)
        if outcome == YES:
            app.narrow(label, what)
        self.settle(app, outcome, YES, epoch)
        return outcome

    async def read(self, app):
        async def call():
            controller = await self.controller()
            manifest = (await controller.get_app_info(app.id))["manifest"]
            return manifest["name"], [await controller.read_file(app.id, name) for name in FILES]

        outcome, value = await self.ask("read", app, call)
        if outcome == YES:
            label, files = value
            app.narrow(label, "the manifest")
            if files != [label * 20] * len(FILES):
                raise Wrong(f"the files of {app.id} are not those of {label}: {files}")
        elif outcome == NO and app.is_installed():
            raise Wrong(f"{app.id} is installed and cannot be read: {value}")
        return outcome

    # --- faults -------------------------------------------------------------------------------

    async def harm(self, end, pause, server_kills):
        dice = random.Random(f"{self.seed} faults")
        small = {"cut_worker": 2, "kill_worker": 2, "cut_session": 3, "drop_session": 2,
                 "kill_renderer": 3, "kill_chromium": 2}
        if self.startup:
            small["kill_startup"] = 2
        # The server dies at even distances, so that a short run has it too.
        began, span = time.monotonic(), end - time.monotonic()
        deaths = [began + span * (n + dice.uniform(0.6, 0.9)) / server_kills for n in range(server_kills)]
        while time.monotonic() < end:
            await asyncio.sleep(dice.uniform(*pause))
            if deaths and time.monotonic() > deaths[0]:
                deaths.pop(0)
                wanted = "kill_server"
            else:
                wanted = dice.choices(list(small), list(small.values()))[0]
            if await getattr(self, wanted)(dice):
                self.faults[wanted] += 1

    def doubt(self, *kinds):
        """From here on sessions of these kinds may have ended."""
        for kind in kinds:
            self.epoch[kind] += 1
            for app in self.apps:
                if app.kind == kind and app.running == YES:
                    app.running = LOST

    async def cut_worker(self, _):
        return await self.to_worker("cut-worker", 1.0)

    async def cut_session(self, _):
        return await self.to_worker("cut-session", 0.5)

    async def drop_session(self, _):
        # The server gives a client three seconds to come back.
        return await self.to_worker("drop-session", 3.5)

    async def to_worker(self, command, noticed):
        self.doubt(OWN)
        self.note("FAULT", command)
        self.worker.tell(command)
        await asyncio.sleep(noticed)
        self.doubt(OWN)
        return True

    async def kill_worker(self, dice):
        self.doubt(OWN)
        self.note("FAULT kill -9 of the worker")
        self.worker.kill()
        await asyncio.sleep(dice.choice([0, 0.5, 2]))
        self.worker = await WorkerProcess.start(self.server, self.user, self.type_name)
        self.note("another worker is up")
        self.doubt(OWN)
        return True

    async def kill_renderer(self, dice):
        return await self.kill_chromium(dice, "renderer")

    async def kill_chromium(self, dice, kind=""):
        pids = chromium(self.server, kind)
        if not pids:
            return False
        self.doubt(PAGE)
        self.note("FAULT kill -9 of Chromium's", kind or "browser")
        try:
            os.kill(dice.choice(pids), signal.SIGKILL)
        except ProcessLookupError:
            return False
        await asyncio.sleep(0.5)
        self.doubt(PAGE)
        return True

    async def kill_startup(self, dice):
        pids = startup_hosts(self.server)
        if pids:
            self.note("FAULT kill -9 of the startup function's process")
            os.kill(dice.choice(pids), signal.SIGKILL)
        return bool(pids)

    async def kill_server(self, dice):
        self.doubt(OWN, PAGE)
        self.note("FAULT kill -9 of the server")
        self.up.clear()
        self.server.kill()
        self.death.set()
        self.death = asyncio.Event()
        if dice.random() < 0.5:
            # What it had started dies with it, without help of its successor.
            await eventually(lambda: not processes_of(self.server), 10, what="nothing is left of a killed server")
        took = await asyncio.to_thread(self.server.start)
        await self.connect()
        self.note(f"the server is up again after {took:.2f} s")
        self.doubt(OWN, PAGE)
        return True
