"""What clients do with each other through the server: calls, callbacks, data, events."""

import asyncio
import time

import numpy as np
import pytest

from harness import eventually, failure


@pytest.fixture
async def pair(connect, alice):
    """A provider and a consumer in one workspace."""
    return await connect(alice, client_id="provider"), await connect(alice, client_id="consumer")


async def serve(provider, consumer, **members):
    config = members.pop("config", {})
    await provider.register_service({"id": "svc", "config": config, **members})
    return await consumer.get_service("provider:svc")


# --- calls ---------------------------------------------------------------------------------

async def test_a_service_between_two_clients(pair):
    provider, consumer = pair
    svc = await serve(provider, consumer, hello=lambda name: f"hi {name}", answer=42,
                      nested={"add": lambda a, b=1: a + b})
    assert await svc.hello("bob") == "hi bob"
    assert svc.answer == 42
    assert await svc.nested.add(1) == 2
    assert await svc.nested.add(a=1, b=4) == 5
    workspace = provider.config.workspace
    assert svc.id == f"{workspace}/provider:svc"
    assert svc.config.workspace == workspace
    assert svc.config.url.endswith(f"/{workspace}/services/provider:svc")


async def test_a_service_of_the_caller_itself(api):
    await api.register_service({"id": "own", "twice": lambda x: 2 * x})
    assert await (await api.get_service("own")).twice(4) == 8


async def test_errors_carry_class_and_text(pair):
    def boom():
        raise ValueError("no good")

    svc = await serve(*pair, boom=boom)
    assert "ValueError: no good" in await failure(svc.boom())


async def test_callbacks_run_during_the_call(pair):
    async def each(items, callback):
        for item in items:
            await callback(item)
        return len(items)

    svc, seen = await serve(*pair, each=each), []
    assert await svc.each([1, "two", None], seen.append) == 3
    assert seen == [1, "two", None]


async def test_a_callback_answers_its_caller(pair):
    async def ask(callback):
        return await callback(20) + 2

    svc = await serve(*pair, ask=ask)
    assert await svc.ask(lambda x: 2 * x) == 42


async def test_an_interface_object_outlives_the_call(pair):
    async def keep(interface):
        kept.append(interface)

    kept = []
    svc = await serve(*pair, keep=keep)
    await svc.keep({"_rintf": True, "double": lambda x: 2 * x})
    assert await kept[0].double(21) == 42


async def test_many_calls_at_once_keep_their_answers_apart(pair):
    async def later(x):
        await asyncio.sleep(0.001 * (x % 7))
        return x

    svc = await serve(*pair, later=later)
    assert await asyncio.gather(*[svc.later(i) for i in range(200)]) == list(range(200))


async def test_order_is_kept_between_two_clients(pair):
    seen = []
    svc = await serve(*pair, note=seen.append)
    await asyncio.gather(*[svc.note(i) for i in range(300)])
    assert seen == list(range(300))


async def test_a_call_longer_than_its_timeout_lives_by_heartbeats(connect, alice):
    provider = await connect(alice, client_id="provider")
    consumer = await connect(alice, client_id="consumer", method_timeout=3)

    async def slow():
        await asyncio.sleep(8)
        return "done"

    svc = await serve(provider, consumer, slow=slow)
    assert await svc.slow() == "done"


async def test_a_long_manager_call_lives_by_heartbeats(connect, alice, raw):
    """Pinging a mute client for 8 s outlasts the caller's timeout of 3 s."""
    consumer = await connect(alice, method_timeout=3)
    mute = await raw(alice, client_id="mute")
    await mute.register_built_in()
    answer = await consumer.ping("mute", timeout=8)
    assert answer.startswith(f"Failed to ping client {alice.workspace}/mute: ")


# --- data ----------------------------------------------------------------------------------

@pytest.mark.parametrize("value", [
    None, True, 0, -1, 2**53, 2**63 - 1, -(2**63), 1.5, "", "üñí ☃", [], [1, [2, [3]]], {},
    {"a": {"b": [None, False]}}, b"", b"\x00\xff" * 10, {"bytes": b"abc"},
], ids=repr)
async def test_values_survive_both_ways(pair, value):
    svc = await serve(*pair, echo=lambda x: x)
    assert await svc.echo(value) == value


@pytest.mark.parametrize("value", [
    None, True, 7, 1.5, "text", [1, 2], {"a": [1]}, b"\x00\xff", 2**63 - 1,
], ids=repr)
async def test_values_survive_the_manager(api, value):
    assert await api.echo(value) == value


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "float32", "float64", "bool"])
async def test_arrays(pair, dtype):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    svc = await serve(*pair, flip=lambda x: x[::-1])
    result = await svc.flip(array)
    assert result.dtype == array.dtype and np.array_equal(result, array[::-1])


async def test_arrays_through_the_manager(api):
    array = np.linspace(0, 1, 11)
    assert np.array_equal(await api.echo(array), array)


@pytest.mark.parametrize("size", [100_000, 263_000, 1_000_000, 5_000_000])
async def test_large_payloads_both_ways(pair, size):
    data = bytes(i * 7 % 251 for i in range(4096)) * (size // 4096 + 1)
    svc = await serve(*pair, echo=lambda x: x)
    assert await svc.echo(data[:size]) == data[:size]


async def test_large_arrays(pair):
    array = np.random.default_rng(1).random((800, 800))
    svc = await serve(*pair, total=lambda x: float(x.sum()), make=lambda n: np.ones((n, n)))
    assert await svc.total(array) == pytest.approx(array.sum())
    assert (await svc.make(900)).sum() == 810_000


@pytest.mark.parametrize("size", [300_000, 3_000_000])
async def test_large_payloads_through_the_manager(api, size):
    data = b"0123456789" * (size // 10)
    assert await api.echo(data) == data


async def test_generators(pair):
    def count(n):
        yield from range(n)

    async def count_slowly(n):
        for i in range(n):
            await asyncio.sleep(0.01)
            yield i

    svc = await serve(*pair, count=count, count_slowly=count_slowly)
    assert [i async for i in await svc.count(5)] == [0, 1, 2, 3, 4]
    assert [i async for i in await svc.count_slowly(3)] == [0, 1, 2]


# --- what is not there ---------------------------------------------------------------------

async def test_unknown_service(api):
    error = await failure(api.get_service("nothing-like-it"))
    assert "KeyError" in error
    assert f"Service not found: {api.config.workspace}/*:nothing-like-it@*" in error


async def test_a_provider_that_left(connect, alice):
    provider, consumer = await connect(alice, client_id="provider"), await connect(alice)
    svc = await serve(provider, consumer, echo=lambda x: x)
    assert await svc.echo(1) == 1
    await provider.disconnect()
    started = time.monotonic()
    with pytest.raises(Exception):
        await svc.echo(2)
    assert time.monotonic() - started < 10, "the caller is told, it does not wait for its timeout"


async def test_frames_to_the_departed(raw, alice):
    caller, gone = await raw(alice), await raw(alice, client_id="gone")
    await caller.call("subscribe", ["client_disconnected"])
    await gone.register_built_in()
    await gone.close()
    await caller.next_frame(lambda h: h["type"] == "client_disconnected")
    address = f"{alice.workspace}/gone"
    header = {"type": "method", "from": caller.address, "to": address, "method": "services.svc.x"}
    await caller.send(header, {"args": [1]})  # nobody waits: no answer
    await caller.send({**header, "session": "s1"}, {"args": [2], "promise": "*", "t": 15.0})
    reply, body = await caller.next_frame(lambda h: h["type"] == "method")
    assert reply == {"type": "method", "from": address, "to": caller.address, "method": "s1.reject"}
    assert body == {"args": [{"_rtype": "error", "_rtrace": "",
                              "_rvalue": f"Target peer {address} is not connected"}]}


async def test_a_call_pending_when_its_provider_leaves(connect, alice):
    provider, consumer = await connect(alice, client_id="provider"), await connect(alice)
    reached = asyncio.Event()

    async def hang():
        reached.set()
        await asyncio.sleep(60)

    svc = await serve(provider, consumer, hang=hang)
    call = asyncio.ensure_future(svc.hang())
    await asyncio.wait_for(reached.wait(), 10)
    await provider.disconnect()
    assert "isconnected" in await failure(asyncio.wait_for(call, 10))


async def test_unknown_manager_method(raw):
    peer = await raw()
    kind, error = await peer.call("no_such_method")
    assert kind == "reject" and error["_rtype"] == "error"
    assert "Method expired or not found" in error["_rvalue"]


async def test_missing_and_unknown_arguments(raw):
    peer = await raw()
    kind, error = await peer.call("echo")
    assert kind == "reject" and "TypeError" in error["_rvalue"]
    assert "Missing required argument: 'data'" in error["_rvalue"]
    session = "kw"
    await peer.send({"type": "method", "to": peer.manager, "method": "services.default.echo",
                     "session": session},
                    {"args": [{"data": 1, "bogus": 2}], "with_kwargs": True, "promise": "*", "t": 9})
    _, body = await peer.next_frame(lambda h: h.get("method") == "kw.reject")
    assert "got an unexpected keyword argument 'bogus'" in body["args"][0]["_rvalue"]


# --- across workspaces ---------------------------------------------------------------------

async def test_public_services_are_open_to_all(connect, alice, bob):
    provider, stranger = await connect(alice, client_id="provider"), await connect(bob)
    await provider.register_service(
        {"id": "open", "config": {"visibility": "public"}, "echo": lambda x: x})
    for caller in (stranger, await connect()):
        svc = await caller.get_service(f"{alice.workspace}/provider:open")
        assert await svc.echo("hello") == "hello"


async def test_unlisted_services_are_open_to_those_who_know(connect, alice, bob):
    provider, stranger = await connect(alice, client_id="provider"), await connect(bob)
    await provider.register_service(
        {"id": "quiet", "config": {"visibility": "unlisted"}, "echo": lambda x: x})
    assert await (await stranger.get_service(f"{alice.workspace}/provider:quiet")).echo(1) == 1
    listed = await stranger.list_services(alice.workspace)
    assert not [s for s in listed if s["id"].endswith(":quiet")]


async def test_protected_services_are_not(connect, alice, bob):
    provider, stranger = await connect(alice, client_id="provider"), await connect(bob)
    await provider.register_service({"id": "mine", "echo": lambda x: x})
    for caller in (stranger, await connect()):
        error = await failure(caller.get_service(f"{alice.workspace}/provider:mine"))
        assert "PermissionError" in error
        assert f"Permission denied for non-public service in workspace {alice.workspace}" in error


async def test_authorized_workspaces(connect, alice, bob, user):
    provider = await connect(alice, client_id="provider")
    await provider.register_service({
        "id": "shared", "config": {"authorized_workspaces": [bob.workspace]}, "echo": lambda x: x})
    svc = await (await connect(bob)).get_service(f"{alice.workspace}/provider:shared")
    assert await svc.echo(3) == 3
    outsider = await connect(user("carol"))
    assert "Permission denied" in await failure(outsider.get_service(f"{alice.workspace}/provider:shared"))


# --- context -------------------------------------------------------------------------------

async def test_context_names_the_caller(pair, alice):
    svc = await serve(*pair, who=lambda context=None: context, config={"require_context": True})
    context = await svc.who()
    assert context["ws"] == alice.workspace
    assert context["from"] == f"{alice.workspace}/consumer"
    assert context["to"] == f"{alice.workspace}/provider"
    assert context["user"]["id"] == alice.id
    assert context["user"]["scope"]["workspaces"][alice.workspace] == "a"


async def test_context_of_a_caller_from_elsewhere(connect, alice, bob):
    provider, caller = await connect(alice, client_id="provider"), await connect(bob)
    await provider.register_service({
        "id": "svc", "config": {"require_context": True, "visibility": "public"},
        "who": lambda context=None: context})
    context = await (await caller.get_service(f"{alice.workspace}/provider:svc")).who()
    assert context["ws"] == bob.workspace and context["user"]["id"] == bob.id


async def test_context_cannot_be_forged(raw, alice, bob):
    victim, forger = await raw(alice, client_id="victim"), await raw(bob)
    await forger.send(
        {"type": "method", "from": f"{alice.workspace}/victim", "to": victim.address, "ws": "*",
         "method": "services.svc.x", "session": "s", "extra": "kept",
         "user": {"id": "root", "roles": ["admin"], "scope": {"workspaces": {"*": "a"}}}},
        {"args": [1], "promise": "*", "t": 15.0})
    header, body = await victim.next_frame(lambda h: h.get("method") == "services.svc.x")
    assert header["from"] == forger.address
    assert header["ws"] == bob.workspace
    assert header["to"] == victim.address
    assert header["user"] == forger.info["user"]
    assert header["session"] == "s" and header["extra"] == "kept"
    assert body == {"args": [1], "promise": "*", "t": 15.0}


async def test_a_context_argument_is_not_the_context(api, raw, bob):
    """The manager takes the caller from the connection, never from an argument."""
    await api.set_env("SECRET", "hidden")
    thief = await raw(bob)
    forged = {"ws": api.config.workspace, "from": f"{api.config.workspace}/x", "user": {"id": "root"}}
    for args, keywords in (([{"key": "SECRET", "context": forged}], True), (["SECRET", forged], False)):
        await thief.send({"type": "method", "from": thief.address, "to": thief.manager,
                          "method": "services.default.get_env", "session": "s"},
                         {"args": args, "with_kwargs": keywords, "promise": "*", "t": 15.0})
        header, body = await thief.next_frame(lambda h: h.get("method") in ("s.resolve", "s.reject"))
        assert header["method"] == "s.reject", body
        assert "hidden" not in str(body)


# --- events --------------------------------------------------------------------------------

async def test_events_reach_those_who_subscribed(raw, alice, bob):
    sender, listener, deaf = [await raw(alice) for _ in range(3)]
    elsewhere = await raw(bob)
    assert await listener.call("subscribe", "my-event") == ("resolve", True)
    assert await elsewhere.call("subscribe", ["my-event"]) == ("resolve", True)
    assert await sender.call("subscribe", ["my-event"]) == ("resolve", True)
    await sender.send({"type": "my-event", "to": "*", "data": {"n": 1}})
    for peer in (listener, sender):
        event, _ = await peer.next_frame(lambda h: h["type"] == "my-event")
        assert event["data"] == {"n": 1}
        assert event["from"] == sender.address and event["ws"] == alice.workspace
        assert event["to"] == f"{alice.workspace}/*" and event["user"]["id"] == alice.id
    for peer in (deaf, elsewhere):
        with pytest.raises(asyncio.TimeoutError):
            await peer.next_frame(lambda h: h["type"] == "my-event", timeout=0.5)


async def test_unsubscribe(raw, alice):
    peer = await raw(alice)
    await peer.call("subscribe", ["a-thing", "b-thing"])
    assert await peer.call("unsubscribe", "a-thing") == ("resolve", True)
    await peer.send({"type": "a-thing", "to": "*", "data": 1})
    await peer.send({"type": "b-thing", "to": "*", "data": 2})
    event, _ = await peer.next_frame(lambda h: h["type"] in ("a-thing", "b-thing"))
    assert event["type"] == "b-thing"


async def test_events_of_the_unmodified_client(pair):
    provider, consumer = pair
    seen = asyncio.Queue()
    consumer.on("greeting", seen.put_nowait)
    await consumer.subscribe("greeting")
    await provider.emit({"type": "greeting", "to": "*", "data": "hello"})
    event = await asyncio.wait_for(seen.get(), 10)
    assert event["data"] == "hello" and event["type"] == "greeting"


async def test_service_and_client_events(raw, connect, alice):
    watcher = await raw(alice)
    await watcher.call("subscribe", ["service_added", "service_removed", "client_connected",
                                     "client_disconnected"])
    api = await connect(alice, client_id="comer")

    async def event(kind, where=lambda data: True):
        header, body = await watcher.next_frame(
            lambda h: h["type"] == kind and where(h["data"]))
        assert body is None and header["to"] == "*"
        assert not {"from", "ws", "user"} & set(header), "events of the server carry no sender"
        return header["data"]

    assert await event("client_connected") == {
        "id": f"{alice.workspace}/comer", "workspace": alice.workspace}
    await api.register_service({"id": "new", "type": "thing", "echo": lambda x: x})
    added = await event("service_added", lambda data: data["id"].endswith(":new"))
    assert added["id"] == f"{alice.workspace}/comer:new" and added["type"] == "thing"
    assert added["config"]["visibility"] == "protected"
    await api.unregister_service("new")
    assert (await event("service_removed"))["id"] == f"{alice.workspace}/comer:new"
    await api.disconnect()
    assert await event("client_disconnected") == {"id": "comer", "workspace": alice.workspace}


@pytest.mark.parametrize("event", ["ws-user-somebody/thing", "ws-user-somebody"])
async def test_events_of_other_workspaces_cannot_be_subscribed_to(raw, event):
    kind, error = await (await raw()).call("subscribe", [event])
    assert kind == "reject"
    assert f"Subscription to event '{event}' is forbidden" in error["_rvalue"]


async def test_read_only_clients_cannot_broadcast(raw, alice):
    listener = await raw(alice)
    await listener.call("subscribe", ["shout", "done"])
    _, token = await listener.call("generate_token", {"permission": "read"})
    reader = await raw(token=token, workspace=alice.workspace)
    await reader.send({"type": "shout", "from": reader.address, "to": "*", "session": "s", "data": 1})
    _, body = await reader.next_frame(lambda h: h.get("method") == "s.reject")
    assert body["args"][0]["_rvalue"] == (
        f"Read-only client {reader.address} cannot broadcast messages. "
        "Only point-to-point messages are allowed for read-only clients.")
    await listener.send({"type": "done", "to": "*"})
    event, _ = await listener.next_frame(lambda h: h["type"] in ("shout", "done"))
    assert event["type"] == "done"
    assert (await reader.call("list_clients"))[0] == "resolve"


@pytest.mark.ours
async def test_broadcasts_stay_at_home(raw, alice, bob):
    """Neither a spelled-out target nor a read-only token gets around the rule."""
    listener, stranger = await raw(alice), await raw(bob)
    await listener.call("subscribe", ["shout", "done"])
    _, token = await listener.call("generate_token", {"permission": "read"})
    reader = await raw(token=token, workspace=alice.workspace)
    for peer in (stranger, reader):
        await peer.send({"type": "shout", "to": f"{alice.workspace}/*", "data": 1})
        await peer.text({"type": "ping"})
        assert (await peer.next_text())["type"] == "pong"
    await listener.send({"type": "done", "to": "*"})
    event, _ = await listener.next_frame(lambda h: h["type"] in ("shout", "done"))
    assert event["type"] == "done"


async def test_one_slow_reader_does_not_hold_up_the_others(raw, connect, alice):
    """A client that stops reading gets a flood; two others go on talking meanwhile."""
    stuck = await raw(alice, client_id="stuck")
    stuck.socket.transport.pause_reading()
    flooder = await raw(alice, client_id="flooder")
    provider, consumer = await connect(alice, client_id="provider"), await connect(alice)
    svc = await serve(provider, consumer, echo=lambda x: x)

    async def flood():
        for _ in range(60):
            await flooder.send({"type": "flood", "to": "stuck"}, {"args": [b"x" * 200_000]})

    flooding = asyncio.ensure_future(flood())
    started = time.monotonic()
    for i in range(50):
        assert await svc.echo(i) == i
    assert time.monotonic() - started < 10
    flooding.cancel()
    stuck.socket.transport.abort()


async def test_direct_frames_need_no_subscription(raw, alice):
    one, two = await raw(alice), await raw(alice, client_id="two")
    for target in ("two", f"{alice.workspace}/two"):
        await one.send({"type": "note", "to": target, "n": 1})
        header, _ = await two.next_frame(lambda h: h["type"] == "note")
        assert header["to"] == f"{alice.workspace}/two"


async def test_the_connection_survives_a_frame_without_target(raw):
    peer = await raw()
    await peer.send({"type": "method", "from": peer.address, "session": "s",
                     "method": "services.default.echo"})
    _, body = await peer.next_frame(lambda h: h.get("method") == "s.reject")
    assert body["args"][0]["_rtype"] == "error"
    assert await peer.alive()


async def test_nothing_is_lost_when_a_provider_reconnects(connect, alice):
    provider = await connect(alice, client_id="provider")
    consumer = await connect(alice)
    await provider.register_service({"id": "svc", "echo": lambda x: x})
    await provider.rpc._connection._websocket.close(1011)

    async def back():
        services = await consumer.list_services()
        return any(s["id"].endswith("provider:svc") for s in services)

    await eventually(back, 20, every=0.2)
    assert await (await consumer.get_service("provider:svc")).echo(1) == 1
