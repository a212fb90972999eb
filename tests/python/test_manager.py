"""The manager service: its shape, workspaces, tokens, environment, look-ups, registrations."""

import json
import uuid
from pathlib import Path

import pytest

from harness import Refused, eventually, failure

METHODS = json.loads((Path(__file__).parent / "manager_methods.json").read_text())


# --- its shape -----------------------------------------------------------------------------

@pytest.mark.parametrize("who", ["anonymous", "root"])
async def test_methods_and_defaults(raw, server, who):
    peer = await raw(token=server.root_token if who == "root" else None)
    _, service = await peer.call("get_service", "default", service="services.built-in")
    methods = {k: v for k, v in service.items() if isinstance(v, dict) and v.get("_rtype") == "method"}
    assert sorted(methods) == sorted(METHODS)
    assert service["id"] in ("default", f"{peer.manager}:default")
    assert service["name"] == "Default workspace management service"
    assert service["type"] == "generic"
    assert service["config"]["visibility"] == "public" and service["config"]["require_context"] is True
    for key in ("server_id", "hypha_version", "public_base_url", "local_base_url"):
        assert service["config"][key]
    for name, expected in METHODS.items():
        method = methods[name]
        assert method["_rtarget"] == peer.manager
        assert method["_rmethod"] == f"services.default.{name}"
        assert method["_rpromise"] == "*"
        parameters = method["_rschema"]["parameters"]
        found = {key: {"default": value["default"]} if "default" in value else {"required": True}
                 for key, value in parameters.get("properties", {}).items()}
        assert found == expected, name
        required = [key for key, value in expected.items() if "required" in value]
        assert parameters.get("required", []) == required, name


async def test_positional_and_keyword_arguments(api):
    assert await api.echo("a") == await api.echo(data="a") == "a"
    assert await api.get_env() == await api.get_env(key=None) == await api.get_env(None)


async def test_ping_never_raises(api):
    assert await api.ping(api.config.client_id) == "pong"
    answer = await api.ping("nobody-there", timeout=1)
    assert answer.startswith("Failed to ping client ")


# --- workspaces ----------------------------------------------------------------------------

def fresh(name="test"):
    return f"{name}-{uuid.uuid4().hex[:8]}"


async def test_create_list_and_delete(api, alice):
    name = fresh()
    info = await api.create_workspace({"name": name, "description": "for a test"})
    assert info["id"] == info["name"] == name
    assert alice.id in info["owners"] and info["description"] == "for a test"
    assert info["persistent"] is False and info["read_only"] is False
    listed = {w["name"]: w for w in await api.list_workspaces()}
    assert name in listed and alice.workspace in listed
    assert set(listed[name]) >= {"id", "name", "description", "read_only", "persistent", "owners"}
    assert [w["name"] for w in await api.list_workspaces({"name": name})] == [name]
    assert "Workspace already exists" in await failure(api.create_workspace({"name": name}))
    again = await api.create_workspace({"name": name, "description": "anew"}, overwrite=True)
    assert again["description"] == "anew"
    await api.delete_workspace(name)
    assert name not in [w["name"] for w in await api.list_workspaces()]


async def test_a_workspace_can_be_joined_by_its_owner_and_by_token(api, connect, alice, bob):
    name = fresh()
    await api.create_workspace({"name": name, "persistent": True})
    token = await api.generate_token({"workspace": name})
    member = await connect(token=token, workspace=name)
    assert member.config.workspace == name
    await member.register_service({"id": "svc", "config": {"visibility": "public"}, "f": lambda: 7})
    stranger = await connect(bob)
    assert await (await stranger.get_service(f"{name}/svc")).f() == 7
    await member.disconnect()
    await api.delete_workspace(name)


async def test_a_persistent_workspace_stays_when_empty(api, connect):
    name = fresh()
    await api.create_workspace({"name": name, "persistent": True})
    token = await api.generate_token({"workspace": name, "permission": "admin"})
    member = await connect(token=token, workspace=name)
    await member.set_env("KEPT", "yes")
    await member.disconnect()
    assert name in [w["name"] for w in await api.list_workspaces()]
    again = await connect(token=token, workspace=name)
    assert await again.get_env("KEPT") == "yes"


async def test_a_temporary_workspace_goes_with_its_last_client(api, connect, raw):
    name = fresh()
    await api.create_workspace({"name": name})
    token = await api.generate_token({"workspace": name})
    member = await connect(token=token, workspace=name)
    await member.disconnect()

    async def gone():
        return name not in [w["name"] for w in await api.list_workspaces()]

    await eventually(gone, 45, every=0.5)
    with pytest.raises(Refused) as refused:
        await raw(token=token, workspace=name)
    assert f"{name} does not exist or is not accessible" in refused.value.message


@pytest.mark.parametrize("name, text", [
    ("nohyphen", "Workspace name must contain at least one hyphen"),
    ("Upper-Case", "only lowercase letters, numbers and hyphens are allowed"),
    ("with space-x", "only lowercase letters, numbers and hyphens are allowed"),
    ("a/b-c", "only lowercase letters, numbers and hyphens are allowed"),
])
async def test_workspace_names(api, name, text):
    assert text in await failure(api.create_workspace({"name": name}))


@pytest.mark.ours
@pytest.mark.parametrize("name", ["public", "ws-user-root", "ws-anonymous", "ws-user-somebody-else"])
async def test_system_names_cannot_be_created(api, name):
    await failure(api.create_workspace({"name": name}))
    await failure(api.create_workspace({"name": name}, overwrite=True))


async def test_anonymous_users_create_nothing(connect):
    api = await connect()
    assert "Only registered user can create workspace" in await failure(
        api.create_workspace({"name": fresh()}))


async def test_deleting_is_for_owners(api, connect, bob):
    name = fresh()
    await api.create_workspace({"name": name})
    stranger = await connect(bob)
    await failure(stranger.delete_workspace(name))
    await failure(stranger.create_workspace({"name": name}, overwrite=True))
    assert name in [w["name"] for w in await api.list_workspaces()]
    assert name not in [w["name"] for w in await stranger.list_workspaces()]


async def test_list_workspaces_limits(api):
    assert "Limit must be greater than 0 and less than 256" in await failure(api.list_workspaces(limit=300))
    assert "Offset number must be greater than or equal to 0" in await failure(
        api.list_workspaces(offset=-1))


async def test_workspace_info(api, alice):
    info = await api.get_workspace_info(alice.workspace)
    assert info["id"] == alice.workspace and alice.id in str(info["owners"])
    assert set(info) >= {"type", "id", "name", "description", "persistent", "owners", "read_only",
                         "icon", "covers", "docs", "service_types", "config", "status"}


async def test_check_status(api):
    async def ready():
        return (await api.check_status())["status"] == "ready"

    await eventually(ready)
    assert (await api.check_status())["user_permission"] == "a"


async def test_summary(api):
    await api.register_service({"id": "summed", "f": lambda: 1})
    summary = await api.get_summary()
    assert summary["client_count"] == 1 and "summed" in str(summary["services"])


# --- tokens --------------------------------------------------------------------------------

async def test_parse_token(api, alice):
    token = await api.generate_token({"permission": "read", "expires_in": 60})
    info = await api.parse_token(token)
    assert info["parent"] == alice.id
    assert info["scope"]["current_workspace"] == alice.workspace
    assert info["scope"]["workspaces"][alice.workspace] == "r"
    assert not info["is_anonymous"]


@pytest.mark.parametrize("config, text", [
    ({"expires_in": -1}, "expires_in should be greater than 0"),
    ({"email": "a@example.com"}, "Only callers with the 'admin' role may set TokenConfig.email"),
])
async def test_token_requests_that_are_refused(api, config, text):
    assert text in await failure(api.generate_token(config))


async def test_an_unknown_permission_is_refused(api):
    await failure(api.generate_token({"permission": "everything"}))


async def test_only_an_admin_generates_tokens(api, connect, alice, bob):
    name = fresh()
    await api.create_workspace({"name": name})
    token = await api.generate_token({"workspace": name, "permission": "read_write"})
    child = await connect(token=token, workspace=name)
    assert "Only admin can generate token" in await failure(child.generate_token())
    stranger = await connect(bob)
    assert f"You do not have any permission for workspace: {alice.workspace}" in await failure(
        stranger.generate_token({"workspace": alice.workspace}))


async def test_a_child_of_a_child_has_the_first_parent(api, connect, alice):
    token = await api.generate_token({"permission": "admin"})
    child = await connect(token=token, workspace=alice.workspace)
    assert (await api.parse_token(await child.generate_token()))["parent"] == alice.id


@pytest.mark.ours
async def test_root_children_are_not_admins(connect, server, alice):
    """What root hands out for one workspace opens that workspace only."""
    root = await connect(token=server.root_token)
    await connect(alice)
    token = await root.generate_token({"workspace": alice.workspace, "permission": "read"})
    guest = await connect(token=token, workspace=alice.workspace)
    user = guest.config.user
    assert "admin" not in user["roles"] and "*" not in user["scope"]["workspaces"]
    assert "Permission denied" in await failure(guest.set_env("A", "1"))


@pytest.mark.ours
@pytest.mark.parametrize("config", [
    {"extra_scopes": ["ws:ws-user-root#a"]}, {"extra_scopes": ["x wid:ws-user-root"]},
    {"client_id": "a ws:ws-user-root#a"}, {"extra_scopes": ["cid:x"]},
])
async def test_nothing_is_smuggled_into_a_scope(api, config):
    await failure(api.generate_token(config))


async def test_revoking(api, raw, alice):
    token = await api.generate_token()
    await (await raw(token=token, workspace=alice.workspace)).close()
    assert await api.revoke_token(token) is None
    with pytest.raises(Refused) as refused:
        await raw(token=token, workspace=alice.workspace)
    assert "Token has been revoked" in refused.value.message
    assert "Invalid token" in await failure(api.revoke_token("garbage"))


@pytest.mark.ours
async def test_a_revoked_token_is_not_parsed(api):
    token = await api.generate_token()
    await api.revoke_token(token)
    assert "revoked" in await failure(api.parse_token(token))


# --- environment, clients, log -------------------------------------------------------------

async def test_environment(api):
    assert await api.set_env("COLOUR", "green") is None
    assert await api.get_env("COLOUR") == "green"
    assert (await api.get_env())["COLOUR"] == "green"
    await api.set_env("COLOUR", None)
    assert f"Environment variable 'COLOUR' not found in workspace {api.config.workspace}" in await failure(
        api.get_env("COLOUR"))


async def test_environment_needs_write_access(api, connect, alice):
    token = await api.generate_token({"permission": "read"})
    reader = await connect(token=token, workspace=alice.workspace)
    await api.set_env("SECRET", "s3cret")
    text = f"Permission denied for workspace {alice.workspace}"
    assert text in await failure(reader.get_env("SECRET"))
    assert text in await failure(reader.set_env("SECRET", "x"))


@pytest.mark.ours
async def test_the_environment_leaves_by_get_env_only(api, connect, alice):
    token = await api.generate_token({"permission": "read"})
    reader = await connect(token=token, workspace=alice.workspace)
    await api.set_env("SECRET", "s3cret")
    assert "s3cret" not in str(await reader.get_workspace_info(alice.workspace))
    assert "s3cret" not in str(await reader.list_workspaces())


async def test_list_clients(api, connect, alice, bob):
    second = await connect(alice)
    clients = await api.list_clients()
    assert sorted(c["id"] for c in clients) == sorted(
        f"{alice.workspace}/{c.config.client_id}" for c in (api, second))
    assert {c["user"]["id"] for c in clients} == {alice.id}
    stranger = await connect(bob)
    assert f"Permission denied for workspace {alice.workspace}" in await failure(
        stranger.list_clients(alice.workspace))


async def test_logged_events(api):
    await api.log_event("measured", {"n": 1})
    await api.log_event("measured", {"n": 2})
    await api.log("a line")
    events = await api.get_events("measured")
    assert sorted(e["data"]["n"] for e in events) == [1, 2]
    assert set(events[0]) >= {"event_type", "workspace", "user_id", "timestamp", "data"}
    assert {"event_type": "measured", "count": 2} in await api.get_event_stats("measured")
    assert "must not contain spaces" in await failure(api.log_event("two words"))
