"""A disk without room: clear errors, nothing lost, and all goes on when there is room again."""

import os
import subprocess

import httpx
import pytest
from hypha_rpc import connect_to_server

from crash import doctor
from harness import Server, User, bearer, failure

MB = 1024 * 1024


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own with 64 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)],
                             capture_output=True, text=True) if os.geteuid() == 0 else None
    if mounted is None or mounted.returncode:
        pytest.skip("a file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def free(folder):
    room = os.statvfs(folder)
    return room.f_bavail * room.f_frsize


@pytest.mark.ours
async def test_a_full_disk_is_said_and_hurts_nothing(small_disk, tmp_path):
    server = Server(small_disk / "data", tmp_path / "server.log", args=())
    server.start()
    user = User(server, "alice")
    headers = bearer(user.token())
    try:
        api = await connect_to_server({"server_url": server.url, "token": user.token()})
        manager = await api.get_service("public/artifact-manager")
        files = await api.get_service("public/s3-storage")
        async with httpx.AsyncClient(base_url=server.url, timeout=60, headers=headers) as http:
            await manager.create(alias="kept", manifest={"name": "Kept"}, stage=True)
            await manager.write_file("kept", "a.txt", "kept")
            await manager.commit("kept")
            for alias in ("other", "staged"):
                await manager.create(alias=alias, manifest={"name": alias}, stage=True)
            address = await manager.put_file("staged", "big.bin")
            over_http = f"/{user.workspace}/artifacts/staged/files/more.bin"

            # Some room is kept back for what must be written in any case.
            too_much = free(small_disk) - 8 * MB

            async def pieces():
                for _ in range(too_much // MB):
                    yield b"x" * MB

            # Announced, a file that is too long is refused at once; else when the room is used up.
            for url in (address, over_http, await files.put_file("big.bin")):
                for body in (b"x" * too_much, pieces()):
                    answer = await http.put(url, content=body)
                    assert answer.status_code == 507 and "full" in answer.json()["detail"], answer.text
            assert await manager.list_files("staged", version="stage") == []

            filler = small_disk / "filler"
            with open(filler, "wb") as file:
                while free(small_disk) > 3 * MB:
                    file.write(b"x" * MB)
                    file.flush()
            for call in (manager.create(alias="new", manifest={"name": "New"}),
                         manager.edit("kept", stage=True), manager.write_file("staged", "b.txt", "b"),
                         manager.put_file_start_multipart("staged", "parts.bin", 2)):
                assert "full" in await failure(call)
            service = "/public/services/artifact-manager"
            answer = await http.post(f"{service}/edit", json={"artifact_id": "kept", "stage": True})
            assert answer.status_code == 507, answer.text
            assert (await http.put(over_http, content=b"small")).status_code == 507
            # Reading goes on, and so does making room.
            assert (await manager.read("kept"))["file_count"] == 1
            answer = await http.get(f"/{user.workspace}/artifacts/kept/files/a.txt")
            assert answer.text == "kept"
            await manager.delete("other", delete_files=True)

            filler.unlink()
            assert (await http.put(address, content=b"y" * MB)).status_code == 200
            await manager.commit("staged")
            await manager.create(alias="new", manifest={"name": "New"})
        await api.disconnect()
        server.kill()
        verdict = doctor(server)
        assert verdict["errors"] == 0, verdict["findings"]
        server.start()
        async with connect_to_server({"server_url": server.url, "token": user.token()}) as api:
            manager = await api.get_service("public/artifact-manager")
            assert [file["name"] for file in await manager.list_files("staged")] == ["big.bin"]
            assert (await manager.read_file("kept", "a.txt"))["content"] == "kept"
            assert "does not exist" in await failure(manager.read("other"))
    finally:
        server.stop()
