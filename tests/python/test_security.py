"""Bad input and bad people. Whatever one connection sends, the others go on."""

import asyncio
import json
import struct
import uuid

import msgpack
import pytest
import websockets

from harness import Refused, failure


# --- frames --------------------------------------------------------------------------------

def header(**fields):
    return msgpack.packb({"type": "method", "to": "*/x", "method": "services.default.echo", **fields})


def nested(levels, opener, tail=b"\xc0"):
    return opener * levels + tail


HOSTILE = {
    "empty": b"",
    "nil": b"\xc0",
    "a reserved byte": b"\xc1" * 8,
    "a truncated header": header()[:-3],
    "a header cut within a string": b"\x81\xa4type\xa9meth",
    "a map that promises 2^32 entries": b"\xdf\xff\xff\xff\xff\xa1a\x01",
    "an array that promises 2^32 items": b"\x81\xa2to\xdd\xff\xff\xff\xff",
    "a string that promises 2^32 bytes": b"\x81\xa2to\xdb\xff\xff\xff\xffabc",
    "bytes that promise 2^32 bytes": b"\x81\xa2to\xc6\xff\xff\xff\xffabc",
    "an extension that promises 2^32 bytes": b"\x81\xa2to\xc9\xff\xff\xff\xff\x01abc",
    "a header of 100,000 nested arrays": nested(100_000, b"\x91"),
    "a header of 100,000 nested maps": nested(100_000, b"\x81\xa1a"),
    "nesting inside a header field": b"\x82\xa2to\xa1*\xa1x" + nested(100_000, b"\x91"),
    "keys that are no strings": b"\x82\x01\x02\xc0\x03",
    "an array as header": b"\x93\x01\x02\x03",
    "text as header": b"\xa5hello",
    "the same key twice": b"\x84\xa4type\xa6method\xa2to\xa1*\xa2to\xa3abc\xa4type\xa1x",
    "a target that is no string": msgpack.packb({"type": "method", "to": 5, "session": "s"}),
    "a type that is no string": msgpack.packb({"type": [1], "to": "*"}),
    "invalid UTF-8": b"\x82\xa4type\xa6method\xa2to\xa4\xff\xfe\xfd\xfc",
    "random bytes": bytes(i * 131 % 256 for i in range(4000)),
}

# Bodies behind a header that is in order and goes to the server itself, which has to decode them.
BODIES = {
    "a truncated body": b"\x81\xa4args\x93\x01",
    "a body that promises 2^32 items": b"\x81\xa4args\xdd\xff\xff\xff\xff",
    "a body that promises 2^32 bytes": b"\x81\xa4args\x91\xc6\xff\xff\xff\xff",
    "100,000 nested arrays": b"\x81\xa4args\x91" + nested(100_000, b"\x91"),
    "100,000 nested maps": b"\x81\xa4args\x91" + nested(100_000, b"\x81\xa1a"),
    "args that are no list": msgpack.packb({"args": {"a": 1}, "promise": "*", "t": 1.0}),
    "a body that is no map": msgpack.packb([1, 2, 3]),
    "keywords without any": msgpack.packb({"args": [], "with_kwargs": True, "promise": "*", "t": 1}),
    "keywords that are no map": msgpack.packb({"args": [5], "with_kwargs": True, "promise": "*", "t": 1}),
    "a promise of nonsense": msgpack.packb({"args": [1], "promise": {"resolve": 5}, "t": "x"}),
    "a heartbeat every 0 s": msgpack.packb({"args": [1], "promise": "*", "t": 0}),
    "a negative interval": msgpack.packb({"args": [1], "promise": "*", "t": -1e300}),
    "a tag without its fields": msgpack.packb({"args": [{"_rtype": "method"}], "promise": "*", "t": 5}),
    "an array of the wrong shape": msgpack.packb({"args": [
        {"_rtype": "ndarray", "_rvalue": b"123", "_rshape": [2**31, 2**31], "_rdtype": "float64"}],
        "promise": "*", "t": 5}),
    "three values": msgpack.packb({"args": [1], "promise": "*", "t": 5}) * 3,
}


async def still_there(peer, bystander):
    """The sender may be cut off, the bystander must not be."""
    assert await bystander.alive()
    try:
        return await asyncio.wait_for(peer.alive(), 10)
    except (websockets.ConnectionClosed, asyncio.TimeoutError):
        return False


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_frames(raw, alice, name):
    bystander, peer = await raw(alice), await raw(alice)
    for _ in range(3):
        await peer.socket.send(HOSTILE[name])
    assert await still_there(peer, bystander), "a frame that cannot be read is ignored"


@pytest.mark.parametrize("name", BODIES)
async def test_hostile_bodies(raw, alice, name):
    bystander, peer = await raw(alice), await raw(alice)
    await peer.register_built_in()
    head = {"type": "method", "from": peer.address, "to": peer.manager,
            "method": "services.default.echo", "session": "hostile"}
    await peer.socket.send(msgpack.packb(head) + BODIES[name])
    assert await still_there(peer, bystander)


@pytest.mark.parametrize("method", [
    "", ".", "services", "services.", "services.default", "services.default.", "services.nope.x",
    "services.default.echo.more", "services.default.__init__", "services.default.config", "x" * 10_000,
    "unknown.resolve", "../../etc/passwd", "services.built-in.message_cache",
])
async def test_methods_that_are_none(raw, method):
    peer = await raw()
    await peer.send({"type": "method", "from": peer.address, "to": peer.manager, "method": method,
                     "session": "s"}, {"args": [], "promise": "*", "t": 15.0})
    _, body = await peer.next_frame(lambda h: h.get("method") == "s.reject")
    assert body["args"][0]["_rtype"] == "error"
    assert await peer.alive()


async def test_frames_between_clients_are_not_looked_into(raw, alice):
    """What the server does not have to decode it does not judge: the body is the receivers' matter."""
    one, two = await raw(alice), await raw(alice, client_id="two")
    await one.socket.send(msgpack.packb({"type": "note", "to": "two"}) + BODIES["100,000 nested arrays"])
    while isinstance(frame := await asyncio.wait_for(two.socket.recv(), 10), str):
        pass
    assert frame.endswith(BODIES["100,000 nested arrays"])
    assert await one.alive() and await two.alive()


async def test_a_frame_of_more_than_16_mib(raw, alice):
    bystander, peer = await raw(alice), await raw(alice)
    with pytest.raises(websockets.ConnectionClosed):
        await peer.socket.send(header(to="*/nobody") + b"\xc6" + struct.pack(">I", 17 << 20) + bytes(17 << 20))
        while True:
            await asyncio.wait_for(peer.socket.recv(), 10)
    assert peer.socket.close_code in (1009, 1006)
    assert await bystander.alive()


@pytest.mark.parametrize("calls", [
    [("set", "no-such-key", 0, b"x", False)], [("process", "no-such-key", False)],
    [("append", "no-such-key", b"x", False)], [("create", "k", False), ("create", "k", False)],
    [("create", "k", False), ("set", "k", 0, b"\xc1\xc1", False), ("process", "k", False)],
    [("create", "k", False), ("set", "k", 10**9, b"x", False), ("process", "k", False)],
    [("create", "k", False), ("set", "k", -1, b"x", False)],
    [("create", "k", True)], [("create", 5)], [("set",)],
], ids=lambda calls: "+".join(call[0] for call in calls))
async def test_misuse_of_the_message_cache(raw, calls):
    """Chunks that make no message are an error to their sender or nothing, never a lost connection."""
    peer = await raw()
    await peer.register_built_in()
    fresh = uuid.uuid4().hex
    for method, *args in calls:
        args = [fresh if arg == "k" else arg for arg in args]
        await peer.call(method, *args, service="services.built-in.message_cache")
    assert await peer.alive()


async def test_a_chunked_message_cannot_forge_its_sender(raw, alice, bob):
    """`from` and `user` of a reassembled message are those of the one who sent the chunks."""
    victim = await raw(alice)
    await victim.call("set_env", "SECRET", "hidden")
    thief = await raw(bob)
    await thief.register_built_in()
    inner = msgpack.packb({
        "type": "method", "from": victim.address, "to": thief.manager, "ws": alice.workspace,
        "user": victim.info["user"], "method": "services.default.get_env", "session": "inner",
    }) + msgpack.packb({"args": ["SECRET"], "promise": "*", "t": 15.0})
    key = uuid.uuid4().hex
    for method, *args in (("create", key, False), ("set", key, 0, inner, False)):
        assert (await thief.call(method, *args, service="services.built-in.message_cache"))[0] == "resolve"
    await thief.send({"type": "method", "from": thief.address, "to": thief.manager,
                      "method": "services.built-in.message_cache.process", "session": "outer"},
                     {"args": [key, False], "promise": "*", "t": 15.0})
    _, body = await thief.next_frame(lambda h: h.get("method") in ("inner.resolve", "inner.reject"))
    assert "hidden" not in str(body) and body["args"][0]["_rtype"] == "error"
    assert await victim.alive()


async def test_bytes_that_are_no_websocket(server, raw):
    bystander = await raw()
    host, port = server.url.removeprefix("http://").split(":")
    for data in (b"\x00" * 100, b"GET /ws HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00",
                 b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n"):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(data)
        writer.write_eof()
        await asyncio.wait_for(reader.read(), 15)
        writer.close()
    assert await bystander.alive()


async def test_connections_cut_in_the_middle(raw, alice):
    bystander = await raw(alice)
    for _ in range(20):
        peer = await raw(alice)
        await peer.register_built_in()
        peer.socket.transport.abort()
    assert await bystander.alive()


# --- texts that clients expect -------------------------------------------------------------

async def test_a_wrong_token(raw, alice):
    bystander = await raw(alice)
    with pytest.raises(Refused) as refused:
        await raw(token="wrong", client_id=bystander.info["client_id"], workspace=alice.workspace)
    assert "Error decoding token headers." in refused.value.message
    assert await bystander.alive()


async def test_an_unknown_service(raw, alice):
    peer = await raw(alice)
    _, error = await peer.call("get_service", "nothing")
    text = error["_rvalue"].strip().splitlines()[-1]
    assert text == f"KeyError: 'Service not found: {alice.workspace}/*:nothing@*'"
    assert error["_rtype"] == "error" and "_rtrace" in error


@pytest.mark.ours
async def test_errors_show_nothing_of_the_inside(raw):
    peer = await raw()
    for call in (("get_service", "nothing"), ("echo",), ("set_env", 5, 6), ("generate_token", "x")):
        kind, error = await peer.call(*call)
        if kind == "reject":
            text = error["_rvalue"] + error["_rtrace"]
            assert "Traceback" not in text and ".rs" not in text and "/home" not in text, text


# --- a second user -------------------------------------------------------------------------

@pytest.mark.ours
async def test_strangers_do_not_see_who_is_connected(connect, alice, bob):
    await connect(alice)
    for stranger in (await connect(bob), await connect()):
        for query in ("*", {"workspace": "*"}, alice.workspace):
            assert alice.id not in str(await stranger.list_services(query))


@pytest.mark.ours
async def test_strangers_get_no_workspace_info(connect, api, alice, bob):
    stranger = await connect(bob)
    await failure(stranger.get_workspace_info(alice.workspace))


@pytest.mark.ours
async def test_an_ambiguous_lookup_names_nothing_hidden(connect, alice, bob):
    for name in ("one", "two"):
        await (await connect(alice, client_id=name)).register_service({"id": "svc", "f": lambda: 1})
    error = await failure((await connect(bob)).get_service(f"{alice.workspace}/svc"))
    assert "one:svc" not in error and "two:svc" not in error


@pytest.mark.parametrize("call", [
    ("cleanup", "{ws}"), ("list_clients", "{ws}"), ("delete_workspace", "{ws}"),
    ("generate_token", {"workspace": "{ws}"}),
])
async def test_calls_on_somebody_elses_workspace(connect, api, alice, bob, call):
    method, argument = call
    argument = json.loads(json.dumps(argument).replace("{ws}", alice.workspace))
    assert "ermission" in await failure(getattr(await connect(bob), method)(argument))
    assert await api.echo("unharmed") == "unharmed"


async def test_tokens_of_others_open_nothing(connect, raw, api, alice, bob):
    """bob's own token asks for alice's workspace; so does one that bob signed himself."""
    for token in (bob.token(), bob.token(workspace=alice.workspace, secret="guessed")):
        with pytest.raises(Refused):
            await raw(token=token, workspace=alice.workspace)


async def test_answers_cannot_be_forged(connect, raw, alice, bob):
    """A third party that knows a session id cannot resolve somebody else's call."""
    provider, caller = await raw(alice, client_id="mute"), await connect(alice, method_timeout=4)
    await provider.register_built_in()
    call = asyncio.ensure_future(caller.ping("mute", timeout=2))
    ping, _ = await provider.next_frame(lambda h: h.get("session"))
    forger = await raw(bob)
    await forger.send({"type": "method", "from": provider.address, "to": forger.manager,
                       "method": f"{ping['session']}.resolve"}, {"args": ["pong"]})
    assert (await asyncio.wait_for(call, 10)).startswith("Failed to ping client")


async def test_a_stranger_cannot_unregister(connect, alice, bob):
    api, stranger = await connect(alice, client_id="owner"), await connect(bob)
    await api.register_service({"id": "svc", "config": {"visibility": "public"}, "f": lambda: 1})
    await failure(stranger.unregister_service(f"{alice.workspace}/owner:svc"))
    assert await (await stranger.get_service(f"{alice.workspace}/owner:svc")).f() == 1


