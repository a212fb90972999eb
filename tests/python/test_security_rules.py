"""The security rules, one by one, with a real second user through real clients.

| rule | what must not work | tests |
| --- | --- | --- |
| V1 | registering a service under another workspace or client | test_v1_… |
| V2 | hearing events of another workspace through a name that looks like one's own | test_v2_… |
| V3 | learning who else is authorised for a service | test_v3_… |
| V4 | bookmarking a workspace one may not read | test_v4_… |
| V5 | reading stacks, paths or internal texts in errors | test_v5_… |
| V6 | overwriting somebody's workspace | test_v6_… |
| V7 | creating the server's or somebody's personal workspace | test_v7_… |
| V8 | losing ownership, or giving away one's quota, by a list of owners | test_v8_… |
| V9 | completing a login with a token that the server did not make | test_v9_…, test_login.py |
| V10–V13 | using an id that begins with a foreign workspace: sessions, logs, apps | test_v10_… to test_v13_… |
| V15 | listing foreign clients; a `*` entry that hides a stronger one | test_v15_… |
| V16 | text that acts as a query | test_v16_… |
| S1 | describing a foreign workspace, or getting variables other than by `get_env` | test_s1_… |
| S2 | a child token with more rights than its parent gave it | test_s2_… |
| S3 | smuggling elements into a scope (the round trip is a property test in src/identity/scope.rs) | test_s3_… |
| S4 | taking a personal workspace before its user's first login | test_s4_… |
| S5 | changing the owners by saving something else | test_s5_… |
| S6 | learning who is connected elsewhere, or whole users from registrations | test_s6_… |
| S7 | harming a living client by asking for its id | test_s7_… |
| S8 | learning hidden ids from an ambiguous lookup | test_s8_… |
| S9 | taking a foreign workspace by a local login, guessing passwords | test_accounts.py |
| S11 | starting somebody's app without the right to use it | test_s11_… |
| S12 | wildcards in ids | test_s12_… |
| S13 | finding tokens in the log or in the store | test_s13_… |
| S14 | bookmarking a service one may not use | test_s14_… |
| S15 | broadcasting into another workspace, or without the right to write | test_s15_… |

The rest are patterns without a number: pinned, specialised and expired tokens, unlisted services, the context
of a call, revoked tokens of open connections, selection functions.
"""

import asyncio
import uuid

import httpx
import msgpack
import pytest
import websockets
from hypha_rpc import connect_to_server

from harness import Refused, User, bearer, claims, eventually, failure, failure_text, jwt

pytestmark = pytest.mark.ours


def fresh(name="lab"):
    return f"{name}-{uuid.uuid4().hex[:8]}"


async def child(connect, api, workspace, permission, **config):
    """A client with a token that `api` made."""
    token = await api.generate_token({"workspace": workspace, "permission": permission})
    return await connect(token=token, workspace=workspace, **config)


async def events_of(api, *kinds):
    """Subscribes to `kinds`; what arrives is appended to the returned list."""
    seen = []
    for kind in kinds:
        api.on(kind, seen.append)
    await api.subscribe(list(kinds))
    return seen


async def settled(api):
    """Everything the server sent before has arrived when this returns."""
    await api.echo("settled")
    await asyncio.sleep(0)


# --- V1 to V8 ------------------------------------------------------------------------------

async def test_v1_registrations_are_the_callers_own(raw, alice, bob):
    victim, thief = await raw(alice, client_id="victim"), await raw(bob, client_id="thief")
    for peer in (victim, thief):
        await peer.register_built_in()
    for service_id, text in (
        (f"{alice.workspace}/victim:svc",
         f"PermissionError: Service ID workspace prefix '{alice.workspace}' does not match the current "
         f"workspace '{bob.workspace}'. Cannot register services in other workspaces."),
        (f"{alice.workspace}/thief:svc", "does not match the current workspace"),
        (f"{bob.workspace}/other:svc", "PermissionError: "),
        ("victim:svc", "PermissionError: "),
    ):
        kind, error = await thief.call("register_service", {
            "id": service_id, "name": "svc", "type": "generic", "config": {"visibility": "public"}})
        assert kind == "reject" and text in error["_rvalue"], service_id
    for peer in (victim, thief):
        _, services = await peer.call("list_services", "*")
        assert [s["id"] for s in services if s["name"] == "svc"] == []


async def test_v1_the_config_does_not_move_a_service(connect, raw, alice, bob):
    thief = await raw(bob, client_id="thief")
    await thief.register_built_in()
    claimed = {"visibility": "public", "workspace": alice.workspace, "created_by": {"id": alice.id}}
    assert await thief.call("register_service", {
        "id": f"{thief.address}:svc", "name": "svc", "type": "generic", "config": claimed}) == ("resolve", None)
    _, info = await thief.call("get_service_info", "svc")
    assert info["id"] == f"{bob.workspace}/thief:svc"
    assert info["config"]["workspace"] == bob.workspace
    assert info["config"]["created_by"] == {"id": bob.id}
    assert "svc" not in str(await (await connect(alice)).list_services())


@pytest.mark.parametrize("name", [
    "{alice}/news", "{alice}:news", "{alice}", "{bob}-more/news", "x{bob}/news", "{bob}-more",
])
async def test_v2_event_names_are_matched_whole(connect, alice, bob, name):
    api = await connect(bob)
    name = name.format(alice=alice.workspace, bob=bob.workspace)
    assert "is forbidden" in await failure(api.subscribe([name]))


async def test_v2_events_stay_in_their_workspace(connect, alice, bob):
    owner, stranger = await connect(alice), await connect(bob)
    seen = await events_of(stranger, "service_added", "news")
    await owner.register_service({"id": "secret-one", "f": lambda: 1})
    await owner.emit({"type": "news", "data": "of alice", "to": "*"})
    await settled(owner)
    await stranger.register_service({"id": "own-one", "f": lambda: 1})
    await eventually(lambda: "own-one" in str(seen))
    assert "secret-one" not in str(seen) and "of alice" not in str(seen)


async def test_v3_who_else_is_authorised_is_for_members(connect, alice, bob):
    owner, friend = await connect(alice, client_id="owner"), await connect(bob)
    await owner.register_service({"id": "shared", "f": lambda: 1, "config": {
        "visibility": "protected", "authorized_workspaces": [bob.workspace, "ws-user-third-party"]}})
    service_id = f"{alice.workspace}/owner:shared"
    told = [await friend.get_service_info(service_id), await friend.list_services(alice.workspace)]
    service = await friend.get_service(service_id)
    told.append({key: service[key] for key in service if not callable(service[key])})
    assert "shared" in str(told[1]) and "third-party" not in str(told)
    assert "authorized_workspaces" not in told[0]["config"]
    assert "third-party" in str(await owner.list_services())
    assert "third-party" in str(await owner.get_service_info(service_id))


async def test_v3_the_unauthorised_see_nothing(connect, user, alice, bob):
    owner = await connect(alice, client_id="owner")
    await owner.register_service({"id": "shared", "f": lambda: 1, "config": {
        "visibility": "protected", "authorized_workspaces": [bob.workspace]}})
    for stranger in (await connect(user("carol")), await connect()):
        assert "shared" not in str(await stranger.list_services(alice.workspace))
        error = await failure(stranger.get_service(f"{alice.workspace}/owner:shared"))
        assert error == (f"PermissionError: Permission denied for non-public service in workspace "
                         f"{alice.workspace}")


async def test_v4_bookmarks_need_read_access(connect, api, alice, bob):
    stranger = await connect(bob)
    item = {"bookmark_type": "workspace", "id": alice.workspace}
    assert await failure(stranger.bookmark(item)) == (
        f"PermissionError: Permission denied for workspace {alice.workspace}")
    assert alice.workspace not in str(await stranger.get_workspace_info(bob.workspace))
    await api.bookmark(item)
    assert alice.workspace in str((await api.get_workspace_info())["config"]["bookmarks"])


INSIDE = ("Traceback", ".rs", "/src/", "/home/", "/root/", "site-packages", "panicked", "sled", "line ")


async def test_v5_errors_show_nothing_of_the_inside(connect, alice, bob):
    await connect(alice)
    for who in (bob, None):
        api = await connect(who)
        calls = [
            api.get_service("nothing"), api.get_service(f"{alice.workspace}/nothing"),
            api.get_service_info("a/b/c"), api.set_env(5, 6), api.generate_token("x"),
            api.get_workspace_info("no-such"), api.create_workspace({"name": 5}),
            api.create_workspace({"name": "a-b", "owners": 5}), api.get_events(start_time="now"),
            api.register_service_type({"id": 5}), api.list_workspaces(match=5), api.parse_token("x.y.z"),
            api.revoke_token("x"), api.bookmark({"bookmark_type": "workspace", "id": "no-such"}),
            api.list_services({"workspace": ["x"]}), api.delete_workspace("no-such"), api.cleanup("no-such"),
        ]
        for call in calls:
            try:
                await call
            except Exception as error:
                # The client library adds its own lines; what the server said is the remote part.
                text = str(error)
                assert not [word for word in INSIDE if word in text], text


async def test_v5_a_workers_stack_does_not_travel_on(controller, worker):
    worker.fails_with = "the reason"
    error = await failure_text(controller.install(
        source="x", manifest={"name": "x", "type": worker.kind, "version": "1"}, wait_for_service=False))
    assert "the reason" in error and "Traceback" not in error and "fakes.py" not in error


async def test_v6_overwriting_is_for_owners(connect, api, alice, bob):
    name, stranger = fresh(), await connect(bob)
    await api.create_workspace({"name": name, "description": "mine", "persistent": True})
    member = await child(connect, api, name, "read_write")
    for other in (stranger, member):
        error = await failure(other.create_workspace({"name": name, "description": "taken"}, overwrite=True))
        assert error.startswith("PermissionError: Permission denied: user ")
        assert error.endswith(f" cannot overwrite workspace {name}")
    assert (await api.get_workspace_info(name))["description"] == "mine"


@pytest.mark.parametrize("name", ["public", "ws-user-root", "ws-anonymous", "ws-user-{alice}", "ws-user-nobody"])
async def test_v7_names_of_the_system_and_of_others(connect, api, alice, bob, name):
    name, stranger = name.format(alice=alice.id), await connect(bob)
    for overwrite in (False, True):
        error = await failure(stranger.create_workspace({"name": name}, overwrite=overwrite))
        assert "Permission denied" in error or "at least one hyphen" in error, error
    assert name not in [w["id"] for w in await stranger.list_workspaces()]
    assert (await api.check_status())["status"] == "ready"


async def test_v7_system_workspaces_cannot_be_deleted(connect, server, bob):
    for api in (await connect(bob), await connect(token=server.root_token)):
        for name in ("public", "ws-user-root", "ws-anonymous"):
            assert (await failure(api.delete_workspace(name))).startswith("PermissionError: ")


async def test_v8_the_creator_is_an_owner(connect, api, alice, bob):
    name = fresh()
    info = await api.create_workspace({"name": name, "owners": [bob.id]})
    assert alice.id in info["owners"] and bob.id in info["owners"]
    await api.delete_workspace(name)


async def test_v8_the_quota_is_the_creators(crashable, connect):
    server = crashable(env={"HYPHA_MAX_WORKSPACES_PER_USER": "3"})
    server.start()
    alice, bob = User(server, "alice"), User(server, "bob")
    giver, taker = await connect(alice, at=server), await connect(bob, at=server)
    # Personal workspaces count: two are left.
    made = []
    while len(made) < 5:
        try:
            made.append((await giver.create_workspace({"name": fresh(), "owners": [bob.id]}))["id"])
        except Exception as error:
            assert "has reached the limit of 3 workspaces" in str(error)
            break
    assert len(made) in (2, 3), made
    await taker.create_workspace({"name": fresh()})


async def test_v9_a_login_is_completed_by_real_tokens_only(server, connect, alice, bob):
    victim, thief = await connect(alice), await connect(bob)
    key = (await (await victim.get_service("public/hypha-login")).start())["key"]
    login = await thief.get_service("public/hypha-login")
    guessed = jwt("guessed", claims(alice.id, f"ws:{alice.workspace}#a wid:{alice.workspace}"))
    for token in (guessed, bob.token(expires_in=-1), "junk", bob.token(extra=["file:download"])):
        assert "Invalid token provided to report_login" in await failure(login.report(key=key, token=token))
    theirs = await victim.get_service("public/hypha-login")
    assert await theirs.check(key=key, timeout=0) is None
    await theirs.report(key=key, token=alice.token())
    assert await theirs.check(key=key, timeout=0)


# --- V10 to V16 ----------------------------------------------------------------------------

@pytest.fixture
async def session(controller, worker):
    """A running session of alice's."""
    app = await controller.install(
        source="x", manifest={"name": "x", "type": worker.kind, "version": "1"}, wait_for_service=False)
    return await controller.start(app.id, wait_for_service=False)


async def test_v10_stopping_foreign_sessions(controller, session, worker, connect, bob):
    theirs = await (await connect(bob)).get_service("public/server-apps")
    assert "ermission" in await failure(theirs.stop(session.id))
    assert session.id not in worker.stopped
    assert [s["id"] for s in await controller.list_running()] == [session.id]


async def test_v11_logs_of_foreign_sessions(controller, session, connect, bob):
    theirs = await (await connect(bob)).get_service("public/server-apps")
    assert "ermission" in await failure(theirs.get_logs(session.id))
    assert (await controller.get_logs(session.id))["total"] == 1


async def test_v12_foreign_sessions(controller, session, connect, bob, alice):
    theirs = await (await connect(bob)).get_service("public/server-apps")
    assert "ermission" in await failure(theirs.get_session_info(session.id))
    assert "ermission" in await failure(theirs.list_sessions(f"{alice.workspace}/{session.app_id}"))
    assert session.id not in str(await theirs.list_running())
    assert (await controller.get_session_info(session.id))["id"] == session.id


@pytest.mark.parametrize("method, more", [
    ("start", []), ("get_app_info", []), ("uninstall", []), ("list_files", []), ("read_file", ["source"]),
])
async def test_v13_ids_with_a_foreign_workspace(controller, session, worker, connect, alice, bob, method, more):
    theirs = await (await connect(bob)).get_service("public/server-apps")
    before = len(worker.started)
    app = f"{alice.workspace}/{session.app_id}"
    assert "ermission" in await failure(getattr(theirs, method)(app, *more))
    assert len(worker.started) == before
    assert session.app_id in str(await controller.list_apps())


async def test_v15_clients_of_a_foreign_workspace(connect, api, alice, bob):
    stranger = await connect(bob)
    assert await failure(stranger.list_clients(alice.workspace)) == (
        f"PermissionError: Permission denied for workspace {alice.workspace}")
    me = f"{alice.workspace}/{api.config.client_id}"
    assert await stranger.ping(me) == (
        f"Failed to ping client {me}: Permission denied for workspace {alice.workspace}")
    assert await api.ping(me) == "pong"


async def test_v15_an_entry_for_all_hides_no_stronger_one(server, connect, alice, bob):
    await connect(alice)
    for entries in ("ws:*#r ws:{ws}#rw", "ws:{ws}#rw ws:*#r"):
        scope = f"{entries.format(ws=alice.workspace)} wid:{alice.workspace}"
        member = await connect(token=jwt(server.jwt_secret, claims(bob.id, scope)))
        await member.set_env("KEY", "value")
        # And it gives no more than it says elsewhere.
        assert await failure(member.generate_token()) == "PermissionError: Only admin can generate token."


@pytest.mark.parametrize("text", ["%", "_", "*", "' OR '1'='1", "seen%", "se\x01en", "seen'; DROP TABLE event_logs"])
async def test_v16_text_is_never_a_query(connect, api, alice, bob, text):
    member = await connect(bob, token=bob.token(workspace=alice.workspace, permission="rw"))
    await api.log_event("seen", {"by": "alice"})
    for reader in (member, api):
        assert await reader.get_events(text) == []
        assert await reader.get_event_stats(text) == []
    assert await member.get_events("seen") == [] and len(await api.get_events("seen")) == 1
    await api.set_env("other", "secret")
    assert "not found" in await failure(member.get_env(text))
    assert await api.list_workspaces(match={"id": text}) == []


# --- S1 to S8 ------------------------------------------------------------------------------

async def test_s1_foreign_workspaces_are_not_described(connect, api, alice, bob):
    for stranger in (await connect(bob), await connect()):
        assert await failure(stranger.get_workspace_info(alice.workspace)) == (
            f"PermissionError: Permission denied for workspace {alice.workspace}")
        assert alice.workspace not in str(await stranger.list_workspaces())


async def test_s1_variables_leave_by_get_env_only(connect, api, alice):
    reader = await child(connect, api, alice.workspace, "read")
    seen = await events_of(reader, "workspace_changed", "workspace_loaded", "workspace_ready")
    await api.set_env("SECRET", "s3cret-value")
    await eventually(lambda: len(seen) > 0)
    told = [seen, await reader.get_workspace_info(alice.workspace), await reader.list_workspaces(),
            await reader.get_summary(), await reader.get_events(), await api.get_events()]
    assert "s3cret-value" not in str(told)
    assert await failure(reader.get_env("SECRET")) == (
        f"PermissionError: Permission denied for workspace {alice.workspace}")


async def test_s2_roots_children_are_no_administrators(connect, server, alice, bob):
    root, owner = await connect(token=server.root_token), await connect(alice)
    guest = await child(connect, root, alice.workspace, "read")
    user = guest.config.user
    assert "admin" not in user["roles"] and "*" not in user["scope"]["workspaces"]
    assert user["scope"]["workspaces"][alice.workspace] == "r"
    await failure(guest.set_env("A", "1"))
    await failure(guest.generate_token({"workspace": bob.workspace}))
    await failure(guest.generate_token({"workspace": "*"}))
    assert await failure(guest.get_service("ws-user-root/admin-utils"))
    assert await owner.get_env() == {}


@pytest.mark.parametrize("permission", ["read", "read_write"])
async def test_s2_a_child_has_no_rights_of_its_parents_ownership(connect, alice, permission):
    email = f"{alice.id}@example.org"
    api = await connect(alice, token=alice.token(email=email))
    lab = fresh()
    await api.create_workspace({"name": lab, "owners": [email], "persistent": True})
    for workspace in (alice.workspace, lab):
        guest = await child(connect, api, workspace, permission)
        assert (await guest.check_status())["user_permission"] == {"read": "r", "read_write": "rw"}[permission]
        assert await failure(guest.generate_token({"permission": "admin"})) == (
            "PermissionError: Only admin can generate token.")
        assert await failure(guest.delete_workspace(workspace)) == (
            f"PermissionError: Permission denied for workspace {workspace}")
        assert "cannot overwrite" in await failure(
            guest.create_workspace({"name": lab}, overwrite=True))
        assert "Permission denied" in await failure(guest.cleanup(workspace))
    assert lab in [w["id"] for w in await api.list_workspaces()]


async def test_s2_a_child_gets_what_its_parent_has_at_most(server, connect, alice, bob):
    """bob is an administrator of his own workspace and of nothing else."""
    await connect(alice)
    api = await connect(bob, token=bob.token(extra=[f"ws:{alice.workspace}#r"]))
    for config in ({"workspace": alice.workspace}, {"workspace": alice.workspace, "permission": "admin"},
                   {"workspace": "*"}, {"workspace": "ws-user-root"}, {"workspace": "public"}):
        assert (await failure(api.generate_token(config))).startswith("PermissionError: ")
    token = await api.generate_token({"permission": "admin"})
    scope = (await api.parse_token(token))["scope"]["workspaces"]
    assert alice.workspace not in scope and scope[bob.workspace] == "a"


async def test_s2_a_child_leaves_no_workspace_behind(connect, api, server, alice):
    guest = await child(connect, api, alice.workspace, "read_write")
    await failure(guest.bookmark({"bookmark_type": "workspace", "id": alice.workspace}))
    root = await connect(token=server.root_token)
    listed = await root.list_workspaces(match={"id": f"ws-user-{guest.config.user['id']}"})
    assert listed == []


@pytest.mark.parametrize("config", [
    {"extra_scopes": ["ws:{alice}#a"]}, {"extra_scopes": ["x ws:{alice}#a"]}, {"extra_scopes": ["x\tws:{alice}#a"]},
    {"extra_scopes": ["wid:{alice}"]}, {"extra_scopes": ["cid:x"]}, {"extra_scopes": [""]},
    {"client_id": "a ws:{alice}#a"}, {"client_id": "a\nws:{alice}#a"}, {"client_id": "a*"},
    {"workspace": "{bob} ws:{alice}#a"}, {"workspace": "{bob}#a ws:{alice}"},
])
async def test_s3_nothing_is_smuggled_into_a_scope(connect, alice, bob, config):
    await connect(alice)
    api = await connect(bob)

    def filled(value):
        if isinstance(value, list):
            return [filled(item) for item in value]
        return value.format(alice=alice.workspace, bob=bob.workspace)

    error = await failure(api.generate_token({key: filled(value) for key, value in config.items()}))
    assert error.startswith(("ValueError: ", "PermissionError: ")), error


async def test_s4_a_personal_workspace_waits_for_its_user(connect, user, bob):
    newcomer, squatter = user("newcomer"), await connect(bob)
    for config in ({"name": newcomer.workspace}, {"id": newcomer.workspace, "name": "x-y"},
                   {"name": newcomer.workspace, "owners": [newcomer.id]}):
        assert (await failure(squatter.create_workspace(config))).startswith("PermissionError: ")
    api = await connect(newcomer)
    assert (await api.check_status())["user_permission"] == "a"
    assert bob.id not in (await api.get_workspace_info())["owners"]


async def test_s5_saving_does_not_change_owners(connect, api, alice, bob):
    lab = fresh()
    before = (await api.create_workspace({"name": lab, "persistent": True}))["owners"]
    member = await connect(bob, token=bob.token(workspace=lab, permission="a"))
    await member.set_env("KEY", "value")
    await member.register_service_type({"id": "thing", "name": "Thing"})
    for config in ({"name": lab}, {"name": lab, "owners": [bob.id]}):
        await member.create_workspace(config, overwrite=True)
        assert (await api.get_workspace_info(lab))["owners"] == before
    # An owner who says so changes them.
    await api.create_workspace({"name": lab, "owners": [bob.id]}, overwrite=True)
    assert set((await api.get_workspace_info(lab))["owners"]) == {alice.id, bob.id}
    await api.delete_workspace(lab)


async def test_s6_strangers_do_not_see_who_is_connected(connect, alice, bob):
    await connect(alice, client_id="present")
    built_in = f"{alice.workspace}/present:built-in"
    for stranger in (await connect(bob), await connect()):
        for query in ("*", {"workspace": "*"}, alice.workspace, {"type": "built-in", "workspace": "*"}, built_in):
            assert alice.id not in str(await stranger.list_services(query))
        for lookup in (stranger.get_service_info, stranger.get_service):
            for service_id in (built_in, f"{alice.workspace}/built-in"):
                assert (await failure(lookup(service_id))).startswith("KeyError: 'Service not found")


async def test_s6_registrations_tell_the_id_of_their_maker_only(connect, alice, bob):
    owner = await connect(alice, token=alice.token(email="alice@example.org"), client_id="owner")
    await owner.register_service({"id": "open", "f": lambda: 1, "config": {"visibility": "public"}})
    info = await (await connect(bob)).get_service_info(f"{alice.workspace}/owner:open")
    assert info["config"]["created_by"] == {"id": alice.id}
    for entry in await owner.list_services():
        assert entry["config"]["created_by"] == {"id": alice.id}


async def test_s7_a_refused_connection_harms_nobody(connect, raw, alice, bob):
    living = await connect(alice, client_id="taken")
    await living.register_service({"id": "svc", "f": lambda: "alive", "config": {"visibility": "public"}})
    for token in (alice.token(), bob.token(workspace=alice.workspace, permission="rw")):
        with pytest.raises(Refused) as refused:
            await raw(token=token, workspace=alice.workspace, client_id="taken")
        assert f"Client already exists and is active: {alice.workspace}/taken" in refused.value.message
        assert await living.echo("still here") == "still here"
        caller = await connect(bob)
        assert await (await caller.get_service(f"{alice.workspace}/svc")).f() == "alive"


async def test_s8_an_ambiguous_lookup_names_nothing_hidden(connect, alice, bob):
    for name in ("one", "two"):
        api = await connect(alice, client_id=name)
        await api.register_service({"id": "svc", "f": lambda: 1})
    for stranger in (await connect(bob), await connect()):
        for mode in ({}, {"mode": "first"}, {"mode": "random"}):
            error = await failure(stranger.get_service(f"{alice.workspace}/svc", mode))
            assert error.startswith("PermissionError: "), error
            assert "one:svc" not in error and "two:svc" not in error
    assert "one:svc" in await failure(api.get_service("svc"))


async def test_s8_hidden_services_do_not_make_a_lookup_ambiguous(connect, alice, bob):
    for name, visibility in (("one", "public"), ("two", "protected")):
        api = await connect(alice, client_id=name)
        await api.register_service({"id": "svc", "f": lambda name=name: name, "config": {"visibility": visibility}})
    assert await (await (await connect(bob)).get_service(f"{alice.workspace}/svc")).f() == "one"


# --- S11 to S15 ----------------------------------------------------------------------------

async def test_s11_the_right_to_use_an_app_comes_before_its_start(controller, serving_worker, connect, alice, bob):
    app = await controller.install(
        source="x", manifest={"name": "x", "type": serving_worker.kind, "version": "1"})
    before = len(serving_worker.started)
    for stranger in (await connect(bob), await connect()):
        for lookup in (stranger.get_service, stranger.get_service_info):
            error = await failure(lookup(f"{alice.workspace}/default@{app.id}"))
            assert error.startswith(("PermissionError: ", "KeyError: ")), error
    assert len(serving_worker.started) == before and await controller.list_running() == []
    member = await connect(alice)
    assert await (await member.get_service(f"default@{app.id}")).echo(1) == 1


@pytest.mark.parametrize("call", [
    ("get_service", "{alice}/*"), ("get_service", "*/*:svc"), ("get_service", "ws-user-*/svc"),
    ("get_service", "{alice}/ow*:hidden"), ("get_service", "{alice}/hid*"), ("get_service_info", "ws-user-*/hidden"),
    ("list_clients", "*"), ("list_clients", "ws-user-*"), ("get_workspace_info", "*"), ("cleanup", "*"),
    ("delete_workspace", "*"), ("delete_workspace", "ws-user-*"), ("list_service_types", "*"),
])
async def test_s12_wildcards_are_refused(connect, alice, bob, call):
    owner, stranger = await connect(alice, client_id="owner"), await connect(bob)
    await owner.register_service({"id": "hidden", "f": lambda: 1})
    method, argument = call
    error = await failure(getattr(stranger, method)(argument.format(alice=alice.workspace)))
    assert error.split(":")[0] in ("AssertionError", "KeyError", "PermissionError", "ValueError"), error
    assert "hidden" in str(await owner.list_services())


@pytest.mark.parametrize("query", [
    "ws-user-*", "{alice}/*", "*/*", "ws-user-*/hidden", {"workspace": "ws-user-*"},
    {"workspace": "*", "client_id": "*", "service_id": "*"}, {"workspace": "{alice}", "visibility": "*"},
])
async def test_s12_wildcards_in_queries_find_only_what_may_be_seen(connect, alice, bob, query):
    owner, stranger = await connect(alice, client_id="owner"), await connect(bob)
    await owner.register_service({"id": "hidden", "f": lambda: 1})
    if isinstance(query, dict):
        query = {key: value.format(alice=alice.workspace) for key, value in query.items()}
    else:
        query = query.format(alice=alice.workspace)
    assert alice.workspace not in str(await stranger.list_services(query))


async def test_s12_ids_of_clients_and_services_hold_no_wildcard(raw, alice):
    for client_id in ("*", "a*", "a:b", "a@b", "a/b", "a b", "a\n", "x" * 129):
        with pytest.raises(Refused) as refused:
            await raw(alice, client_id=client_id)
        assert "Invalid client id" in refused.value.message
    peer = await raw(alice)
    await peer.register_built_in()
    for name in ("*", "a*", "a@b", ""):
        kind, _ = await peer.call("register_service", {"id": f"{peer.address}:{name}", "config": {}, "name": "x"})
        assert kind == "reject", name


async def test_s13_tokens_are_neither_logged_nor_stored(crashable, connect, raw):
    server = crashable(env={"HYPHA_LOGLEVEL": "DEBUG", "RUST_LOG": "debug"})
    server.start()
    alice = User(server, "alice")
    token = alice.token()
    api = await connect(at=server, token=token)
    made = await api.generate_token({"expires_in": 600})
    guest = await raw(at=server, token=made, workspace=alice.workspace)
    await api.parse_token(made)
    async with httpx.AsyncClient(base_url=server.url) as http:
        for sent in (token, made, made[:-4] + "AAAA"):
            await http.get(f"/{alice.workspace}/services", headers=bearer(sent))
            await http.get(f"/{alice.workspace}/services/", params={"token": sent})
    for bad in (made[:-4] + "AAAA", jwt("guessed", claims("x", ""))):
        with pytest.raises(Refused):
            await raw(at=server, token=bad, workspace=alice.workspace)
    await api.revoke_token(made)
    await failure(api.parse_token(made))
    reconnection = guest.info["reconnection_token"]
    await api.disconnect()
    server.stop()
    log = server.log.read_text(errors="replace")
    stored = b"".join(path.read_bytes() for path in server.data_dir.rglob("*") if path.is_file())
    assert "connected" in log and b"ws-user-alice" in stored, "there is something to look at"
    for secret in (token, made, reconnection, server.root_token):
        signature = secret.rsplit(".", 1)[-1]
        assert signature not in log
        assert signature.encode() not in stored


async def test_s14_bookmarks_of_services_need_the_right_to_use_them(connect, alice, bob):
    owner, stranger = await connect(alice, client_id="owner"), await connect(bob)
    await owner.register_service({"id": "inner", "f": lambda: 1})
    await owner.register_service({"id": "open", "f": lambda: 1, "config": {"visibility": "public"}})
    item = {"bookmark_type": "service", "id": f"{alice.workspace}/owner:inner"}
    assert await failure(stranger.bookmark(item)) == (
        f"PermissionError: Permission denied for non-public service in workspace {alice.workspace}")
    await stranger.bookmark({**item, "id": f"{alice.workspace}/owner:open"})
    kept = (await stranger.get_workspace_info())["config"]["bookmarks"]
    assert [entry["id"] for entry in kept] == [f"{alice.workspace}/owner:open"]


async def next_notes(peer, stop):
    """The `note` broadcasts that arrive before the one that says `stop`."""
    notes = []
    while True:
        header, _ = await peer.next_frame(lambda h: h.get("type") == "note")
        if header["data"] == stop:
            return notes
        notes.append(header["data"])


async def test_s15_broadcasts_stay_at_home_and_need_the_right_to_write(raw, connect, api, alice, bob):
    listener, stranger = await raw(alice), await raw(bob)
    read_only = await raw(token=await api.generate_token({"permission": "read"}), workspace=alice.workspace)
    assert await listener.call("subscribe", ["note"]) == ("resolve", True)
    for sender, target in ((stranger, f"{alice.workspace}/*"), (stranger, "*/*"), (stranger, "*"),
                           (read_only, "*"), (read_only, f"{alice.workspace}/*")):
        session = uuid.uuid4().hex
        await sender.send({"type": "note", "to": target, "data": "smuggled", "session": session})
        if (sender, target) != (stranger, "*"):  # bob may talk to his own workspace
            _, body = await sender.next_frame(lambda h: h.get("method") == f"{session}.reject")
            assert "broadcast" in body["args"][0]["_rvalue"]
    member = await raw(alice)
    for target in ("*", f"{alice.workspace}/*"):
        await member.send({"type": "note", "to": target, "data": f"honest {target}"})
    await member.send({"type": "note", "to": "*", "data": "stop"})
    assert await next_notes(listener, "stop") == ["honest *", f"honest {alice.workspace}/*"]


# --- patterns without a number -------------------------------------------------------------

async def test_anonymous_callers_list_public_services_only(connect, alice):
    owner = await connect(alice)
    for visibility in ("public", "protected", "unlisted"):
        await owner.register_service({"id": f"a-{visibility}", "f": lambda: 1, "config": {"visibility": visibility}})
    anonymous = await connect()
    for query in (alice.workspace, "*", {"workspace": alice.workspace}, f"{alice.workspace}/*"):
        listed = str(await anonymous.list_services(query))
        assert "a-public" in listed and "a-protected" not in listed and "a-unlisted" not in listed
    assert "unlisted" in await failure(anonymous.list_services(alice.workspace, include_unlisted=True))


async def test_unlisted_services_are_found_by_id_alone(connect, alice, bob):
    owner, stranger = await connect(alice), await connect(bob)
    await owner.register_service({"id": "quiet", "f": lambda: 1, "config": {"visibility": "unlisted"}})
    for query in (alice.workspace, "*", f"{alice.workspace}/quiet", {"workspace": alice.workspace, "id": "quiet"}):
        assert ":quiet" not in str(await stranger.list_services(query))
    assert await (await stranger.get_service(f"{alice.workspace}/quiet")).f() == 1


async def test_the_context_of_a_call_is_the_servers(connect, raw, alice, bob):
    """Providers see who really calls, whatever the caller claims."""
    owner = await connect(alice, client_id="owner")
    seen = []

    def whoami(context=None):
        seen.append(context)
        return [context["ws"], context["user"]["id"], context["from"]]

    await owner.register_service({
        "id": "who", "whoami": whoami, "config": {"visibility": "public", "require_context": True}})
    caller = await connect(bob, client_id="caller")
    service = await caller.get_service(f"{alice.workspace}/who")
    assert await service.whoami() == [bob.workspace, bob.id, f"{bob.workspace}/caller"]
    forger = await raw(bob, client_id="forger")
    forged = {"ws": alice.workspace, "from": owner.config.client_id, "user": owner.config.user}
    for field in ("ws", "from", "user"):
        session = uuid.uuid4().hex
        header = {"type": "method", "from": forger.address, "to": f"{alice.workspace}/owner",
                  "method": "services.who.whoami", "session": session, field: forged[field]}
        await forger.send(header, {"args": [], "promise": "*", "t": 15.0})
        _, body = await forger.next_frame(lambda h: h.get("method") == f"{session}.resolve")
        assert body["args"][0] == [bob.workspace, bob.id, f"{bob.workspace}/forger"]


async def test_protected_services_do_not_answer_strangers(connect, raw, alice, bob):
    """Even to a caller who knows the address and needs no lookup."""
    owner, called = await connect(alice, client_id="owner"), []
    await owner.register_service({"id": "inner", "f": lambda: called.append(1)})
    thief = await raw(bob)
    kind, error = await thief.call("f", to=f"{alice.workspace}/owner", service="services.inner")
    assert kind == "reject" and "ermission" in error["_rvalue"] and not called


async def test_pinned_tokens_serve_their_client_only(connect, raw, api, alice):
    token = await api.generate_token({"client_id": "only-me"})
    with pytest.raises(Refused) as refused:
        await raw(token=token, workspace=alice.workspace, client_id="somebody-else")
    assert ("Client id mismatch: this token is restricted to client with client_id='only-me'"
            in refused.value.message)
    await raw(token=token, workspace=alice.workspace, client_id="only-me")


async def test_specialised_tokens_open_no_connection(raw, api, alice):
    token = await api.generate_token({"extra_scopes": ["file:download"]})
    with pytest.raises(Refused) as refused:
        await raw(token=token, workspace=alice.workspace)
    assert ("Specialized token with scopes [file:download] cannot be used for general workspace access. This "
            "token can only be used for its intended purpose.") in refused.value.message


async def test_expired_and_foreign_tokens_are_refused_everywhere(server, raw, alice):
    now_over = alice.token(expires_in=-1)
    for token, text in (
        (now_over, "The token has expired. Please fetch a new one"),
        (alice.token(secret="guessed"), "Signature verification failed."),
        (alice.token(aud="https://elsewhere/"), "Invalid audience"),
        (alice.token(iss="https://elsewhere/"), "Invalid issuer"),
        (jwt("", claims(alice.id, ""), {"alg": "none", "typ": "JWT"}), ""),
    ):
        with pytest.raises(Refused) as refused:
            await raw(token=token, workspace=alice.workspace)
        assert text in refused.value.message
        async with httpx.AsyncClient(base_url=server.url) as http:
            response = await http.get(f"/{alice.workspace}/services/", headers=bearer(token))
            assert response.status_code == 401 and text in response.text


async def test_revoking_ends_what_the_token_opened(server, connect, raw, api, alice):
    """Connections opened with it, and the reconnection tokens that they were given."""
    token = await api.generate_token({"permission": "read_write"})
    one, other = await raw(token=token, workspace=alice.workspace), await raw(alice)
    reconnection = one.info["reconnection_token"]
    await api.revoke_token(token)
    with pytest.raises(websockets.ConnectionClosed) as closed:
        while True:
            await asyncio.wait_for(one.socket.recv(), 10)
    assert closed.value.rcvd.reason == "The token of this connection was revoked"
    for field in ({"token": token}, {"reconnection_token": reconnection}):
        with pytest.raises(Refused) as refused:
            await raw(workspace=alice.workspace, client_id=one.info["client_id"], **field)
        assert "Token has been revoked" in refused.value.message
    async with httpx.AsyncClient(base_url=server.url) as http:
        response = await http.get(f"/{alice.workspace}/services/", headers=bearer(token))
        assert (response.status_code, "revoked" in response.text) == (401, True)
    assert await other.alive() and await api.echo(1) == 1


async def test_strangers_cannot_revoke_or_read_tokens_of_others(connect, api, alice, bob):
    token, stranger = await api.generate_token(), await connect(bob)
    assert "not authorized for workspace" in await failure(stranger.parse_token(token))
    reader = await child(connect, api, alice.workspace, "read_write")
    assert await failure(reader.revoke_token(token)) == (
        f"PermissionError: Permission denied for workspace {alice.workspace}")
    assert (await api.parse_token(token))["parent"] == alice.id


async def test_selection_functions_are_called_in_the_callers_name(connect, alice, bob):
    """`select:` makes the server call a function; it must not lend the caller its own rights."""
    callers = []

    def load(context=None):
        callers.append((context["ws"], context["user"]["id"]))
        return 1

    for name in ("one", "two"):
        api = await connect(alice, client_id=name)
        await api.register_service({"id": "svc", "load": load, "f": lambda: 1,
                                    "config": {"visibility": "public", "require_context": True}})
    stranger = await connect(bob)
    await stranger.get_service_info(f"{alice.workspace}/svc", {"mode": "select:min:load"})
    assert callers == [(bob.workspace, bob.id)] * 2


async def test_the_next_owner_of_a_name_finds_nothing_of_the_last(connect, api, bob):
    """Logged events, variables and apps go with a deleted workspace."""
    lab = fresh()
    await api.create_workspace({"name": lab, "persistent": True})
    member = await child(connect, api, lab, "admin")
    await member.log_event("seen", {"by": "alice"})
    await member.set_env("SECRET", "s3cret")
    await api.delete_workspace(lab)
    stranger = await connect(bob)
    await stranger.create_workspace({"name": lab, "persistent": True})
    successor = await child(connect, stranger, lab, "admin")
    assert await successor.get_env() == {} and await successor.get_events() == []
    await stranger.delete_workspace(lab)


async def test_a_deleted_workspace_lets_nobody_stay(connect, api, alice):
    lab = fresh()
    await api.create_workspace({"name": lab, "persistent": True})
    token = await api.generate_token({"workspace": lab})
    gone = asyncio.Event()
    member = await connect_to_server({
        "server_url": api.config.public_base_url, "token": token, "workspace": lab, "client_id": "member"})
    member.rpc._connection.on_disconnected(lambda *_: gone.set())
    await api.delete_workspace(lab)
    await asyncio.wait_for(gone.wait(), 10)
    await member.disconnect()
    assert await failure(api.list_clients(lab)) == f"PermissionError: Permission denied for workspace {lab}"
