"""`rhizome doctor --artifacts` on data that is whole, in use, and damaged."""

import json
import subprocess

import httpx
import pytest
from hypha_rpc import connect_to_server

from crash import BIG, content, doctor
from harness import ROOT, Server, User, binary
from s3 import S3

pytestmark = pytest.mark.ours


def run(*args):
    return subprocess.run([*binary(), "doctor", *args], cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.fixture(params=["folder", "s3"])
async def filled(request, tmp_path):
    """A server with an artifact and what else it keeps, and where its contents lie."""
    args, s3 = (), None
    if request.param == "s3":
        s3 = S3(tmp_path / "s3")
        s3.start()
        args = s3.args()
    server = Server(tmp_path / "data", tmp_path / "server.log", args=args)
    server.start()
    user = User(server, "alice")
    async with connect_to_server({"server_url": server.url, "token": user.token()}) as api:
        manager = await api.get_service("public/artifact-manager")
        files = await api.get_service("public/s3-storage")
        await manager.create(alias="all", type="collection", manifest={"name": "All"})
        await manager.create(alias="data", parent_id="all", manifest={"name": "Data"}, stage=True)
        await manager.write_file("data", "a.txt", "the content")
        put = httpx.put(await manager.put_file("data", "big.bin"), content=content("big", BIG), timeout=30)
        assert put.status_code == 200
        await manager.commit("data")
        assert httpx.put(await files.put_file("b.txt"), content=b"other").status_code == 200
        begun = await manager.put_file_start_multipart("data", "c.bin", 2) \
            if await manager.edit("data", stage=True) else None
        part = httpx.put(begun["parts"][0]["url"], content=content("part", 1000))
        assert part.status_code == 200
    yield server, (s3.folder if s3 else server.data_dir / "blobs")
    server.stop()
    if s3:
        s3.stop()


def blob_of(folder, data):
    """The file that holds these bytes."""
    found = [file for file in folder.rglob("*") if file.is_file() and file.stat().st_size == len(data)
             and file.read_bytes() == data]
    assert len(found) == 1, found
    return found[0]


def findings(verdict, severity="error"):
    return sorted({(one["kind"], one["subject"].split("/")[-1]) for one in verdict["findings"]
                   if one["severity"] == severity})


async def test_damage_is_found(filled):
    server, folder = filled
    settings = ["--artifacts", "--data-dir", str(server.data_dir), *server.args]
    busy = run(*settings)
    assert busy.returncode == 2 and "a server uses the data folder; stop it first" in busy.stderr
    server.stop()
    whole = doctor(server, "--deep")
    assert (whole["errors"], whole["notes"]) == (0, 0), whole
    assert whole["counts"]["artifacts"] == 2 and whole["counts"]["uploads"] == 1
    assert whole["engine"] == ("s3" if "--enable-s3" in server.args else "folder")
    text = run(*settings)
    assert text.returncode == 0 and text.stdout.endswith("0 errors, 0 notes\n"), text.stdout

    small, big = blob_of(folder, b"the content"), blob_of(folder, content("big", BIG))
    other, part = blob_of(folder, b"other"), blob_of(folder, content("part", 1000))
    small.write_bytes(b"THE CONTENT")
    assert findings(doctor(server)) == []
    assert findings(doctor(server, "--deep")) == [("wrong-hash", "data stage: a.txt"),
                                                  ("wrong-hash", "data v0: a.txt")]
    small.unlink()
    big.write_bytes(b"cut")
    other.unlink()
    part.unlink()
    damaged = doctor(server)
    assert findings(damaged) == [
        ("missing-blob", "b.txt"), ("missing-blob", "data stage: a.txt"), ("missing-blob", "data v0: a.txt"),
        ("missing-blob", next(one["subject"] for one in damaged["findings"] if "upload" in one["subject"])),
        ("wrong-size", "data stage: big.bin"), ("wrong-size", "data v0: big.bin")]
    text = run(*settings)
    assert text.returncode == 1 and "error missing-blob" in text.stdout and "6 errors" in text.stdout
    assert json.loads(run(*settings, "--json").stdout)["errors"] == 6


async def test_without_data_there_is_no_verdict(tmp_path):
    nothing = run("--artifacts", "--data-dir", str(tmp_path / "nowhere"))
    assert nothing.returncode == 2 and "there are no records in" in nothing.stderr
    assert not (tmp_path / "nowhere").exists()
    assert run("--data-dir", str(tmp_path)).returncode == 2
