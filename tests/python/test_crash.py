"""kill -9 at random moments under writers of artifacts: what was acknowledged is there, what was not
is there as a whole or not at all, and the doctor finds nothing.

RHIZOME_CRASHES sets how many times the server is killed, with each kind of storage;
`scripts/crash` does it a hundred times.
"""

import asyncio
import os
import random
import time
from collections import Counter

import httpx
import pytest
from hypha_rpc import connect_to_server

from crash import Writer, doctor
from harness import User, eventually
from s3 import S3

CRASHES = int(os.environ.get("RHIZOME_CRASHES", "3"))
WRITERS = 4


@pytest.fixture(params=["folder", "s3"])
def storage(request, tmp_path):
    """The kind of storage: the data folder, or an S3 server."""
    if request.param == "folder":
        yield None
        return
    s3 = S3(tmp_path / "s3")
    s3.start()
    yield s3
    s3.stop()


async def session(server, user):
    api = await connect_to_server({"server_url": server.url, "token": user.token()})
    return api, await api.get_service("public/artifact-manager")


@pytest.mark.ours
@pytest.mark.timeout(120 + 30 * CRASHES)
async def test_acknowledged_writes_of_artifacts_survive_kill_9(crashable, storage, capsys):
    args = storage.args() if storage else ()
    server = crashable(args=args)
    user = User(server, "alice")
    writers = [Writer(lane, user.workspace) for lane in ("red", "green", "blue", "grey")[:WRITERS]]
    ready, unanswered, landed, notes = [server.start()], 0, 0, Counter()
    for number in range(CRASHES):
        api, manager = await session(server, user)
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
            before = [sum(one.done.values()) for one in writers]
            loops = [asyncio.ensure_future(one.work(manager, http, user.token())) for one in writers]

            def busy():
                return any(loop.done() for loop in loops) or all(
                    sum(one.done.values()) > known for one, known in zip(writers, before))

            await eventually(busy, 30, what="all writers have written")
            until = time.monotonic() + random.uniform(0.0, 1.0)  # the random moment
            while time.monotonic() < until and not any(loop.done() for loop in loops):
                await asyncio.sleep(0.01)
            for loop in loops:
                assert not loop.done(), loop.exception()
            server.kill()
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
        await api.disconnect()
        verdict = await asyncio.to_thread(doctor, server)
        assert verdict["errors"] == 0, verdict["findings"]
        notes.update(finding["kind"] for finding in verdict["findings"])
        ready.append(await asyncio.to_thread(server.start))
        api, manager = await session(server, user)
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
            for one in writers:
                calls, came = await one.check(manager, http, user.token(), number + 1 == CRASHES)
                unanswered, landed = unanswered + calls, landed + came
        await api.disconnect()
    if storage:
        await eventually(lambda: not storage.parts_left(), what="parts in the bucket are given up")
    assert server.stop() == 0
    verdict = doctor(server, "--deep")
    assert verdict["errors"] == 0, verdict["findings"]
    assert {finding["kind"] for finding in verdict["findings"]} <= {"garbage"}, verdict["findings"]
    done = sum((one.done for one in writers), Counter())
    with capsys.disabled():
        print(f"\n{CRASHES} kills ({'s3' if storage else 'folder'}): {sum(done.values())} acknowledged writes "
              f"({', '.join(f'{kind} {count}' for kind, count in done.most_common())}), {unanswered} not answered, "
              f"of which {landed} were done; left by the kills: {dict(notes) or 'nothing'}; start-up median "
              f"{sorted(ready)[len(ready) // 2] * 1000:.0f} ms, slowest {max(ready) * 1000:.0f} ms")
