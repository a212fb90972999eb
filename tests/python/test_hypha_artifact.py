"""The client `hypha-artifact`, unchanged: what it does with files, versions and artifacts.

Artifacts are named by bare aliases and reached with a token that is good for one workspace only, as in
scripts outside of a session.
"""

import asyncio
import uuid

import pytest
from hypha_artifact import AsyncHyphaArtifact, HyphaArtifact

from harness import failure_text

pytestmark = pytest.mark.ours
MB = 1024 * 1024


@pytest.fixture
async def token(api):
    return await api.generate_token({"workspace": api.config.workspace, "permission": "read_write"})


@pytest.fixture
async def opened(server, api, token):
    """Makes clients of artifacts and closes them."""
    clients = []

    def make(alias=None, workspace=None, **options):
        alias = alias or f"data-{uuid.uuid4().hex[:8]}"
        # The client sends the alias as it is: the server looks for it where the token belongs.
        client = AsyncHyphaArtifact(alias, workspace=workspace or api.config.workspace, token=options.pop("token", token),
                                    server_url=server.url, **options)
        clients.append(client)
        return client

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
async def staged(opened):
    artifact = opened()
    await artifact.create(manifest={"name": "Data"}, stage=True)
    return artifact


async def write(artifact, path, content):
    async with artifact.open(path, "wb") as file:
        await file.write(content)


def names(entries):
    return sorted(entry["name"] for entry in entries)


async def test_files_are_written_listed_and_read(staged):
    for path in ["a.txt", "b.txt", "dir/c.txt", "dir/deep/d e+å.txt"]:
        await write(staged, path, path.encode())
    await staged.commit()
    for root in [".", "/", ""]:
        assert names(await staged.ls(root, detail=True)) == ["a.txt", "b.txt", "dir"]
    assert names(await staged.ls("dir", detail=True)) == ["c.txt", "deep"]
    assert await staged.ls("nowhere", detail=True) == []
    assert await staged.cat("a.txt") == "a.txt"
    assert await staged.cat("dir/deep/d e+å.txt") == "dir/deep/d e+å.txt"
    assert await staged.head("dir/c.txt", 3) == b"dir"
    assert sorted(await staged.find(".")) == ["a.txt", "b.txt", "dir/c.txt", "dir/deep/d e+å.txt"]


async def test_what_a_path_is(staged):
    await write(staged, "dir/c.txt", b"12345")
    await staged.commit()
    assert await staged.isdir("dir") and not await staged.isfile("dir")
    assert await staged.isfile("dir/c.txt") and not await staged.isdir("dir/c.txt")
    assert await staged.size("dir/c.txt") == 5
    assert (await staged.info("dir/c.txt"))["type"] == "file"
    assert (await staged.modified("dir/c.txt")).year >= 2025
    for path, there in [("dir", True), ("dir/c.txt", True), ("c.txt", False), ("dir/no", False)]:
        assert await staged.exists(path) is there, path


async def test_files_are_copied_removed_and_touched(staged):
    await write(staged, "a.txt", b"one")
    await write(staged, "dir/b.txt", b"two")
    await staged.commit()
    await staged.edit(stage=True)
    await staged.copy("a.txt", "copy.txt")
    await staged.copy("dir", "more", recursive=True)
    await staged.rm("a.txt")
    await staged.touch("empty.txt")
    await staged.mkdir("made")
    await staged.commit()
    assert names(await staged.ls(".", detail=True)) == ["copy.txt", "dir", "empty.txt", "made", "more"]
    assert await staged.cat("copy.txt") == "one"
    assert await staged.cat("more/b.txt") == "two"
    assert await staged.size("empty.txt") == 0
    await staged.edit(stage=True)
    await staged.rm("dir", recursive=True)
    await staged.commit()
    assert not await staged.exists("dir") and await staged.exists("more/b.txt")


async def test_folders_go_up_and_come_down(staged, tmp_path):
    source, target = tmp_path / "up", tmp_path / "down"
    for number in range(60):
        path = source / f"sub{number % 3}" / f"{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number]) * number)
    await staged.put(str(source), ".", recursive=True)
    await staged.commit()
    found = sorted(await staged.find("."))
    assert len(found) == 60
    root = found[0].rsplit("/", 2)[0] if found[0].count("/") > 1 else "."
    await staged.get(root, str(target), recursive=True)
    down = {path.name: path.read_bytes() for path in target.rglob("*.bin")}
    assert down == {f"{n}.bin": bytes([n]) * n for n in range(60)}


async def test_a_big_file_goes_up_in_parts(staged, tmp_path):
    source = tmp_path / "big.bin"
    source.write_bytes(bytes(range(256)) * (13 * MB // 256))
    parts = {"enable": True, "threshold": 5 * MB, "chunk_size": 6 * MB}
    await staged.put(str(source), "big.bin", multipart_config=parts)
    await staged.commit()
    assert await staged.size("big.bin") == 13 * MB
    await staged.get("big.bin", str(tmp_path / "back.bin"))
    assert (tmp_path / "back.bin").read_bytes() == source.read_bytes()


async def test_versions_start_empty_and_stay_readable(staged):
    await write(staged, "one.txt", b"1")
    await staged.commit(comment="first")
    await staged.edit(manifest={"name": "Second"}, version="new", stage=True)
    assert await staged.ls(".", version="stage", detail=True) == []
    await write(staged, "two.txt", b"2")
    assert names(await staged.ls(".", detail=True)) == ["one.txt"]
    await staged.commit(version="release")
    assert names(await staged.ls(".", detail=True)) == ["two.txt"]
    assert names(await staged.ls(".", version="v0", detail=True)) == ["one.txt"]
    assert await staged.cat("one.txt", version="v0") == "1"


async def test_a_discarded_stage_leaves_what_was_committed(staged):
    await write(staged, "a.txt", b"old")
    await staged.commit()
    await staged.edit(stage=True)
    await write(staged, "a.txt", b"new")
    await write(staged, "b.txt", b"more")
    assert await staged.cat("a.txt") == "old"
    assert await staged.cat("a.txt", version="stage") == "new"
    await staged.discard()
    assert names(await staged.ls(".", detail=True)) == ["a.txt"]
    assert await staged.cat("a.txt") == "old"


async def test_collections_and_deletion(opened, api):
    collection = opened()
    await collection.create(manifest={"name": "All"}, type="collection")
    for name in ["x", "y"]:
        child = opened()
        await child.create(manifest={"name": name}, type="dataset", parent_id=collection.artifact_alias)
    listed = await collection.list_children()
    assert sorted(child["manifest"]["name"] for child in listed) == ["x", "y"]
    assert len(await collection.list_children(keywords=["y"])) == 1
    await child.delete()
    assert len(await collection.list_children()) == 1
    manager = await api.get_service("public/artifact-manager")
    await manager.delete(collection.artifact_alias, recursive=True)
    assert "does not exist" in await failure_text(collection.list_children())


async def test_a_token_reaches_no_other_workspace(opened, staged, connect, bob):
    await write(staged, "a.txt", b"mine")
    await staged.commit()
    theirs = await connect(bob)
    other = await theirs.generate_token({"workspace": theirs.config.workspace})
    # A bare alias is looked for in the workspace of the token.
    stranger = opened(staged.artifact_alias, workspace=theirs.config.workspace, token=other)
    for call in [lambda: stranger.ls(".", detail=True), lambda: stranger.cat("a.txt"),
                 lambda: stranger.edit(stage=True)]:
        with pytest.raises(Exception):
            await call()
    # Nor does the full name help somebody without a right to it.
    named = f"{staged.workspace}/{staged.artifact_alias}"
    assert "permission" in (await failure_text(opened(named, staged.workspace, token=other).edit(stage=True))).lower()


async def test_the_client_without_asyncio(server, api, token):
    workspace = api.config.workspace

    def run():
        # As in the main thread of a script.
        asyncio.set_event_loop(asyncio.new_event_loop())
        alias = f"{workspace}/sync-{uuid.uuid4().hex[:8]}"
        artifact = HyphaArtifact(alias, token=token, server_url=server.url)
        artifact.create(manifest={"name": "Sync"}, stage=True)
        with artifact.open("notes/a.txt", "w") as file:
            file.write("line one\nline two\n")
        artifact.commit()
        with artifact.open("notes/a.txt", "r") as file:
            content = file.read()
        listed, there = artifact.ls("notes", detail=True), artifact.exists("notes/a.txt")
        artifact.edit(stage=True)
        artifact.rm("notes/a.txt")
        artifact.commit()
        gone = not artifact.exists("notes/a.txt")
        artifact.delete()
        return content, names(listed), there, gone

    content, listed, there, gone = await asyncio.to_thread(run)
    assert (content if isinstance(content, str) else content.decode()) == "line one\nline two\n"
    assert (listed, there, gone) == (["a.txt"], True, True)
