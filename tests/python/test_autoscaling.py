"""Autoscaling under a real load over HTTP: up, down, to zero and back, without a failed request."""

import asyncio
import time

import httpx
import pytest

from fakes import RecordingWorker
from harness import bearer, eventually

FAST = {"RHIZOME_AUTOSCALING_INTERVAL": "0.3", "HYPHA_HTTP_RATE_LIMIT": "100000",
        "HYPHA_HTTP_BURST_LIMIT": "100000", "HYPHA_HTTP_AUTHENTICATED_RATE_LIMIT": "100000",
        "HYPHA_HTTP_AUTHENTICATED_BURST_LIMIT": "100000"}


class BusyWorker(RecordingWorker):
    """Its sessions serve requests that take a moment, and some that take until they are let go."""

    async def serve(self, config):
        await super().serve(config)

        async def work(seconds=0.05):
            await asyncio.sleep(seconds)
            return config["id"]

        async def hold():
            await self.let_go.wait()
            return config["id"]

        await self.sessions[config["id"]].register_service({"id": "busy", "work": work, "hold": hold})


@pytest.fixture
async def scaled(crashable, connect, user):
    """Installs an app on a server that looks often; gives what the tests need."""
    server = crashable(env=FAST)
    server.start()
    alice = user("alice", server)
    api = await connect(alice, at=server)
    worker = await BusyWorker(server, serving=True).register(api)
    worker.let_go = asyncio.Event()
    controller = await api.get_service("public/server-apps")

    class Scaled:
        async def install(self, **autoscaling):
            app = await controller.install(
                source="x", wait_for_service="busy",
                manifest={"name": "Scaled", "type": worker.kind, "version": "1.0.0",
                          "autoscaling": {"enabled": True, **autoscaling}})
            self.app, self.answers, self.failures = app.id, [], []
            self.url = f"/{alice.workspace}/services/busy@{app.id}/work"
            self.held_url = f"/{alice.workspace}/services/busy@{app.id}/hold"
            return app.id

        async def running(self):
            return [s for s in await controller.list_running() if s["app_id"] == self.app]

        async def count(self, number):
            async def right():
                return len(await self.running()) == number
            await eventually(right, timeout=30, what=f"{number} sessions")

        async def load(self, stop, clients=8, held=0):
            """Requests one after the other from each of the clients, and some that are held all the
            time: the load has no gaps, however busy the machine is."""
            async with httpx.AsyncClient(
                    base_url=server.url, timeout=60, headers=bearer(alice.token())) as http:
                async def ask(url):
                    response = await http.get(url)
                    if response.status_code == 200:
                        self.answers.append(response.json())
                    else:
                        self.failures.append(response.text)

                async def one():
                    while not stop.is_set():
                        await ask(self.url)
                await asyncio.gather(*(one() for _ in range(clients)), *(ask(self.held_url) for _ in range(held)))

    scaled = Scaled()
    scaled.server, scaled.controller, scaled.worker, scaled.alice = server, controller, worker, alice
    yield scaled
    await worker.close()


async def test_one_three_one_without_a_failed_request(scaled):
    app = await scaled.install(
        max_instances=3, target_concurrency_per_instance=2, target_requests_per_instance=1e9,
        scale_up_cooldown=0.5, scale_down_cooldown=1.0)
    await scaled.controller.start(app)
    stop = asyncio.Event()
    # Six of two for each of three: never few enough for a step down meanwhile.
    load = asyncio.create_task(scaled.load(stop, held=6))
    await scaled.count(3)
    seen = len(scaled.answers)
    await eventually(lambda: len(set(scaled.answers[seen:])) == 3, timeout=15,
                     what="all three answer")
    stop.set()
    scaled.worker.let_go.set()
    await load
    light_stop = asyncio.Event()
    light = asyncio.create_task(scaled.load(light_stop, clients=1))
    await scaled.count(1)
    light_stop.set()
    await light
    assert scaled.failures == [] and len(scaled.answers) > 50
    status = await scaled.controller.get_autoscaling_status(app)
    actions = [step["action"] for step in status["steps"]]
    assert sum(action.get("start", 0) for action in actions) == 2
    assert sum("drain" in action for action in actions) == 2
    assert all(step["reason"] for step in status["steps"])


async def test_the_minimum_is_kept_at_once(scaled):
    app = await scaled.install(min_instances=2, max_instances=3)
    session = await scaled.controller.start(app)
    await scaled.count(2)
    await scaled.controller.stop(session["id"])
    await scaled.count(2)
    for session in await scaled.running():
        await scaled.controller.stop(session["id"])

    async def over():
        return not await scaled.running()
    # A stop of the last one stops the app, and nothing wakes it behind the user's back.
    await eventually(over, timeout=15)


async def test_to_zero_and_back_with_waiting_requests(scaled):
    app = await scaled.install(
        min_instances=0, max_instances=2, scale_down_cooldown=0.5,
        target_requests_per_instance=1e9, target_concurrency_per_instance=100)
    await scaled.controller.start(app)
    await scaled.count(0)
    async with httpx.AsyncClient(base_url=scaled.server.url, timeout=30,
                                 headers=bearer(scaled.alice.token())) as http:
        answers = await asyncio.gather(*(http.get(scaled.url) for _ in range(20)))
    assert [answer.status_code for answer in answers] == [200] * 20
    assert len({answer.json() for answer in answers}) == 1, "one start for all who wait"


@pytest.mark.parametrize("wrong, text", [
    ({"max_instances": 0}, "max_instances"), ({"target_requests_per_instance": -1}, "greater than 0"),
    ({"scale_up_threshold": "high"}, "autoscaling")])
async def test_a_wrong_configuration_is_refused_at_install(scaled, wrong, text):
    began = time.monotonic()
    with pytest.raises(Exception, match=text):
        await scaled.install(**wrong)
    assert time.monotonic() - began < 10
