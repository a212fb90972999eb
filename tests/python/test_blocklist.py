"""Users and addresses that are kept out: on every transport, at once, and after a crash."""

import asyncio
import json
import uuid

import pytest
import websockets

from harness import Refused, User, bearer, eventually, failure, ws_url


@pytest.fixture
async def admin(connect, server):
    root = await connect(token=server.root_token)
    return await root.get_service("admin-utils")


async def refusal(raw, who=None, **auth):
    with pytest.raises(Refused) as refused:
        await raw(who, **auth)
    return refused.value


async def knock(server, address, token=None):
    """Connects as somebody at `address`; (first message, close code or None)."""
    headers = {"X-Forwarded-For": address}
    async with websockets.connect(ws_url(server), additional_headers=headers) as socket:
        await socket.send(json.dumps({"client_id": f"k-{uuid.uuid4().hex[:8]}", "token": token}))
        first = json.loads(await asyncio.wait_for(socket.recv(), 10))
        if first["type"] == "connection_info":
            return first, None
        await asyncio.wait_for(socket.wait_closed(), 10)
        return first, socket.close_code


# --- users ---------------------------------------------------------------------------------

async def test_a_blocked_user_is_thrown_out_and_stays_out(admin, raw, alice, bob):
    open_now, other = [await raw(alice), await raw(alice)], await raw(bob)
    answer = await admin.block_user(alice.id, reason="spam")
    assert answer == f"Blocked user {alice.id}, kicked 2 connections"
    for peer in open_now:
        await asyncio.wait_for(peer.socket.wait_closed(), 10)
        assert (peer.socket.close_code, peer.socket.close_reason) == (1008, "User blocked: spam")
    refused = await refusal(raw, alice)
    assert (refused.message, refused.code) == ("User is blocked: spam", 1008)
    assert await other.alive()
    assert await admin.unblock_user(alice.id) == f"Unblocked user {alice.id}"
    assert await (await raw(alice)).alive()


async def test_a_reconnection_token_is_no_way_back(admin, raw, alice):
    peer = await raw(alice)
    again = {"client_id": peer.info["client_id"],
             "reconnection_token": peer.info["reconnection_token"]}
    await admin.block_user(alice.id)
    refused = await refusal(raw, **again)
    assert (refused.message, refused.code) == ("User is blocked: blocked", 1008)


async def test_the_real_client_is_told(admin, connect, alice):
    await admin.block_user(alice.id, reason="be nice")
    assert "User is blocked: be nice" in str(await failure(connect(alice)))


async def test_streams_over_http_end_and_do_not_come_back(admin, connect, http, alice):
    client = await connect(alice, transport="http")
    assert await client.echo("here") == "here"
    assert await admin.block_user(alice.id, reason="spam") == \
        f"Blocked user {alice.id}, kicked 1 connections"
    query = {"client_id": "again", "workspace": alice.workspace}
    headers = bearer(alice.token())
    for method in ("GET", "POST"):
        answer = await http.request(method, "/rpc", params=query, headers=headers)
        assert (answer.status_code, answer.json()["detail"]) == (403, "User is blocked: spam")

    async def gone():
        usage = await admin.get_resource_usage()
        return alice.id not in usage["connections_per_user"]

    await eventually(gone)


async def test_child_tokens_are_blocked_with_their_parent(admin, connect, raw, http, alice):
    parent = await connect(alice)
    token = await parent.generate_token({"permission": "read_write"})
    child = await raw(token=token)
    assert child.info["user"]["parent"] == alice.id
    assert (await http.get("/assets/config.json", headers=bearer(token))).status_code == 200
    answer = await admin.block_user(alice.id, reason="spam")
    assert answer.endswith("kicked 2 connections")
    await asyncio.wait_for(child.socket.wait_closed(), 10)
    assert child.socket.close_code == 1008
    assert (await refusal(raw, token=token)).message == "User is blocked: spam"
    assert (await http.get("/assets/config.json", headers=bearer(token))).status_code == 403


async def test_blocking_a_child_leaves_the_parent(admin, connect, raw, alice):
    parent = await connect(alice)
    child = await raw(token=await parent.generate_token({"permission": "read_write"}))
    await admin.block_user(child.info["user"]["id"])
    await asyncio.wait_for(child.socket.wait_closed(), 10)
    assert await parent.echo("here") == "here"


@pytest.mark.parametrize("how", ["bearer", "basic", "raw", "cookie"])
async def test_http_refuses_a_blocked_user(admin, http, alice, how):
    token = alice.token()
    options = {
        "bearer": {"headers": bearer(token)},
        "basic": {"auth": ("any", token)},
        "raw": {"headers": {"Authorization": token}},
        "cookie": {"headers": {"Cookie": f"access_token={token}"}},
    }[how]
    assert (await http.get("/assets/config.json", **options)).status_code == 200
    await admin.block_user(alice.id, reason="spam")
    answer = await http.get("/assets/config.json", **options)
    assert (answer.status_code, answer.json()["detail"]) == (403, "User is blocked: spam")


async def test_a_block_ends(admin, raw, http, alice):
    await admin.block_user(alice.id, duration=1, reason="short")
    assert (await refusal(raw, alice)).code == 1008

    async def back():
        answer = await http.get("/assets/config.json", headers=bearer(alice.token()))
        return answer.status_code == 200

    await eventually(back)
    assert await (await raw(alice)).alive()
    assert alice.id not in {block["id"] for block in (await admin.list_blocked())["users"]}


async def test_root_cannot_be_blocked(admin):
    assert await failure(admin.block_user("root")) == \
        "ValueError: The root user cannot be blocked"
    assert await failure(admin.block_user("")) == "ValueError: user_id must not be empty"


# --- addresses -----------------------------------------------------------------------------

async def test_a_blocked_address_is_kept_out(admin, server, http):
    here, elsewhere = "198.51.100.1", "198.51.100.2"
    assert await admin.block_ip(here, reason="noise") == f"Blocked IP {here}"
    first, code = await knock(server, here)
    assert (first, code) == ({"type": "error", "message": "IP is blocked: noise"}, 1008)
    assert (await knock(server, elsewhere))[1] is None
    for path in ("/assets/config.json", "/nowhere", "/metrics"):
        answer = await http.get(path, headers={"X-Forwarded-For": here})
        assert answer.status_code == 403
        assert answer.json() == {"detail": "IP is blocked: noise"}
        assert (await http.get(path, headers={"X-Forwarded-For": elsewhere})).status_code != 403
    probe = await http.get("/health/readiness", headers={"X-Forwarded-For": here})
    assert probe.status_code == 200
    assert await admin.unblock_ip(here) == f"Unblocked IP {here}"
    assert (await knock(server, here))[1] is None


async def test_open_connections_from_a_blocked_address_end(admin, server, alice):
    headers = {"X-Forwarded-For": "198.51.100.3"}
    async with websockets.connect(ws_url(server), additional_headers=headers) as socket:
        await socket.send(json.dumps({"client_id": "there", "token": alice.token()}))
        assert json.loads(await socket.recv())["type"] == "connection_info"
        await admin.block_ip("198.51.100.3", reason="noise")
        await asyncio.wait_for(socket.wait_closed(), 10)
        assert (socket.close_code, socket.close_reason) == (1008, "IP blocked: noise")


async def test_a_range_is_blocked_as_a_whole(admin, server):
    await admin.block_ip("203.0.113.0/25")
    assert (await knock(server, "203.0.113.127"))[1] == 1008
    assert (await knock(server, "203.0.113.128"))[1] is None
    await admin.unblock_ip("203.0.113.0/25")
    assert (await knock(server, "203.0.113.127"))[1] is None


async def test_an_address_cannot_be_written_away(admin, server):
    """What a client puts into the header itself does not hide where it comes from."""
    await admin.block_ip("198.51.100.9")
    assert (await knock(server, "192.0.2.1, 198.51.100.9"))[1] == 1008
    assert (await knock(server, "198.51.100.9, 192.0.2.1"))[1] is None
    assert (await knock(server, "::ffff:198.51.100.9"))[1] == 1008


@pytest.mark.parametrize("text", ["", "localhost", "1.2.3", "1.2.3.4/40", "*"])
async def test_what_is_no_address_is_refused(admin, text):
    for method in (admin.block_ip, admin.unblock_ip):
        assert (await failure(method(text))).startswith(f'ValueError: "{text}" is neither')


# --- the list ------------------------------------------------------------------------------

async def test_the_list_tells_who_why_and_how_long(admin, alice, bob):
    await admin.block_user(alice.id, duration=60, reason="spam")
    await admin.block_user(bob.id, duration=0)
    await admin.block_ip("198.51.100.77")
    listed = await admin.list_blocked()
    users = {block["id"]: block for block in listed["users"]}
    assert users[alice.id]["reason"] == "spam"
    assert 50 <= users[alice.id]["ttl_seconds"] <= 60
    assert users[bob.id]["reason"] == "blocked"
    month = 30 * 86400
    assert month - 60 <= users[bob.id]["ttl_seconds"] <= month
    addresses = {block["id"]: block for block in listed["ips"]}
    assert 3500 <= addresses["198.51.100.77"]["ttl_seconds"] <= 3600


async def test_blocks_survive_a_crash(crashable, connect, raw):
    server = crashable()
    server.start()
    alice, bob = User(server, "alice"), User(server, "bob")
    admin = await (await connect(at=server, token=server.root_token)).get_service("admin-utils")
    await admin.block_user(alice.id, reason="spam")
    await admin.block_user(bob.id)
    await admin.block_ip("198.51.100.4", reason="noise")
    await admin.unblock_user(bob.id)
    server.kill()
    server.start()
    assert (await refusal(raw, alice, at=server)).message == "User is blocked: spam"
    assert (await knock(server, "198.51.100.4"))[0]["message"] == "IP is blocked: noise"
    assert await (await raw(bob, at=server)).alive()
    admin = await (await connect(at=server, token=server.root_token)).get_service("admin-utils")
    listed = await admin.list_blocked()
    assert [block["id"] for block in listed["users"]] == [alice.id]
    assert [block["id"] for block in listed["ips"]] == ["198.51.100.4"]
