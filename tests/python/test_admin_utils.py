"""`admin-utils`: what administrators do to a running server, and nobody else."""

import asyncio
import uuid

import pytest

from harness import User, claims, eventually, failure, jwt

METHODS = {
    "list_servers": {},
    "kickout_client": {"workspace": "w", "client_id": "c"},
    "list_workspaces": {},
    "unload_workspace": {"workspace": "w"},
    "get_metrics": {},
    "block_user": {"user_id": "nobody"},
    "unblock_user": {"user_id": "nobody"},
    "block_ip": {"ip": "192.0.2.200"},
    "unblock_ip": {"ip": "192.0.2.200"},
    "list_blocked": {},
    "get_resource_usage": {},
}


@pytest.fixture
async def root(connect, server):
    return await connect(token=server.root_token)


@pytest.fixture
async def admin(root):
    return await root.get_service("admin-utils")


def fresh(name):
    return f"{name}-{uuid.uuid4().hex[:8]}"


async def test_it_offers_what_the_reference_offers(admin):
    assert admin.id.startswith("ws-user-root/") and admin.id.endswith(":admin-utils")
    assert admin.name == "Admin Utilities"
    assert admin.config["visibility"] == "protected"
    defaults = {}
    for name in METHODS:
        schema = getattr(admin, name).__schema__["parameters"]
        defaults[name] = {key: value.get("default", ...)
                          for key, value in schema["properties"].items()}
    block = {"duration": 3600, "reason": ""}
    assert defaults == {
        "list_servers": {}, "list_workspaces": {}, "get_metrics": {}, "list_blocked": {},
        "get_resource_usage": {},
        "kickout_client": {"workspace": ..., "client_id": ..., "code": 1000,
                           "reason": "Admin requested disconnect"},
        "unload_workspace": {"workspace": ..., "wait": False, "timeout": 10},
        "block_user": {"user_id": ..., **block}, "unblock_user": {"user_id": ...},
        "block_ip": {"ip": ..., **block}, "unblock_ip": {"ip": ...},
    }


# --- who may -------------------------------------------------------------------------------

async def test_others_do_not_find_it(api, connect):
    for other in (api, await connect()):
        text = await failure(other.get_service("ws-user-root/admin-utils"))
        assert "ermission" in text, text


@pytest.mark.parametrize("method", METHODS)
async def test_others_cannot_call_it_by_its_address(raw, alice, root, server, method):
    """The address is known to everybody; each method checks for itself."""
    peer = await raw(alice)
    to = f"ws-user-root/{(await server_id(root))}"
    service = "services.admin-utils"
    outcome, error = await peer.call(method, *METHODS[method].values(), to=to, service=service)
    assert outcome == "reject"
    assert f"PermissionError: {alice.id} is not an administrator of this server" in str(error)


async def server_id(root):
    return (await (await root.get_service("admin-utils")).list_servers())[0]


async def test_a_token_made_by_root_for_its_workspace_is_no_administrator(connect, root):
    token = await root.generate_token({"workspace": "ws-user-root", "permission": "read_write"})
    child = await connect(token=token)
    service = await child.get_service("ws-user-root/admin-utils")
    assert "PermissionError" in await failure(service.list_blocked())


async def test_the_admin_role_is_enough(connect, server):
    user = User(server, "boss")
    token = jwt(server.jwt_secret, claims(user.id, f"ws:{user.workspace}#a", roles=["admin"]))
    boss = await connect(token=token)
    service = await boss.get_service("ws-user-root/admin-utils")
    assert len(await service.list_servers()) == 1


async def test_a_token_for_all_workspaces_is_enough(connect, server):
    """The reference's own tests come with one for root, without a role."""
    token = jwt(server.jwt_secret, claims("root", "ws:*#a"))
    service = await (await connect(token=token)).get_service("admin-utils")
    assert len(await service.list_servers()) == 1


# --- looking -------------------------------------------------------------------------------

async def test_listing_of_workspaces(admin, api, alice):
    listed = {space["id"]: space for space in await admin.list_workspaces()}
    assert {"public", "ws-user-root", "ws-anonymous", alice.workspace} <= set(listed)
    assert listed[alice.workspace]["owners"] == [alice.id]
    assert listed["public"]["status"]["ready"] is True


async def test_listing_of_workspaces_keeps_secrets(admin, api, alice):
    await api.set_env("KEY", "a secret value")
    listed = {space["id"]: space for space in await admin.list_workspaces()}
    assert "a secret value" not in str(listed)


async def test_metrics(admin, connect):
    before = (await admin.get_metrics())["rpc"]["rpc_connections"]
    client = await connect()
    during = (await admin.get_metrics())["rpc"]["rpc_connections"]
    assert during["created_total"] >= before["created_total"] + 1
    await client.disconnect()

    async def closed():
        now = (await admin.get_metrics())["rpc"]["rpc_connections"]
        return now["closed_total"] >= before["closed_total"] + 1

    await eventually(closed)
    assert "messages_processed_total" in (await admin.get_metrics())["eventbus"]["eventbus"]


async def test_resource_usage(admin, connect, alice):
    client = await connect(alice)
    await client.register_service({"id": "one", "f": lambda: 1})
    usage = await admin.get_resource_usage()
    assert usage["connections_per_user"][alice.id] == 1
    assert usage["connections_per_workspace"][alice.workspace] == 1
    address = f"{alice.workspace}/{client.config.client_id}"
    assert usage["services_per_client"][address] == 2  # its own and `built-in`
    assert usage["limits"] == {
        "max_connections_per_user": 200, "max_clients_per_workspace": 1000,
        "max_services_per_client": 1000, "ws_msg_rate_limit": 200.0,
        "ws_msg_burst_limit": 2000.0}
    assert usage["active_rate_limiters"] >= 2


# --- acting --------------------------------------------------------------------------------

async def test_kicking_out(admin, raw, alice):
    peer = await raw(alice)
    workspace, client = peer.address.split("/")
    assert await admin.kickout_client(workspace, client) is None
    await asyncio.wait_for(peer.socket.wait_closed(), 10)
    assert (peer.socket.close_code, peer.socket.close_reason) == (
        1000, "Admin requested disconnect")


async def test_kicking_out_with_words_of_ones_own(admin, raw, alice):
    peer = await raw(alice)
    workspace, client = peer.address.split("/")
    await admin.kickout_client(workspace=workspace, client_id=client, code=4001, reason="é" * 100)
    await asyncio.wait_for(peer.socket.wait_closed(), 10)
    assert (peer.socket.close_code, peer.socket.close_reason) == (4001, "é" * 61)


@pytest.mark.parametrize("code", [0, 999, 1005, 1006, 1015, 2000, 5000, 70000, -1])
async def test_codes_that_no_connection_may_close_with(admin, raw, alice, code):
    peer = await raw(alice)
    workspace, client = peer.address.split("/")
    text = await failure(admin.kickout_client(workspace, client, code))
    assert text == f"ValueError: {code} is not a WebSocket close code"
    assert await peer.alive()


async def test_kicking_out_nobody(admin):
    text = await failure(admin.kickout_client("public", fresh("nobody")))
    assert text == "AssertionError: Client not connected"


async def test_unloading(admin, root):
    name = fresh("unload-me")
    await root.create_workspace({"id": name})
    assert name in {space["id"] for space in await admin.list_workspaces()}
    assert await admin.unload_workspace(name, wait=True, timeout=5) is None
    assert name not in {space["id"] for space in await admin.list_workspaces()}
    assert await admin.unload_workspace(name, wait=True) is None


async def test_a_workspace_with_clients_stays(admin, root, connect):
    name = fresh("in-use")
    await root.create_workspace({"id": name})
    client = await connect(token=await root.generate_token({"workspace": name}))
    assert await admin.unload_workspace(name) is None
    assert await client.echo("here") == "here"
    text = await failure(admin.unload_workspace(name, wait=True, timeout=0.2))
    assert text.startswith(f"TimeoutError: Workspace {name} was not unloaded within 0.2 s"), text
    waiting = asyncio.ensure_future(admin.unload_workspace(name, wait=True, timeout=20))
    await client.disconnect()
    assert await waiting is None
    assert name not in {space["id"] for space in await admin.list_workspaces()}


@pytest.mark.parametrize("name", ["public", "ws-user-root", "ws-anonymous"])
async def test_the_servers_own_workspaces_stay(admin, name):
    assert await admin.unload_workspace(name, wait=True, timeout=0.1) is None
    assert name in {space["id"] for space in await admin.list_workspaces()}


async def test_a_stored_workspace_stays_stored(admin, root):
    name = fresh("stored")
    await root.create_workspace({"id": name, "persistent": True})
    assert await admin.unload_workspace(name, wait=True, timeout=1) is None
    assert name in {space["id"] for space in await admin.list_workspaces()}


async def test_wrong_arguments(admin):
    assert "Missing required argument: 'user_id'" in await failure(admin.block_user())
    assert "unexpected keyword argument" in await failure(admin.list_servers(bogus=1))
