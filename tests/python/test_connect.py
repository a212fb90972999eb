"""Handshake, tokens, refusals, control messages."""

import asyncio
import json
import time
import uuid

import pytest
import websockets

from harness import Refused, claims, eventually, failure, jwt, ws_url

# What the token is at fault for closes with 1008, everything else in the set-up with 1001; a text
# names the cause in both cases. The reference drops the connection without a close frame (1006)
# where the reason is longer than a close frame can hold.
NO = (1001, 1008, 1006)
EXPIRED = "Authentication error: The token has expired. Please fetch a new one"


async def refusal(raw, who=None, **auth):
    with pytest.raises(Refused) as refused:
        await raw(who, **auth)
    return refused.value


# --- who gets in ---------------------------------------------------------------------------

async def test_anonymous_gets_a_workspace_of_its_own(raw):
    info = (await raw()).info
    assert info["workspace"].startswith("ws-user-anonymouz-")
    assert info["manager_id"].startswith("manager-")
    assert info["reconnection_token_life_time"] == 172800
    assert info["public_base_url"] and info["local_base_url"] and info["hypha_version"]
    assert "success" not in info
    user = info["user"]
    assert list(user) == ["id", "roles", "is_anonymous", "scope", "email", "parent", "expires_at",
                          "current_workspace"]
    assert user["roles"] == ["anonymous"] and user["is_anonymous"] is True
    assert info["workspace"] == f"ws-user-{user['id']}" == user["scope"]["current_workspace"]
    assert user["scope"]["workspaces"] == {info["workspace"]: "a"}
    assert user["scope"]["client_id"] == info["client_id"]


async def test_a_token_leads_to_the_users_workspace(connect, alice):
    api = await connect(alice)
    assert api.config.workspace == alice.workspace
    assert api.config.user["id"] == alice.id
    assert api.config.user["is_anonymous"] is False
    assert (await api.check_status())["user_permission"] == "a"


async def test_a_bearer_prefix_is_accepted(raw, alice):
    assert (await raw(token=f"Bearer {alice.token()}")).info["workspace"] == alice.workspace


async def test_root_token(connect, server):
    root = await connect(token=server.root_token)
    assert root.config.workspace == "ws-user-root"
    assert root.config.user["id"] == "root" and root.config.user["roles"] == ["admin"]
    assert root.config.user["scope"]["workspaces"]["*"] == "a"


async def test_root_token_is_bound_to_its_workspace(raw, server, alice):
    refused = await refusal(raw, token=server.root_token, workspace="public")
    assert "ws-user-root" in refused.message and "public" in refused.message


async def test_public_by_an_ordinary_token_lands_at_home(raw, alice):
    info = (await raw(alice, workspace="public", token=jwt(
        alice.server.jwt_secret, claims(alice.id, "")))).info
    assert info["workspace"] == alice.workspace


async def test_generated_token_makes_a_child_user(api, connect, alice):
    token = await api.generate_token()
    child = await connect(token=token, workspace=alice.workspace)
    assert child.config.user["id"] != alice.id
    assert child.config.user["parent"] == alice.id
    assert child.config.user["scope"]["workspaces"][alice.workspace] == "rw"


async def test_a_pinned_token_fits_one_client_only(api, raw, alice):
    token = await api.generate_token({"client_id": "pinned"})
    assert (await raw(token=token, client_id="pinned")).info["client_id"] == "pinned"
    refused = await refusal(raw, token=token, client_id="other")
    assert "Client id mismatch" in refused.message
    assert "client_id='pinned'" in refused.message
    assert refused.code in NO


# --- who does not --------------------------------------------------------------------------

async def test_expired_token(raw, alice):
    refused = await refusal(raw, token=alice.token(expires_in=-60))
    assert (refused.message, refused.code, refused.reason) == (EXPIRED, 1008, EXPIRED)


@pytest.mark.parametrize("change, detail", [
    ({"secret": "not-the-secret-of-this-server"}, "Signature verification failed."),
    ({"aud": "https://somewhere.else/"}, "Invalid audience"),
    ({"iss": "https://somewhere.else/"}, "Invalid issuer"),
])
async def test_forged_tokens(raw, alice, change, detail):
    refused = await refusal(raw, token=alice.token(**change))
    assert detail in refused.message
    assert refused.message.startswith(("Authentication error: ", "Failed to establish connection: "))
    assert refused.code in NO


@pytest.mark.parametrize("header", [{"alg": "none", "typ": "JWT"}, {"alg": "HS512", "typ": "JWT"}])
async def test_other_algorithms_are_refused(raw, alice, server, header):
    token = jwt(server.jwt_secret, claims(alice.id, f"ws:{alice.workspace}#a"), header)
    assert (await refusal(raw, token=token)).code in NO


async def test_garbage_as_token(raw):
    refused = await refusal(raw, token="certainly-not-a-token")
    assert "Error decoding token headers." in refused.message
    assert refused.code in NO


async def test_revoked_token(api, raw, alice):
    token = await api.generate_token()
    await api.revoke_token(token)
    refused = await refusal(raw, token=token)
    assert "Token has been revoked" in refused.message
    assert refused.code in NO


async def test_specialised_token(raw, alice):
    refused = await refusal(raw, token=alice.token(extra=["file:download"]))
    assert "cannot be used for general workspace access" in refused.message


async def test_workspace_of_somebody_else(raw, connect, alice):
    await connect(alice)
    refused = await refusal(raw, workspace=alice.workspace)
    text = f"Permission denied for workspace: {alice.workspace}"
    assert text in refused.message and refused.code == 1001


async def test_workspace_that_does_not_exist(raw):
    refused = await refusal(raw, workspace="no-such-workspace")
    assert "no-such-workspace does not exist or is not accessible" in refused.message
    assert refused.message.startswith("Failed to establish connection: ")
    assert refused.code == 1001


async def test_workspace_other_than_the_tokens(raw, alice, bob):
    refused = await refusal(raw, alice, workspace=bob.workspace)
    assert alice.workspace in refused.message and bob.workspace in refused.message


async def test_client_id_with_a_slash(raw):
    refused = await refusal(raw, client_id="a/b")
    assert "Invalid client id: a/b" in refused.message and refused.code == 1001


@pytest.mark.ours
async def test_a_long_reason_is_cut_to_what_a_close_frame_holds(raw, server):
    refused = await refusal(raw, token=server.root_token, workspace="a-workspace-" + "x" * 150)
    assert len(refused.message) > 123 and refused.code == 1001
    assert refused.reason and refused.message.startswith(refused.reason)
    assert len(refused.reason.encode()) <= 123


@pytest.mark.ours
@pytest.mark.parametrize("client_id", ["a:b", "a@b", "*", "a b", "x" * 129])
async def test_client_ids_that_break_the_service_grammar(raw, client_id):
    assert "Invalid client id" in (await refusal(raw, client_id=client_id)).message


async def test_no_client_id(raw):
    refused = await refusal(raw, client_id=None)
    assert refused.message.startswith("Failed to establish connection: ")
    assert refused.code == 1001


async def test_first_frame_is_not_json(raw):
    refused = await refusal(raw, first="hello {")
    assert refused.message == "Failed to decode authentication information"
    assert (refused.code, refused.reason) == (1003, refused.message)


@pytest.mark.ours
@pytest.mark.parametrize("first", [b"\x80", "[1, 2]", "null", '"text"'])
async def test_first_frame_is_no_object(raw, first):
    refused = await refusal(raw, first=first)
    assert refused.message == "Failed to decode authentication information"
    assert refused.code == 1003


async def test_silence_instead_of_a_first_frame(server):
    started = time.monotonic()
    async with websockets.connect(ws_url(server)) as socket:
        with pytest.raises(websockets.ConnectionClosed):
            while True:
                last = await asyncio.wait_for(socket.recv(), 15)
    assert json.loads(last) == {"type": "error", "message": "Authentication payload timeout"}
    assert (socket.close_code, socket.close_reason) == (1008, "Authentication payload timeout")
    assert 4 < time.monotonic() - started < 12


@pytest.mark.parametrize("query", ["?token=abc", "?workspace=public", "?client_id=x",
                                   "?reconnection_token=abc"])
async def test_credentials_in_the_query_string(raw, query):
    refused = await refusal(raw, query=query)
    assert refused.message is None, "no text frame goes out before this close"
    assert refused.code == 1008
    assert refused.reason.startswith("Connection rejected, please")


async def test_an_unmodified_client_is_told_why(connect, alice):
    error = await failure(connect(token=alice.token(expires_in=-60)))
    assert "The token has expired" in error


# --- the same client id twice --------------------------------------------------------------

async def test_duplicate_client_id_is_refused(connect, raw, alice):
    await connect(alice, client_id="only-one")
    refused = await refusal(raw, alice, client_id="only-one")
    text = f"Client already exists and is active: {alice.workspace}/only-one"
    assert text in refused.message and refused.code in NO


@pytest.mark.ours
async def test_the_living_client_works_after_a_refused_duplicate(connect, raw, alice):
    first = await connect(alice, client_id="only-one")
    await first.register_service({"id": "svc", "echo": lambda x: x})
    for _ in range(3):
        assert "already exists" in (await refusal(raw, alice, client_id="only-one")).message
    assert await first.echo("me") == "me"
    other = await connect(alice)
    assert await (await other.get_service("only-one:svc")).echo(5) == 5


async def test_a_dead_client_gives_way(raw, connect, alice):
    """One that no longer answers the server's ping loses its id to the newcomer."""
    ghost = await raw(alice, client_id="ghost")
    await ghost.register_built_in()
    api = await asyncio.wait_for(connect(alice, client_id="ghost"), 30)
    assert await api.echo(1) == 1


async def test_reconnection_token_supersedes(raw, alice):
    old = await raw(alice, client_id="phoenix")
    await old.register_built_in()
    new = await raw(client_id="phoenix", workspace=alice.workspace,
                    reconnection_token=old.info["reconnection_token"])
    assert new.info["workspace"] == alice.workspace
    assert new.info["user"]["id"] == alice.id
    await new.register_built_in()
    await asyncio.wait_for(old.socket.wait_closed(), 10)
    # What the old connection leaves behind must not take the new one's things with it.
    assert await new.alive()
    assert [c["id"] for c in (await new.call("list_clients"))[1]] == [new.address]


@pytest.mark.parametrize("change", [{"client_id": "thief"}, {"workspace": "ws-user-thief"}])
async def test_reconnection_token_fits_its_client_only(raw, alice, change):
    old = await raw(alice, client_id="phoenix")
    auth = {"client_id": "phoenix", "workspace": alice.workspace,
            "reconnection_token": old.info["reconnection_token"], **change}
    assert (await refusal(raw, **auth)).code in NO
    assert await old.alive()


async def test_the_unmodified_client_reconnects_with_its_services(connect, alice):
    provider = await connect(alice, client_id="comeback")
    await provider.register_service({"id": "svc", "echo": lambda x: x})
    await provider.rpc._connection._websocket.close(1011)
    caller = await connect(alice)

    async def answers():
        try:
            return await (await caller.get_service("comeback:svc")).echo("again") == "again"
        except Exception:
            return False

    await eventually(answers, 20, every=0.3)


# --- control messages ----------------------------------------------------------------------

async def test_ping_and_pong(raw):
    peer = await raw()
    await peer.text({"type": "ping"})
    assert await peer.next_text() == {"type": "pong"}


async def test_refresh_token(raw, alice):
    peer = await raw(alice, client_id="fresh")
    await peer.text({"type": "refresh_token"})
    reply = await peer.next_text()
    assert list(reply) == ["type", "reconnection_token"]
    assert reply["type"] == "reconnection_token"
    again = await raw(client_id="fresh", workspace=alice.workspace,
                      reconnection_token=reply["reconnection_token"])
    assert again.info["client_id"] == "fresh"


@pytest.mark.parametrize("text", [
    "no json", "{}", '{"type": "unheard-of"}', "x" * 5000, '{"type": "ping", "x": "' + "x" * 1000 + '"}',
    pytest.param("[]", marks=pytest.mark.ours), pytest.param('"x"', marks=pytest.mark.ours),
])
async def test_other_text_is_ignored(raw, text):
    peer = await raw()
    await peer.text(text)
    await peer.text({"type": "ping"})
    assert await peer.next_text() == {"type": "pong"}


async def test_protocol_pings_are_answered(raw):
    peer = await raw()
    await asyncio.wait_for(await peer.socket.ping(), 5)


async def test_leaving_is_noticed_at_once(connect, alice):
    stays, leaves = await connect(alice), await connect(alice, client_id=f"gone-{uuid.uuid4().hex[:6]}")
    gone = f"{alice.workspace}/{leaves.config.client_id}"
    await leaves.disconnect()

    async def is_gone():
        return gone not in [client["id"] for client in await stays.list_clients()]

    await eventually(is_gone, 5)
    assert "Service not found" in await failure(
        stays.get_service(f"{leaves.config.client_id}:built-in"))
