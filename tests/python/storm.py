"""What the storm tests share: their size, the server's counts, clients that are watched."""

import asyncio
import os
import time
from pathlib import Path

import httpx
from hypha_rpc import connect_to_server

from harness import eventually

LONG = os.environ.get("RHIZOME_STORM") == "long"
RESTARTS, CYCLES, HERD, STUCK = (100, 1000, 500, 20) if LONG else (5, 100, 100, 3)
# What may differ between two quiet moments: the subscriptions of clients that left are remembered
# for two minutes.
REMEMBERED = ("departed", "subscribers_stored")


def counts(server):
    """How many of everything the server holds."""
    answer = httpx.get(f"{server.url}/admin/counts", timeout=10,
                       headers={"Authorization": f"Bearer {server.root_token}"})
    answer.raise_for_status()
    return answer.json()


def quiet(server):
    """The counts that have to be as before once a storm is over."""
    return {key: value for key, value in counts(server).items() if key not in REMEMBERED}


async def settles(server, before, timeout=15):
    """Waits until the counts are those of `before`; a failure shows what is left over."""
    now = {}

    def same():
        nonlocal now
        now = quiet(server)
        return now == before

    try:
        await eventually(same, timeout)
    except AssertionError:
        left = {key: (before[key], now[key]) for key in before if now[key] != before[key]}
        raise AssertionError(f"not as before, as (before, now): {left}") from None


def rss_mib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024


async def within(seconds, awaitable):
    """Awaits a call of a client that may be between two connections; None if it fails."""
    try:
        return await asyncio.wait_for(awaitable, seconds)
    except Exception:
        return None


class Survivor:
    """An unmodified client with a service and a subscription, and what it saw of the events."""

    EVENT = "storm"

    def __init__(self, api, name):
        self.api, self.name, self.seen = api, name, []

    @classmethod
    async def start(cls, server, user, name, **config):
        api = await connect_to_server({"server_url": server.url, "token": user.token(), "client_id": name, **config})
        one = cls(api, name)
        await api.register_service({"id": "svc", "echo": lambda x: [name, x]})
        api.rpc.on(cls.EVENT, lambda event: one.seen.append(event["data"]))
        await api.subscribe(cls.EVENT)
        return one

    async def is_served(self, caller, value):
        """Whether its service answers `caller`."""
        async def call():
            service = await caller.get_service(f"{self.name}:svc")
            return await service.echo(value)

        return await within(3, call()) == [self.name, value]

    async def hears(self, caller, value):
        """Whether an event that `caller` sends arrives."""
        await within(3, caller.emit({"type": self.EVENT, "to": "*", "data": value}))
        end = time.monotonic() + 2
        while value not in self.seen and time.monotonic() < end:
            await asyncio.sleep(0.01)
        return value in self.seen


async def service_ids(api):
    """The services of a client's workspace, sorted; each as often as it is listed."""
    return sorted(service["id"] for service in await api.list_services() or [])
