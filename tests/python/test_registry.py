"""The registry: looking services up, listing them, registering and unregistering."""

import pytest

from harness import eventually, failure


def ids(services):
    """The service names of a listing, built-in ones left out."""
    names = (s["id"].split(":", 1)[1] for s in services)
    return sorted(name for name in names if name != "built-in")


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
