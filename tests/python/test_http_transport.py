"""Clients over plain HTTP: the unmodified client with `transport: "http"`, and peers by hand."""

import asyncio
import time

import httpx
import msgpack
import numpy as np
import pytest

from harness import bearer, eventually, failure

HTTP = {"transport": "http"}
WS = {}
WAYS = pytest.mark.parametrize("provides, calls", [(HTTP, WS), (WS, HTTP), (HTTP, HTTP)],
                               ids=["http-ws", "ws-http", "http-http"])


async def serve(connect, who, provides, calls, **members):
    """A service between two clients, each over its transport."""
    provider = await connect(who, client_id="provider", **provides)
    consumer = await connect(who, client_id="consumer", **calls)
    await provider.register_service({"id": "svc", **members})
    return await consumer.get_service("provider:svc")


async def offers(api, name):
    return any(service["id"].endswith(name) for service in await api.list_services())


# --- who gets in ---------------------------------------------------------------------------

@pytest.mark.ours
async def test_without_a_token_each_client_is_a_user_of_its_own(connect):
    one, two = await connect(**HTTP), await connect(**HTTP)
    assert one.config.workspace.startswith("ws-user-anonymouz-")
    assert one.config.workspace != two.config.workspace
    assert one.config.reconnection_token and one.config.reconnection_token_life_time == 172800
    assert await one.echo("hello") == "hello"


async def test_a_token_leads_to_its_users_workspace(connect, alice):
    api = await connect(alice, **HTTP)
    assert api.config.workspace == alice.workspace
    assert (await api.check_status())["user_permission"] == "a"


@pytest.mark.ours
async def test_what_a_stream_begins_with(stream, alice):
    peer = await stream(alice, client_id="one")
    assert peer.response.headers["content-type"] == "application/x-msgpack-stream"
    assert peer.response.headers["cache-control"] == "no-cache"
    assert peer.response.headers["x-accel-buffering"] == "no"
    assert peer.response.headers["content-encoding"] == "identity"
    assert peer.info["type"] == "connection_info"
    assert peer.address == f"{alice.workspace}/one"
    assert peer.info["manager_id"].startswith("manager-")
    assert {"reconnection_token", "reconnection_token_life_time", "public_base_url"} <= set(peer.info)


async def test_public_is_no_workspace_to_live_in(stream, alice):
    assert (await stream(alice, workspace="public")).info["workspace"] == alice.workspace
    nobody = await stream(workspace="public")
    assert nobody.info["workspace"].startswith("ws-user-anonymouz-")


async def test_a_stream_without_a_client_id_gets_one(http, alice):
    async with http.stream("GET", "/rpc", headers=bearer(alice.token())) as response:
        assert response.status_code == 200


async def refused(stream, who=None, **auth):
    peer = await stream(who, **auth)
    assert peer.info is None
    return peer.response.status_code, peer.response.json()


@pytest.mark.ours
async def test_the_workspace_of_somebody_else(stream, connect, alice, bob):
    await connect(alice)
    for who in (bob, None):
        assert await refused(stream, who, workspace=alice.workspace) == (403, {
            "success": False, "detail": f"Permission denied for workspace {alice.workspace}"})
    status, body = await refused(stream, bob, workspace="nowhere-at-all")
    assert status == 404 and "does not exist or is not accessible" in body["detail"]


@pytest.mark.ours
async def test_bad_tokens(stream, alice):
    status, body = await refused(stream, token="nonsense")
    assert status == 401 and "Error decoding token headers" in body["detail"]
    status, body = await refused(stream, token=alice.token(expires_in=-60))
    assert status == 401 and "expired" in body["detail"]
    status, body = await refused(stream, token=alice.token(extra=["file:download"]))
    assert status in (401, 403) and "cannot be used for general workspace access" in body["detail"]


@pytest.mark.ours
async def test_bad_client_ids(stream, alice):
    status, body = await refused(stream, alice, client_id="a/b")
    assert status == 400 and body["detail"] == "Invalid client id: a/b"


async def test_wrong_reconnection_tokens(stream, alice, bob):
    old = await stream(alice, client_id="one")
    token = old.info["reconnection_token"]
    for change in ({"reconnection_token": "nonsense"}, {"client_id": "two"}, {"workspace": bob.workspace}):
        auth = {"client_id": "one", "reconnection_token": token, **change}
        status, body = await refused(stream, **auth)
        assert status == 401 and body["success"] is False, change
        assert body["detail"].startswith("Invalid reconnection token: "), change


@pytest.mark.ours
async def test_a_living_client_keeps_its_id(stream, connect, alice, api):
    await connect(alice, client_id="taken")
    status, body = await refused(stream, alice, client_id="taken")
    assert status == 409 and "already exists and is active" in body["detail"]


# --- what clients do with each other -------------------------------------------------------

@WAYS
async def test_services_callbacks_and_errors(connect, alice, provides, calls):
    async def each(items, callback):
        return [await callback(item) for item in items]

    def boom():
        raise ValueError("no good")

    svc = await serve(connect, alice, provides, calls, add=lambda a, b: a + b, each=each, boom=boom,
                      nested={"twice": lambda x: 2 * x})
    assert await svc.add(5, 3) == 8
    assert await svc.nested.twice(4) == 8
    assert await svc.each([1, 2, 3], lambda x: 10 * x) == [10, 20, 30]
    assert "ValueError: no good" in await failure(svc.boom())
    assert await asyncio.gather(*[svc.add(i, 1) for i in range(100)]) == list(range(1, 101))


@WAYS
async def test_generators(connect, alice, provides, calls):
    async def count(n):
        for i in range(n):
            yield i

    svc = await serve(connect, alice, provides, calls, count=count)
    assert [i async for i in await svc.count(20)] == list(range(20))


@WAYS
async def test_ten_megabytes_both_ways(connect, alice, provides, calls):
    svc = await serve(connect, alice, provides, calls, echo=lambda x: x)
    data = np.random.default_rng(1).integers(0, 255, 10_000_000, dtype="uint8")
    assert np.array_equal(await svc.echo(data), data)


async def test_large_answers_of_the_manager(connect, alice):
    api = await connect(alice, **HTTP)
    data = b"0123456789" * 100_000
    assert await api.echo(data) == data


async def test_a_call_longer_than_its_timeout_lives_by_heartbeats(connect, alice):
    async def slow():
        await asyncio.sleep(6)
        return "done"

    svc = await serve(connect, alice, HTTP, {**HTTP, "method_timeout": 3}, slow=slow)
    assert await svc.slow() == "done"


async def test_messages_keep_the_order_of_their_requests(stream, alice):
    sender, receiver = await stream(alice), await stream(alice, client_id="receiver")
    for n in range(200):
        assert (await sender.post({"type": "note", "to": "receiver", "n": n})).status_code == 200
    seen = [(await receiver.next_message(lambda h: h["type"] == "note"))[0] for _ in range(200)]
    assert [header["n"] for header in seen] == list(range(200))
    assert all(header["from"] == sender.address for header in seen)


async def test_a_whole_message_arrives_as_it_was_sent(stream, alice):
    sender, receiver = await stream(alice), await stream(alice, client_id="receiver")
    body = {"args": [np.arange(3_000_000, dtype="uint8").tobytes()]}
    header = {"type": "note", "to": "receiver", "from": "somebody/else", "user": "somebody"}
    assert (await sender.post(header, body)).status_code == 200
    got, got_body = await receiver.next_message(lambda h: h["type"] == "note")
    assert got_body == body
    assert got["from"] == sender.address and got["user"]["id"] == alice.id
    assert got["ws"] == alice.workspace


async def test_events(stream, raw, alice):
    listener, other = await stream(alice), await raw(alice)
    assert await listener.call("subscribe", ["shout"]) == ("resolve", True)
    await other.send({"type": "shout", "to": "*", "data": 1})
    assert (await listener.next_message(lambda h: h["type"] == "shout"))[0]["data"] == 1
    await other.call("subscribe", ["shout"])
    await listener.post({"type": "shout", "to": "*", "data": 2})
    header, _ = await other.next_frame(lambda h: h["type"] == "shout" and h["data"] == 2)
    assert header["from"] == listener.address


@pytest.mark.ours
async def test_read_only_clients_cannot_broadcast(stream, raw, alice):
    listener = await raw(alice)
    await listener.call("subscribe", ["shout", "done"])
    _, token = await listener.call("generate_token", {"permission": "read"})
    reader = await stream(token=token, workspace=alice.workspace)
    for target in ("*", f"{alice.workspace}/*"):
        await reader.post({"type": "shout", "to": target, "session": "s", "data": 1})
        _, body = await reader.next_message(lambda h: h.get("method") == "s.reject")
        assert f"Read-only client {reader.address} cannot broadcast" in body["args"][0]["_rvalue"]
    await listener.send({"type": "done", "to": "*"})
    event, _ = await listener.next_frame(lambda h: h["type"] in ("shout", "done"))
    assert event["type"] == "done"
    assert (await reader.call("list_clients"))[0] == "resolve"


@pytest.mark.ours
async def test_messages_to_nobody_are_rejected(stream, alice):
    peer = await stream(alice)
    await peer.post({"type": "method", "to": "gone", "session": "s", "method": "services.x.y"})
    _, body = await peer.next_message(lambda h: h.get("method") == "s.reject")
    assert body["args"][0]["_rvalue"] == f"Target peer {alice.workspace}/gone is not connected"


# --- requests ------------------------------------------------------------------------------

async def test_control_messages(stream, alice):
    peer = await stream(alice, client_id="one")
    assert (await peer.post({"type": "ping"})).status_code == 200
    assert await peer.next_message() == [{"type": "pong"}]
    response = await peer.post({"type": "refresh_token"})
    assert (response.status_code, response.content) == (200, b"")
    [reply] = await peer.next_message()
    assert list(reply) == ["type", "reconnection_token"] and reply["type"] == "reconnection_token"
    await peer.close()
    again = await stream(client_id="one", reconnection_token=reply["reconnection_token"])
    assert again.address == peer.address


@pytest.mark.ours
async def test_what_is_no_message(stream, alice):
    peer = await stream(alice)
    response = await peer.post(b"")
    assert (response.status_code, response.json()) == (
        400, {"success": False, "detail": "Empty request body"})
    response = await peer.post({"type": "ping"}, client_id=None)
    assert (response.status_code, response.json()) == (
        400, {"success": False, "detail": "client_id is required"})
    for nonsense in (b"\xc1", b"\x81", b"nonsense", msgpack.packb([1]), msgpack.packb({"to": "x"})):
        assert (await peer.post(nonsense)).status_code == 200
    assert await peer.call("echo", "still here") == ("resolve", "still here")


async def test_without_a_stream_the_client_is_told_to_send_again(stream, alice):
    peer, nobody = await stream(alice), await stream()
    for client in (peer, nobody):
        await client.close()
        client.http = httpx.AsyncClient(base_url=client.server.url)

        async def refused():
            return (await client.post({"type": "ping"})).status_code == 400

        await eventually(refused)


@pytest.mark.ours
async def test_only_who_opened_a_stream_speaks_for_it(stream, alice, bob):
    peer, nobody = await stream(alice), await stream()
    for client, token in ((peer, bob.token()), (peer, ""), (peer, "nonsense"),
                          (peer, alice.token(client_id="other")), (nobody, bob.token())):
        response = await client.post({"type": "ping"}, token=token)
        assert response.status_code in (401, 403), token
    another = alice.token(email="a@b.org")
    assert another != peer.token
    assert (await peer.post({"type": "ping"}, token=another)).status_code == 200
    assert await peer.next_message() == [{"type": "pong"}]


@pytest.mark.ours
async def test_a_stream_outlives_its_token(stream, alice, http):
    token = alice.token(expires_in=2)
    peer = await stream(token=token)

    async def expired():
        return (await http.get(f"/{alice.workspace}/services/", headers=bearer(token))).status_code == 401

    await eventually(expired)
    assert await peer.call("echo", 1) == ("resolve", 1)


@pytest.mark.ours
async def test_calls_without_a_stream(connect, http, alice, bob):
    provider = await connect(alice, client_id="provider")
    await provider.register_service({"id": "svc", "config": {"visibility": "public"}, "answer": 42,
                                     "add": lambda a, b=1: a + b,
                                     "nested": {"twice": lambda x: 2 * x}})

    async def call(message, token=alice.token(), workspace=alice.workspace):
        response = await http.post(
            "/rpc", params={"client_id": "once", "workspace": workspace} if workspace else {"client_id": "once"},
            headers=bearer(token) if token else {}, content=msgpack.packb(message))
        return response.status_code, response.json()

    add = {"type": "method", "to": "provider:svc", "method": "add", "args": [5, 3]}
    assert await call(add) == (200, {"success": True, "result": 8})
    assert await call(add, workspace=None) == (200, {"success": True, "result": 8})
    assert await call({**add, "args": [5], "kwargs": {"b": 2}}) == (200, {"success": True, "result": 7})
    nested = {**add, "method": "nested.twice", "args": [4]}
    assert await call(nested) == (200, {"success": True, "result": 8})
    elsewhere = {**add, "to": f"{alice.workspace}/provider:svc"}
    assert await call(elsewhere, None, None) == (200, {"success": True, "result": 8})
    assert await call(elsewhere, bob.token(), bob.workspace) == (200, {"success": True, "result": 8})

    assert await call({**add, "method": "minus"}) == (
        404, {"success": False, "detail": "Method 'minus' not found"})
    assert (await call({**add, "method": "answer"}))[0] == 404
    assert (await call({**add, "to": "provider:nothing"}))[0] == 404
    assert await call({**add, "type": "event"}) == (
        400, {"success": False, "detail": "Stateless calls require type='method'"})
    for target in ("provider", "a:b:c", ""):
        assert await call({**add, "to": target}) == (400, {
            "success": False, "detail": "Invalid target format, expected 'client_id:service_id'"})
    assert (await call([1]))[0] == 400
    denied = {"success": False, "detail": f"Permission denied for workspace {alice.workspace}"}
    reader = await provider.generate_token({"permission": "read"})
    for token in (bob.token(), None, reader):
        assert await call(add, token) == (403, denied)


# --- the end of a stream -------------------------------------------------------------------

@pytest.mark.ours
async def test_disconnecting_takes_the_services_away_at_once(connect, api, alice):
    provider = await connect(alice, client_id="provider", **HTTP)
    await provider.register_service({"id": "svc", "echo": lambda x: x})
    assert await offers(api, "provider:svc")
    await provider.disconnect()

    async def gone():
        clients = [client["id"] for client in await api.list_clients()]
        return not await offers(api, "provider:svc") and f"{alice.workspace}/provider" not in clients

    await eventually(gone, 3)


@pytest.mark.ours
async def test_a_cut_stream_comes_back_with_its_services(connect, api, alice, wire):
    line = await wire()
    provider = await connect(alice, client_id="provider", server_url=line.url, **HTTP)
    await provider.register_service({"id": "svc", "echo": lambda x: x})
    line.cut()

    async def gone():
        return not await offers(api, "provider:svc")

    async def back():
        return await offers(api, "provider:svc")

    await eventually(gone)
    await eventually(back, 20)
    assert await (await api.get_service("provider:svc")).echo(1) == 1
    assert await provider.echo("still here") == "still here"


@pytest.mark.ours
async def test_clients_outlive_a_restart_of_the_server(crashable, connect, user):
    server = crashable()
    server.start()
    alice = user("alice", server)
    provider = await connect(alice, at=server, client_id="provider", **HTTP)
    await provider.register_service({"id": "svc", "echo": lambda x: x})
    caller = await connect(alice, at=server, **HTTP)
    server.kill()
    server.start()

    async def answers():
        try:
            service = await asyncio.wait_for(caller.get_service("provider:svc"), 3)
            return await asyncio.wait_for(service.echo(1), 3) == 1
        except Exception:
            return False

    await eventually(answers, 40, every=0.2)


@pytest.mark.ours
async def test_a_new_stream_takes_the_place_of_the_old_one(stream, raw, alice):
    old = await stream(alice, client_id="one")
    await old.call("subscribe", ["shout"])
    new = await stream(client_id="one", reconnection_token=old.info["reconnection_token"])
    assert new.address == old.address
    assert await old.ended(5)
    other = await raw(alice)
    await other.send({"type": "shout", "to": "*"})
    await new.next_message(lambda h: h["type"] == "shout")
    assert await new.call("echo", 1) == ("resolve", 1)


@pytest.mark.ours
async def test_the_next_stream_of_a_user_needs_no_token_to_take_over(stream, connect, api, alice):
    old = await connect(alice, client_id="one", **HTTP)
    await old.register_service({"id": "svc", "echo": lambda x: x})
    began = time.monotonic()
    new = await stream(alice, client_id="one")
    assert new.info and time.monotonic() - began < 3
    assert not await offers(api, "one:svc")
    await old.disconnect()
    assert await new.call("echo", 1) == ("resolve", 1)


@pytest.mark.ours
async def test_a_quiet_stream_shows_signs_of_life(stream, alice):
    peer = await stream(alice)
    began = time.monotonic()
    assert await peer.next_message() == [{"type": "ping"}]
    assert 8 < time.monotonic() - began < 12


QUICK = {"HYPHA_STREAM_IDLE_THRESHOLD": "1", "HYPHA_STREAM_SWEEP_INTERVAL": "0.3",
         "HYPHA_STREAM_PING_TIMEOUT": "0.5", "HYPHA_STREAM_MAX_PING_MISSES": "3"}


@pytest.mark.ours
async def test_only_the_dead_are_reaped(crashable, connect, user, wire):
    server = crashable(env=QUICK)
    server.start()
    alice = user("alice", server)
    watcher = await connect(alice, at=server)
    quiet = await connect(alice, at=server, client_id="quiet", **HTTP)
    await quiet.register_service({"id": "svc", "echo": lambda x: x})
    line = await wire(server)
    lost = await connect(alice, client_id="lost", server_url=line.url, **HTTP)
    await lost.register_service({"id": "svc", "echo": lambda x: x})
    assert await offers(watcher, "lost:svc")
    line.dead = True

    async def reaped():
        return not await offers(watcher, "lost:svc")

    await eventually(reaped, 20)
    clients = [client["id"] for client in await watcher.list_clients()]
    assert f"{alice.workspace}/lost" not in clients
    assert await (await watcher.get_service("quiet:svc")).echo(1) == 1


@pytest.mark.ours
async def test_a_stream_that_is_not_read_is_cut(crashable, raw, user):
    server = crashable(env={"RHIZOME_STUCK_AFTER": "1", "RHIZOME_MAILBOX_BYTES": "1000000"})
    server.start()
    alice = user("alice", server)
    port = int(server.url.rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write((f"GET /rpc?client_id=stuck HTTP/1.1\r\nHost: x\r\n"
                  f"Authorization: Bearer {alice.token()}\r\n\r\n").encode())
    await reader.readuntil(b"connection_info")
    writer.transport.pause_reading()
    sender = await raw(alice, at=server)
    await sender.call("subscribe", ["client_disconnected"])
    for _ in range(60):
        await sender.send({"type": "flood", "to": "stuck"}, {"args": [b"x" * 500_000]})
    event, _ = await sender.next_frame(lambda h: h["type"] == "client_disconnected", 30)
    assert event["data"]["id"] == "stuck"
    assert await sender.alive()
    writer.transport.abort()


@pytest.mark.ours
async def test_stopping_ends_streams_cleanly(crashable, stream, user):
    server = crashable()
    server.start()
    alice = user("alice", server)
    peer = await stream(alice, at=server)
    ended = asyncio.ensure_future(peer.ended())
    assert await asyncio.to_thread(server.stop) == 0
    assert await ended == "clean"
