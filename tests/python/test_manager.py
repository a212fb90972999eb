"""The manager service: its shape, workspaces, tokens, environment, look-ups, registrations."""

import json
import uuid
from pathlib import Path

import pytest

from harness import Refused, eventually, failure

METHODS = json.loads((Path(__file__).parent / "manager_methods.json").read_text())


def ids(services):
    """The service names of a listing, built-in ones left out."""
    names = (s["id"].split(":", 1)[1] for s in services)
    return sorted(name for name in names if name != "built-in")


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


# --- looking services up -------------------------------------------------------------------

@pytest.mark.parametrize("mode, who", [
    ("first", {"one"}), ("last", {"two"}), ("random", {"one", "two"}),
    ("native:random", {"one", "two"}), ("min_load", {"one", "two"}),
    ("select:min:load", {"two"}), ("select:max:load", {"one"}),
    ("select:first_success:load", {"one", "two"}),
])
async def test_selection_modes(connect, alice, mode, who):
    for name, load in (("one", 3), ("two", 1)):
        client = await connect(alice, client_id=name)
        await client.register_service({
            "id": "svc", "who": lambda name=name: name, "load": lambda load=load: load})
    api = await connect(alice)
    for _ in range(3):
        assert await (await api.get_service("svc", {"mode": mode})).who() in who
    assert (await api.get_service_info("svc", {"mode": mode}))["id"].endswith(":svc")


@pytest.mark.parametrize("mode, text", [
    (None, "Multiple services found for"), ("exact", "Multiple services found for"),
    ("worst", "Invalid mode: worst"),
    ("select:min", "Invalid select mode format: select:min. Expected 'select:criteria:function'"),
    pytest.param("select:median:load", "Unknown selection criteria: median", marks=pytest.mark.ours),
])
async def test_selection_that_failure(connect, alice, mode, text):
    for name in ("one", "two"):
        await (await connect(alice, client_id=name)).register_service({"id": "svc", "f": lambda: 1})
    api = await connect(alice)
    assert text in await failure(api.get_service("svc", {"mode": mode} if mode else {}))


@pytest.mark.parametrize("service_id, text", [
    ("a/b/c", "Service id must contain at most one '/'"),
    ("a:b:c", "Service id must contain at most one ':'"),
    ("a@b@c", "Service id must contain at most one '@'"),
    ("*/svc", "You must specify a workspace for the service query"),
])
async def test_service_ids_that_are_none(api, service_id, text):
    assert text in await failure(api.get_service(service_id))


async def test_the_ways_to_name_a_service(connect, alice):
    provider = await connect(alice, client_id="provider")
    await provider.register_service({"id": "svc", "f": lambda: 1})
    api, ws = await connect(alice), alice.workspace
    for name in ("svc", "provider:svc", f"{ws}/svc", f"{ws}/provider:svc"):
        assert (await api.get_service(name)).id == f"{ws}/provider:svc"
    assert (await api.get_service_info("svc"))["id"] == f"{ws}/provider:svc"
    for name in ("~", f"{ws}/~"):
        assert await (await api.get_service(name)).echo(3) == 3


@pytest.mark.parametrize("case, name", [("camel", "doIt"), ("snake", "do_it")])
async def test_case_conversion(api, case, name):
    given = "do_it" if case == "camel" else "doIt"
    await api.register_service({"id": "svc", given: lambda: "done"})
    svc = await api.get_service("svc", {"case_conversion": case})
    assert await svc[name]() == "done"


async def test_list_services(connect, alice, bob):
    api = await connect(alice, client_id="provider")
    for name, visibility in (("open", "public"), ("inner", "protected"), ("quiet", "unlisted")):
        await api.register_service({
            "id": name, "type": "thing", "config": {"visibility": visibility}, "f": lambda: 1})
    ws = alice.workspace
    assert ids(await api.list_services()) == ["inner", "open"]
    assert ids(await api.list_services(include_unlisted=True)) == ["inner", "open", "quiet"]
    assert ids(await api.list_services(ws)) == ["inner", "open"]
    assert ids(await api.list_services(f"{ws}/open")) == ["open"]
    assert ids(await api.list_services("provider:open")) == ["open"]
    assert ids(await api.list_services({"type": "thing"})) == ["inner", "open"]
    assert ids(await api.list_services({"type": "thing", "visibility": "public"})) == ["open"]
    assert ids(await api.list_services({"service_id": "in*"})) == ["inner"]
    stranger = await connect(bob)
    assert ids(await stranger.list_services(ws)) == ["open"]
    found = [s["id"] for s in await stranger.list_services({"workspace": "*", "service_id": "open"})]
    assert f"{ws}/provider:open" in found
    entry = (await api.list_services("provider:open"))[0]
    assert set(entry) >= {"id", "name", "type", "description", "config", "app_id", "service_schema"}
    assert entry["config"]["workspace"] == ws and not entry["config"].get("service_embedding")


@pytest.mark.parametrize("query, text", [
    ({"colour": "red"}, "Invalid query keys"),
    ({"id": "a", "service_id": "b"}, "Cannot specify both 'id' and 'service_id' in the query."),
    ({"workspace": "*", "visibility": "protected"},
     "Cannot list protected or unlisted services in all workspaces."),
    ("a b", "Invalid characters in query part: a b"),
])
async def test_queries_that_are_refused(api, query, text):
    assert text in await failure(api.list_services(query))


async def test_search_is_not_enabled(api):
    assert "Service search is not enabled." in await failure(api.search_services(query="anything"))


# --- registering ---------------------------------------------------------------------------

async def test_register_and_unregister(api):
    info = await api.register_service({"id": "svc", "name": "Named", "type": "thing", "f": lambda: 1})
    assert info["id"] == f"{api.config.workspace}/{api.config.client_id}:svc"
    stored = await api.get_service_info("svc")
    assert stored["name"] == "Named" and stored["type"] == "thing" and stored["app_id"] == "*"
    config = stored["config"]
    assert config["visibility"] == "protected" and config["singleton"] is False
    assert config["require_context"] is False and config["flags"] == []
    assert config["created_by"]["id"] == api.config.user["id"]
    await api.unregister_service("svc")
    assert "Service not found" in await failure(api.get_service("svc"))
    assert "Service not found" in await failure(api.unregister_service("svc"))


async def test_registering_again_replaces(connect, alice):
    api, caller = await connect(alice), await connect(alice)
    await api.register_service({"id": "svc", "f": lambda: 1})
    await api.register_service({"id": "svc", "f": lambda: 2}, overwrite=True)
    assert ids(await caller.list_services()) == ["svc"]
    assert await (await caller.get_service("svc")).f() == 2


async def test_singletons(connect, raw, alice):
    first, second = await connect(alice, client_id="first"), await raw(alice)
    await first.register_service({"id": "one", "config": {"singleton": True}, "f": lambda: 1})
    await second.register_built_in()
    for config in ({}, {"singleton": True}):
        kind, error = await second.call("register_service", {
            "id": f"{second.address}:one", "name": "one", "type": "generic", "config": config})
        assert kind == "reject"
        assert "A singleton service with the same name (one) " in error["_rvalue"]
    await first.unregister_service("one")
    await first.register_service({"id": "one", "config": {"singleton": True}, "f": lambda: 2})


async def test_authorized_workspaces_only_when_protected(api):
    error = await failure(api.register_service({
        "id": "x", "f": lambda: 1,
        "config": {"visibility": "public", "authorized_workspaces": ["ws-user-x"]}}))
    assert "authorized_workspaces" in error


async def test_services_of_other_workspaces_cannot_be_registered(raw, alice, bob):
    peer = await raw(bob)
    await peer.register_built_in()
    kind, error = await peer.call("register_service", {
        "id": f"{alice.workspace}/{peer.info['client_id']}:svc", "config": {}, "name": "svc"})
    assert kind == "reject"
    assert (f"Service ID workspace prefix '{alice.workspace}' does not match the current workspace "
            f"'{bob.workspace}'. Cannot register services in other workspaces.") in error["_rvalue"]


@pytest.mark.ours
async def test_services_of_other_clients_cannot_be_registered(raw, alice):
    victim, thief = await raw(alice, client_id="victim"), await raw(alice, client_id="thief")
    for peer in (victim, thief):
        await peer.register_built_in()
    await thief.call("register_service", {
        "id": f"{alice.workspace}/victim:fake", "config": {}, "name": "fake", "type": "generic"})
    _, services = await victim.call("list_services")
    assert f"{alice.workspace}/victim:fake" not in [s["id"] for s in services]


@pytest.mark.ours
async def test_unregister_takes_the_callers_own(connect, alice):
    first, second = await connect(alice, client_id="first"), await connect(alice, client_id="second")
    for client in (first, second):
        await client.register_service({"id": "svc", "f": lambda: 1})
    await first.unregister_service("svc")
    assert [s["id"] for s in await second.list_services() if s["id"].endswith(":svc")] == [
        f"{alice.workspace}/second:svc"]


async def test_registering_needs_write_access(api, connect, alice):
    token = await api.generate_token({"permission": "read"})
    reader = await connect(token=token, workspace=alice.workspace)
    await failure(reader.register_service({"id": "svc", "f": lambda: 1}))
    assert ids(await api.list_services()) == []


async def test_setup_of_a_default_service_is_called(connect, alice):
    called = []
    api = await connect(alice)
    await api.register_service({"id": "default", "setup": lambda: called.append(1), "f": lambda: 1})
    await eventually(lambda: called)


async def test_a_thousand_services_is_the_limit(raw, alice):
    peer = await raw(alice)
    await peer.register_built_in()
    for i in range(1001):
        kind, value = await peer.call("register_service", {
            "id": f"{peer.address}:s{i}", "config": {}, "name": f"s{i}", "type": "generic"})
        if kind == "reject":
            break
    assert kind == "reject" and 990 <= i <= 1001, value
    assert await peer.alive()


async def test_service_types(api):
    info = {"id": "thing", "name": "Thing", "definition": {"f": {"type": "function"}}}
    await api.register_service_type(info)
    found = await api.get_service_type("thing")
    assert found["name"] == "Thing" and found["id"] in ("thing", f"{api.config.workspace}/thing")
    assert "Thing" in str(await api.list_service_types())
    assert "Service type not found: missing" in await failure(api.get_service_type("missing"))
