"""kill -9 at random moments under a loop of installs: what was acknowledged is there, whole.

RHIZOME_KILLS sets how many times the server is killed (10); `scripts/crash` does it a hundred times.
The apps are of a type that a Python worker serves, so no browser boots for an install.
"""

import asyncio
import os
import random
import statistics
import time

import pytest

from fakes import RecordingWorker
from harness import Server, User, eventually
from hypha_rpc import connect_to_server

KILLS = int(os.environ.get("RHIZOME_KILLS", "10"))
READY_WITHIN = 1.0


class Ledger:
    """What the installer was told: app id -> the label of the last acknowledged install of it."""

    def __init__(self):
        self.acknowledged, self.attempted, self.count = {}, {}, 0
        self.touched = set()  # since the last check

    async def install_until_it_dies(self, controller, kind, lane):
        """Installs new apps and overwrites old ones of its lane until the server is gone."""
        while True:
            self.count += 1
            mine = [app for app in self.acknowledged if app.startswith(lane)]
            overwrite = bool(mine) and random.random() < 0.4
            app = random.choice(mine) if overwrite else f"{lane}-{self.count}"
            number = self.count  # the other lanes count on during the call
            label = f"label-{number}"
            self.attempted.setdefault(app, set()).add(label)
            self.touched.add(app)
            await controller.install(
                app_id=app, overwrite=overwrite, wait_for_service=False, version=f"v{number}",
                manifest={"name": label, "type": kind, "version": "1.0.0", "entry_point": "a.txt"},
                files=[{"path": name, "content": label * 50, "format": "text"} for name in ("a.txt", "b.txt")])
            self.acknowledged[app] = label

    async def check(self, controller, all_of_them):
        """Every acknowledged app is there, and each app that is there is whole. Files are read of those that
        were touched since the last check and of some others, or of all."""
        apps = {app["id"]: app for app in await controller.list_apps()}
        missing = set(self.acknowledged) - set(apps)
        assert not missing, f"acknowledged and gone: {sorted(missing)}"
        assert set(apps) <= set(self.attempted), "apps that nobody installed"
        others = sorted(set(apps) - self.touched)
        read = set(apps) if all_of_them else self.touched | set(random.sample(others, min(10, len(others))))
        self.touched.clear()
        for app_id, app in apps.items():
            # The last acknowledged install, or a later one whose answer did not get through.
            label = app["name"]
            assert label in self.attempted[app_id]
            number = int(label.split("-")[1])
            last = self.acknowledged.get(app_id)
            assert last is None or number >= int(last.split("-")[1]), f"{app_id} went back to {label}"
            self.acknowledged[app_id] = label
            if app_id not in read:
                continue
            info = await controller.get_app_info(app_id)
            assert info["manifest"]["name"] == label and info["versions"][-1]["version"] == f"v{number}"
            # A half installed app would show files of two installs, or miss one.
            for name in ("a.txt", "b.txt"):
                assert await controller.read_file(app_id, name) == label * 50, (app_id, name)


def start_of_an_empty_server(folder):
    """Seconds until it is ready."""
    folder.mkdir()
    server = Server(folder / "data", folder / "server.log")
    try:
        return server.start()
    finally:
        server.stop()


async def session_of(server, user):
    api = await connect_to_server({"server_url": server.url, "token": user.token()})
    return api, await api.get_service("public/server-apps")


@pytest.mark.ours
@pytest.mark.timeout(60 + 20 * KILLS)
async def test_acknowledged_installs_survive_kill_9(crashable, tmp_path, capsys):
    server = crashable()
    user, ledger, kind = User(server, "alice"), Ledger(), None
    ready = [server.start()]
    for kill in range(KILLS):
        api, controller = await session_of(server, user)
        worker = RecordingWorker(server)
        kind = worker.kind = kind or worker.kind
        await worker.register(api)
        known = ledger.count
        loops = [asyncio.ensure_future(ledger.install_until_it_dies(controller, kind, lane))
                 for lane in ("red", "green", "blue")]
        await eventually(lambda: ledger.count > known + 3 or any(loop.done() for loop in loops), 20)
        await asyncio.sleep(random.uniform(0.0, 0.6))  # the random moment
        for loop in loops:
            assert not loop.done(), loop.exception()
        server.kill()
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        await api.disconnect()
        ready.append(server.start())
        api, controller = await session_of(server, user)
        await ledger.check(controller, all_of_them=kill + 1 == KILLS)
        await api.disconnect()
    # The slowest of many says how busy the machine was; it is printed, and the median is judged, beside
    # servers on empty folders, which tell how long a start takes on this machine at this time.
    median, slowest = statistics.median(ready), max(ready)
    empty = statistics.median(start_of_an_empty_server(tmp_path / f"empty-{number}") for number in range(3))
    with capsys.disabled():
        print(f"\n{KILLS} kills, {ledger.count} installs tried, {len(ledger.acknowledged)} apps there; start-up "
              f"median {median * 1000:.0f} ms, slowest {slowest * 1000:.0f} ms, of an empty server {empty * 1000:.0f} ms")
    assert median < max(READY_WITHIN, 2 * empty)


@pytest.mark.ours
async def test_workspaces_and_environment_survive_kill_9(crashable):
    server = crashable()
    server.start()
    user = User(server, "alice")
    api, _ = await session_of(server, user)
    await api.create_workspace({"name": "kept-workspace", "persistent": True})
    await api.set_env("KEPT", "yes")
    revoked = await api.generate_token()
    await api.revoke_token(revoked)
    server.kill()
    server.start()
    again, _ = await session_of(server, user)
    assert "kept-workspace" in [w["name"] for w in await again.list_workspaces()]
    assert await again.get_env("KEPT") == "yes"
    with pytest.raises(Exception) as raised:
        await connect_to_server({"server_url": server.url, "token": revoked})
    assert "revoked" in str(raised.value)
    await api.disconnect()
    await again.disconnect()


@pytest.mark.ours
async def test_the_unmodified_client_outlives_a_kill(crashable, connect, user, capsys):
    """Both clients come back by themselves, with their services, and go on talking."""
    server = crashable()
    server.start()
    alice = user("alice", server)
    provider = await connect(alice, at=server, client_id="provider")
    await provider.register_service({"id": "svc", "echo": lambda x: x})
    caller = await connect(alice, at=server)
    server.kill()
    began = time.monotonic()
    server.start()

    async def answers():
        try:
            service = await asyncio.wait_for(caller.get_service("provider:svc"), 3)
            return await asyncio.wait_for(service.echo(1), 3) == 1
        except Exception:
            return False

    await eventually(answers, 30, every=0.2)
    with capsys.disabled():
        print(f"\nboth clients talk again {time.monotonic() - began:.1f} s after the restart began")
