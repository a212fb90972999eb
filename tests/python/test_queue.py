"""Task queues: `public/queue`."""

import asyncio
import math

import pytest

from harness import bearer, failure, leave_waiting


@pytest.fixture
async def queue(api):
    return await api.get_service("public/queue")


async def test_first_in_first_out(queue):
    for number in range(5):
        assert await queue.push("jobs", {"number": number}) is None
    assert await queue.get_length("jobs") == 5
    assert await queue.peek("jobs") == [{"number": 0}]
    assert await queue.peek("jobs", n=3) == [{"number": 0}, {"number": 1}, {"number": 2}]
    assert await queue.get_length("jobs") == 5
    assert [(await queue.pop("jobs"))["number"] for _ in range(5)] == [0, 1, 2, 3, 4]
    assert await queue.pop("jobs", timeout=0) is None
    assert await queue.peek("jobs", 100) == []
    assert await queue.get_length("jobs") == 0


async def test_tasks_arrive_as_they_are(queue):
    task = {"text": "üñí", "list": [1, 2.5, None, True], "deep": {"a": {"b": []}}, "": ""}
    await queue.push("shapes", task)
    assert await queue.pop("shapes") == task


async def test_pop_waits_for_a_task(queue):
    waiting = asyncio.ensure_future(queue.pop("late", timeout=30))
    assert await queue.get_length("late") == 0
    await queue.push("late", {"a": 1})
    assert await asyncio.wait_for(waiting, 5) == {"a": 1}
    assert await queue.pop("late", timeout=0.2) is None


async def test_each_task_goes_to_one_worker(connect, alice):
    workers = [await (await connect(alice)).get_service("public/queue") for _ in range(3)]
    waiting = [asyncio.ensure_future(worker.pop("shared", timeout=30)) for worker in workers * 5]
    for number in range(15):
        await workers[0].push("shared", {"number": number})
    tasks = await asyncio.wait_for(asyncio.gather(*waiting), 10)
    assert sorted(task["number"] for task in tasks) == list(range(15))


async def test_who_left_takes_no_task_along(raw, alice, api, queue):
    await leave_waiting(raw, alice, api, queue, "pop", ["left", 60])
    await queue.push("left", {"a": 1})
    assert await queue.pop("left", timeout=0) == {"a": 1}


async def test_queues_belong_to_a_workspace(queue, connect, bob):
    await queue.push("mine", {"secret": 1})
    other = await (await connect(bob)).get_service("public/queue")
    assert await other.get_length("mine") == 0
    assert await other.peek("mine") == []
    assert await other.pop("mine", timeout=0) is None
    assert await queue.get_length("mine") == 1


async def test_readers_may_only_look(queue, api, connect):
    await queue.push("seen", {"a": 1})
    token = await api.generate_token({"permission": "read"})
    reader = await (await connect(token=token)).get_service("public/queue")
    assert await reader.peek("seen") == [{"a": 1}]
    assert "PermissionError" in await failure(reader.push("seen", {}))
    assert "PermissionError" in await failure(reader.pop("seen", timeout=0))


async def test_names(queue):
    for name in ("a", "0", "A.b-c_d", "x" * 128):
        await queue.push(name, {})
        assert await queue.pop(name) == {}
    for name in ("", "-a", ".a", "_a", "a b", "a/b", "a:b", "é", "x" * 129, "a\n"):
        for call in (queue.push(name, {}), queue.pop(name, timeout=0), queue.peek(name),
                     queue.get_length(name)):
            assert (await failure(call)).startswith("ValueError: Invalid queue name")


async def test_wrong_arguments(queue):
    for task in ("text", 5, None, [1]):
        assert "TypeError" in await failure(queue.push("wrong", task))
    assert "not JSON serializable" in await failure(queue.push("wrong", {"a": [b"bytes"]}))
    for n in (0, -1, 101):
        assert "n should be between 1 and 100" in await failure(queue.peek("wrong", n))
    for timeout in (-1, 301, math.inf):
        assert "timeout" in await failure(queue.pop("wrong", timeout=timeout))
    assert "Missing required argument" in await failure(queue.push("wrong"))
    assert await queue.get_length("wrong") == 0


async def test_what_waits_is_bounded(queue):
    assert "limit is 1048576" in await failure(queue.push("big", {"a": "x" * 1_100_000}))
    part = {"a": "x" * 1_000_000}
    with pytest.raises(Exception) as full:
        for _ in range(100):
            await queue.push("big", part)
    assert "Queue limit exceeded" in str(full.value)
    taken = 0
    while await queue.pop("big", timeout=0):
        taken += 1
    assert taken > 50


async def test_over_http(http, alice):
    headers = bearer(alice.token())
    base = "/public/services/queue"
    pushed = await http.post(f"{base}/push", headers=headers,
                             json={"queue_name": "2024", "task": {"a": 1}})
    assert pushed.status_code == 200, pushed.text
    length = await http.get(f"{base}/get_length", headers=headers, params={"queue_name": "2024"})
    assert length.json() == 1
    popped = await http.get(f"{base}/pop", headers=headers, params={"queue_name": "2024", "timeout": 0})
    assert popped.json() == {"a": 1}
    nobody = await http.post(f"{base}/push", json={"queue_name": "x", "task": {}})
    assert nobody.status_code == 403
