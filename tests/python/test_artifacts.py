"""The artifact manager: stages, versions, permissions, listings, and apps as artifacts."""

import asyncio
import uuid

import pytest

from harness import eventually, failure, failure_text
from hypha_rpc import connect_to_server

pytestmark = pytest.mark.ours


def fresh(name="data"):
    return f"{name}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def manager(api):
    return await api.get_service("public/artifact-manager")


@pytest.fixture
async def theirs(connect, bob):
    """The manager as another user calls it, and who that is."""
    api = await connect(bob)
    manager = await api.get_service("public/artifact-manager")
    return manager, api.config.user["id"]


async def put(http, manager, artifact, path, content):
    answer = await http.put(await manager.put_file(artifact, path), content=content)
    assert answer.status_code == 200, answer.text


async def get(http, manager, artifact, path, **which):
    return (await http.get(await manager.get_file(artifact, path, **which))).content


async def listed(manager, artifact, **which):
    return sorted(file["name"] for file in await manager.list_files(artifact, **which))


async def committed(http, manager, files=("a.txt",), **more):
    made = await manager.create(alias=fresh(), manifest={"name": "Data"}, stage=True, **more)
    for path in files:
        await put(http, manager, made.id, path, path.encode())
    await manager.commit(made.id)
    return made.id


# --- stages and versions -------------------------------------------------------------------

async def test_readers_see_a_stage_only_when_it_is_committed(http, manager):
    data = await committed(http, manager, ["a.txt", "b.txt"])
    await manager.edit(data, manifest={"name": "Edited"}, stage=True)
    await put(http, manager, data, "a.txt", b"changed")
    await manager.remove_file(data, "b.txt")
    assert (await manager.read(data))["manifest"]["name"] == "Data"
    assert (await manager.read(data, version="stage"))["manifest"]["name"] == "Edited"
    assert await get(http, manager, data, "a.txt") == b"a.txt"
    assert await get(http, manager, data, "a.txt", version="stage") == b"changed"
    assert await listed(manager, data) == ["a.txt", "b.txt"]
    assert await listed(manager, data, version="stage") == ["a.txt"]
    await manager.commit(data)
    assert await listed(manager, data) == ["a.txt"]
    record = await manager.read(data)
    assert (record["manifest"]["name"], record["file_count"], record["staging"]) == ("Edited", 1, None)
    assert [v["version"] for v in record["versions"]] == ["v0"], "an edit changes the version in place"


async def test_addresses_go_on_working_when_the_version_is_edited(http, manager):
    data = await committed(http, manager)
    address = await manager.get_file(data, "a.txt")
    for round in [b"second", b"third"]:
        await manager.edit(data, stage=True)
        await put(http, manager, data, "a.txt", round)
        await manager.commit(data)
        assert (await http.get(address)).content == round
    await manager.delete(data)
    assert (await http.get(address)).content == b"third", "files stay when they are not to be deleted"


async def test_deleted_files_are_gone(http, manager):
    data = await committed(http, manager)
    address = await manager.get_file(data, "a.txt")
    await manager.delete(data, delete_files=True)
    assert (await http.get(address)).status_code == 404
    assert "does not exist" in await failure(manager.read(data))


async def test_an_upload_that_comes_too_late_changes_nothing(http, manager):
    data = await committed(http, manager)
    await manager.edit(data, stage=True)
    address = await manager.put_file(data, "late.txt")
    await manager.discard(data)
    assert (await http.put(address, content=b"late")).status_code == 409
    assert await listed(manager, data) == ["a.txt"]


async def test_a_commit_without_an_announced_file_fails_and_keeps_the_stage(http, manager):
    data = await committed(http, manager)
    await manager.edit(data, manifest={"name": "Edited"}, stage=True)
    await manager.put_file(data, "missing.txt")
    assert "FileNotFoundError" in await failure_text(manager.commit(data))
    pending = await manager.list_files(data, stage=True, include_pending=True)
    assert [file["name"] for file in pending if file.get("pending")] == ["missing.txt"]
    await put(http, manager, data, "missing.txt", b"here")
    await manager.commit(data)
    assert await listed(manager, data) == ["a.txt", "missing.txt"]


async def test_old_versions_show_what_they_were_committed_with(http, manager):
    data = await committed(http, manager, config={"colour": "red"})
    await manager.edit(data, manifest={"name": "Second"}, config={"colour": "blue"}, version="new", stage=True)
    await put(http, manager, data, "b.txt", b"b")
    await manager.commit(data, version="release", comment="two")
    old, new = await manager.read(data, version="v0"), await manager.read(data)
    assert (old["manifest"]["name"], old["config"]["colour"]) == ("Data", "red")
    assert (new["manifest"]["name"], new["config"]["colour"]) == ("Second", "blue")
    assert await listed(manager, data, version="v0") == ["a.txt"]
    assert await listed(manager, data) == ["b.txt"]
    assert "already exists" in await failure_text(commit_again(manager, data, "release"))
    await manager.discard(data)
    await manager.delete(data, version="v0")
    assert [v["version"] for v in (await manager.read(data))["versions"]] == ["release"]
    assert await listed(manager, data) == ["b.txt"], "the files of other versions stay where they are"


async def commit_again(manager, data, version):
    await manager.edit(data, version="new", stage=True)
    await manager.commit(data, version=version)


async def test_a_copy_has_the_files_and_not_the_secrets(http, manager):
    data = await committed(http, manager, ["a.txt", "dir/b.txt"], secrets={"key": "x"})
    copy = await manager.duplicate(data, target_alias=fresh("copy"))
    assert copy["file_count"] == 2 and copy["id"] != data
    assert await get(http, manager, copy["id"], "dir/b.txt") == b"dir/b.txt"
    assert await manager.get_secret(copy["id"]) == {} and await manager.get_secret(data, "key") == "x"
    await manager.delete(data, delete_files=True)
    assert await get(http, manager, copy["id"], "a.txt") == b"a.txt"
    assert "already exists" in await failure(manager.duplicate(copy["id"], target_alias=copy["alias"]))


async def test_parallel_changes_of_one_artifact_all_count(http, manager):
    data = (await manager.create(alias=fresh(), manifest={"name": "Many"}, stage=True)).id
    paths = [f"{number}.txt" for number in range(40)]
    reads = [manager.read(data) for _ in range(40)]
    await asyncio.gather(*(put(http, manager, data, path, b"x") for path in paths), *reads)
    await manager.commit(data)
    record = await manager.read(data, silent=True)
    assert (record["file_count"], record["view_count"]) == (40, 40)


async def test_downloads_count_by_weight(http, manager):
    data = (await manager.create(alias=fresh(), manifest={"name": "D"}, stage=True)).id
    url = await manager.put_file(data, "a.txt", download_weight=2)
    await http.put(url, content=b"a")
    await manager.commit(data)
    await manager.get_file(data, "a.txt")
    await manager.get_file(data, "a.txt", silent=True)
    assert (await manager.read(data))["download_count"] == 2
    await manager.reset_stats(data)
    assert (await manager.read(data, silent=True))["download_count"] == 0


# --- permissions ---------------------------------------------------------------------------

# What each operation needs; with letters, who else may.
OPERATIONS = {
    "read": lambda m, i: m.read(i),
    "list_files": lambda m, i: m.list_files(i),
    "get_file": lambda m, i: m.get_file(i, "a.txt"),
    "edit": lambda m, i: m.edit(i, manifest={"name": "x"}, stage=True),
    "put_file": lambda m, i: m.put_file(i, "b.txt"),
    "commit": lambda m, i: m.commit(i),
    "reset_stats": lambda m, i: m.reset_stats(i),
    "delete": lambda m, i: m.delete(i),
    "get_secret": lambda m, i: m.get_secret(i),
}
READ = {"read", "list_files", "get_file"}


@pytest.mark.parametrize("letters, allowed", [
    ("n", set()),
    ("l", set()),
    ("lf", {"list_files"}),
    ("r", READ),
    ("r+", READ | {"put_file"}),
    ("rd+", READ | {"edit", "put_file"}),
    ("rw", READ | {"edit", "put_file", "commit"}),
    ("rw+", READ | {"edit", "put_file", "commit"}),
    ("*", READ | {"edit", "put_file", "commit", "reset_stats", "delete"}),
])
async def test_letters_allow_what_they_say(http, manager, theirs, letters, allowed):
    stranger, who = theirs
    for operation, call in OPERATIONS.items():
        data = await committed(http, manager, config={"permissions": {who: letters}})
        if operation in ("put_file", "commit"):
            await manager.edit(data, stage=True)
        if operation in allowed:
            await call(stranger, data)
        else:
            assert "ermission" in await failure_text(call(stranger, data)), operation


async def test_a_grant_on_a_child_does_not_open_its_collection(http, manager, theirs):
    stranger, who = theirs
    collection = await manager.create(alias=fresh("coll"), type="collection", manifest={"name": "C"})
    child = await committed(http, manager, parent_id=collection.id, config={"permissions": {"*": "r"}})
    assert "ermission" in await failure_text(stranger.read(child))
    assert "ermission" in await failure_text(stranger.list(collection.id))
    await manager.edit(collection.id, config={"permissions": {who: "r"}})
    assert (await stranger.read(child))["manifest"]["name"] == "Data"
    assert [one["id"] for one in await stranger.list(collection.id)] == [child]
    assert "ermission" in await failure_text(stranger.create(alias=fresh(), parent_id=collection.id, manifest={"n": 1}))
    await manager.edit(collection.id, config={"permissions": {who: "r+"}})
    own = await stranger.create(alias=fresh(), parent_id=collection.id, manifest={"name": "Theirs"})
    assert own["parent_id"] == collection.id
    # Whoever may add takes away nothing that others made.
    alias = child.split("/")[1]
    again = stranger.create(alias=alias, parent_id=collection.id, manifest={"n": 1}, overwrite=True)
    assert "ermission" in await failure_text(again)


async def test_listings_are_of_the_own_workspace(http, manager, theirs, alice):
    stranger, _ = theirs
    open_one = await committed(http, manager, config={"permissions": {"*": "r"}})
    await committed(http, manager)
    for call in [stranger.list, stranger.search]:
        assert await call(filters={"workspace": alice.workspace}) == []
    assert (await stranger.read(open_one))["id"] == open_one


async def test_children_are_private_to_whom_they_are_addressed(manager, connect, server, user):
    collection = await manager.create(alias=fresh("inbox"), type="collection", manifest={"name": "Inbox"}, config={
        "permissions": {"@": "r+"}, "private_children": True, "recipient_field": "to", "recipient_can_delete": True})
    carl, dora = user("carl"), user("dora")
    emails = {"carl": "carl@example.org", "dora": "dora@example.org"}
    apis = {who.id[:4]: await connect(token=who.token(email=emails[who.id[:4]])) for who in (carl, dora)}
    carls, doras = [await apis[name].get_service("public/artifact-manager") for name in ("carl", "dora")]
    made = await manager.create(alias=fresh(), parent_id=collection.id, manifest={"name": "Letter", "to": emails["carl"]})
    await manager.create(alias=fresh(), parent_id=collection.id, manifest={"name": "Other", "to": emails["dora"]})
    assert len(await manager.list(collection.id)) == 2
    for options in [{}, {"mode": "OR", "keywords": ["Other"]}, {"filters": {"manifest": {"to": emails["dora"]}}}]:
        assert {one["manifest"]["to"] for one in await carls.list(collection.id, **options)} <= {emails["carl"]}
    assert [one["id"] for one in await carls.list(collection.id)] == [made["id"]]
    assert "ermission" in await failure_text(doras.delete(made["id"]))
    await carls.delete(made["id"])
    assert await carls.list(collection.id) == []


# --- listings ------------------------------------------------------------------------------

async def test_listings_are_filtered_sorted_and_paged(manager):
    collection = await manager.create(alias=fresh("coll"), type="collection", manifest={"name": "C"})
    for number in range(12):
        await manager.create(alias=fresh(), parent_id=collection.id, type="even" if number % 2 == 0 else "odd",
                             manifest={"name": f"item {number}", "number": number, "tags": ["all", f"t{number % 3}"]})
    page = await manager.list(collection.id, filters={"type": "even"}, order_by="manifest.number>", limit=2,
                              offset=1, pagination=True)
    assert page["total"] == 6 and [one["manifest"]["number"] for one in page["items"]] == [8, 6]
    found = await manager.list(collection.id, filters={"manifest": {"tags": {"$all": ["all", "t1"]}}})
    assert len(found) == 4
    either = await manager.list(collection.id, keywords=["item 3", "item 4"], mode="OR")
    assert sorted(one["manifest"]["number"] for one in either) == [3, 4]
    assert "Invalid filter key" in await failure(manager.list(collection.id, filters={"colour": "red"}))
    assert (await manager.read(collection.id))["config"]["child_count"] == 12
    await manager.delete(collection.id, recursive=True)
    assert "does not exist" in await failure(manager.read(found[0]["id"]))


async def test_a_collection_says_which_fields_it_lists(manager):
    collection = await manager.create(alias=fresh("coll"), type="collection", manifest={"name": "C"},
                                      config={"list_fields": ["id", "manifest"]})
    await manager.create(alias=fresh(), parent_id=collection.id, manifest={"name": "x"})
    [one] = await manager.list(collection.id)
    assert set(one) == {"id", "manifest"}


async def test_what_is_not_there_is_said_clearly(manager):
    data = (await manager.create(alias=fresh(), manifest={"name": "x"})).id
    for call in [manager.add_vectors(data, vectors=[]), manager.list_branches(data), manager.publish(data)]:
        assert "NotImplementedError" in await failure_text(call)
    git = manager.create(alias=fresh(), manifest={"name": "x"}, config={"storage": "git"})
    assert "NotImplementedError" in await failure_text(git)


async def test_an_artifact_is_named_in_three_ways(manager, api):
    made = await manager.create(alias=fresh("my data.v"), manifest={"name": "x"})
    for name in [made["id"], made["alias"], made["_id"]]:
        assert (await manager.read(name))["_id"] == made["_id"]
    assert "does not exist" in await failure(manager.read(str(uuid.uuid4())))
    for odd in ["-", "a/b/c", "x" * 65, str(uuid.uuid4()), ".."]:
        assert "ValueError" in await failure_text(manager.create(alias=odd, manifest={"name": "x"}))


# --- apps ----------------------------------------------------------------------------------

async def test_apps_are_artifacts(http, manager, controller, worker):
    app = await controller.install(source="one", wait_for_service=False,
                                   manifest={"name": "An app", "type": worker.kind, "version": "1"})
    [found] = [one for one in await manager.list("applications") if one["alias"] == app.id]
    assert found["type"] == "application" and found["manifest"]["name"] == "An app"
    assert await get(http, manager, app.id, "source") == b"one"
    await manager.edit(app.id, stage=True)
    await put(http, manager, app.id, "data/x.bin", b"more")
    await manager.commit(app.id)
    assert await controller.read_file(app.id, "data/x.bin") == "more"


async def test_an_app_that_is_deleted_as_an_artifact_is_uninstalled(manager, controller, worker):
    install = dict(source="one", wait_for_service=False,
                   manifest={"name": "An app", "type": worker.kind, "version": "1"})
    app = await controller.install(**install)
    session = await controller.start(app.id, wait_for_service=False)
    await controller.edit_app(app.id, disabled=True)
    await manager.delete(app.id, delete_files=True)
    await eventually(lambda: not_running(controller, session["id"]))
    assert app.id not in [one["id"] for one in await controller.list_apps()]
    again = await controller.install(app_id=app.id, **install)
    assert not (await controller.get_app_info(again.id)).get("disabled")
    await controller.start(again.id, wait_for_service=False)


async def not_running(controller, session):
    return session not in [one["id"] for one in await controller.list_running()]


# --- crashes and workspaces ----------------------------------------------------------------

@pytest.mark.parametrize("args", [("--enable-server-apps",), ()], ids=["apps", "no apps"])
async def test_artifacts_survive_kill_9_and_go_with_their_workspace(crashable, user, args):
    server = crashable(args=args)
    server.start()
    someone = user("eve", server)
    async with connect_to_server({"server_url": server.url, "token": someone.token()}) as api:
        name = fresh("lab")
        await api.create_workspace({"name": name, "persistent": True})
        manager = await api.get_service("public/artifact-manager")
        kept = await manager.create(alias="kept", manifest={"name": "Kept"}, stage=True)
        await manager.write_file(kept["id"], "a.txt", "text")
        await manager.commit(kept["id"])
        token = await api.generate_token({"workspace": name})
        async with connect_to_server({"server_url": server.url, "token": token, "workspace": name}) as lab:
            theirs = await lab.get_service("public/artifact-manager")
            other = await theirs.create(alias="other", manifest={"name": "Other"})
    server.kill()
    server.start()
    async with connect_to_server({"server_url": server.url, "token": someone.token()}) as api:
        manager = await api.get_service("public/artifact-manager")
        assert (await manager.read(kept["_id"]))["file_count"] == 1
        assert (await manager.read_file("kept", "a.txt"))["content"] == "text"
        assert "ermission" in await failure_text(manager.read(other["id"]))
        await api.delete_workspace(name)

        async def gone():
            return "does not exist" in await failure_text(manager.read(other["_id"]))
        await eventually(gone)


async def test_a_kill_in_the_middle_of_a_deletion_leaves_no_artifacts(crashable, user):
    server = crashable(args=())
    server.start()
    someone = user("eve", server)
    name = fresh("lab")
    async with connect_to_server({"server_url": server.url, "token": someone.token()}) as api:
        await api.create_workspace({"name": name, "persistent": True})
        token = await api.generate_token({"workspace": name})
        async with connect_to_server({"server_url": server.url, "token": token, "workspace": name}) as lab:
            manager = await lab.get_service("public/artifact-manager")
            made = await manager.create(alias="data", manifest={"name": "Data"})
        await api.delete_workspace(name)
        server.kill()
    server.start()
    async with connect_to_server({"server_url": server.url, "token": someone.token()}) as api:
        # Whoever makes a workspace of this name finds nothing of the one before.
        await api.create_workspace({"name": name, "persistent": True})
        manager = await api.get_service("public/artifact-manager")
        assert "does not exist" in await failure_text(manager.read(made["_id"]))


async def test_what_a_deleted_collection_held_stays_outside_of_it(http, manager):
    collection = await manager.create(alias=fresh("all"), type="collection", manifest={"name": "All"})
    child = await committed(http, manager, parent_id=collection["id"])
    await manager.delete(collection["id"])
    assert (await manager.read(child))["parent_id"] is None
    roots = await manager.list(filters={"parent_id": None}, limit=1000)
    assert child in [one["id"] for one in roots]
    assert await get(http, manager, child, "a.txt") == b"a.txt"


async def test_the_count_of_files_follows_when_a_version_is_deleted(http, manager):
    data = await committed(http, manager, ["a.txt"])
    await manager.edit(data, version="new", stage=True)
    for path in ("b.txt", "c.txt"):
        await put(http, manager, data, path, b"x")
    await manager.commit(data)
    assert (await manager.read(data))["file_count"] == 2
    await manager.delete(data, version="v1", delete_files=True)
    assert (await manager.read(data))["file_count"] == 1
