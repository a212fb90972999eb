"""Files of a workspace over signed addresses, in the data folder and in an S3 bucket."""

import asyncio
import hashlib
import os

import httpx
import pytest

from harness import Server, User, eventually, failure_text
from s3 import KEYS, S3
from hypha_rpc import connect_to_server

MB = 1024 * 1024


@pytest.fixture
def s3(tmp_path):
    s3 = S3(tmp_path / "s3")
    s3.start()
    yield s3
    s3.stop()


@pytest.fixture(params=["folder", "s3"])
def stored(request, tmp_path):
    """A server with each kind of storage."""
    args, s3 = (), None
    if request.param == "s3":
        s3 = request.getfixturevalue("s3")
        args = s3.args()
    server = Server(tmp_path / "data", tmp_path / "server.log", args=args)
    server.start()
    yield server
    server.stop()


async def storage(server, who=None):
    who = who or User(server, "carol")
    api = await connect_to_server({"server_url": server.url, "token": who.token()})
    return api, await api.get_service("public/s3-storage")


def leftovers(server):
    """Uploads that are not finished, on disk."""
    folders = [server.data_dir / "blobs" / "tmp", server.data_dir / "uploads"]
    return [file for folder in folders if folder.exists() for file in folder.iterdir()]


async def test_files_come_back_whole_in_part_and_listed(stored):
    api, files = await storage(stored)
    data = os.urandom(9 * MB + 5)
    name = "dir one/å b+c%20#?.bin"
    async with httpx.AsyncClient(timeout=60) as http:
        put = await http.put(await files.put_file(name), content=data)
        assert put.status_code == 200, put.text
        assert put.headers["etag"] == f'"{hashlib.md5(data).hexdigest()}"'
        url = await files.get_file(name)
        got = await http.get(url)
        assert got.content == data and got.headers["etag"] == put.headers["etag"]
        head = await http.head(url)
        assert head.status_code == 200 and head.headers["content-length"] == str(len(data))
        end = len(data)
        for asked, first, last in [("bytes=0-3", 0, 3), ("bytes=-5", end - 5, end - 1),
                                   (f"bytes={5 * MB}-", 5 * MB, end - 1)]:
            part = await http.get(url, headers={"Range": asked})
            assert part.status_code == 206 and part.content == data[first:last + 1], asked
            assert part.headers["content-range"] == f"bytes {first}-{last}/{end}"
        assert (await http.get(url, headers={"Range": f"bytes={end}-"})).status_code == 416
        whole = await http.get(url, headers={"Range": "bytes=0--1"})
        assert whole.status_code == 200 and len(whole.content) == end
        same = await http.get(url, headers={"If-None-Match": got.headers["etag"]})
        assert same.status_code == 304
        assert (await http.get(await files.get_file("nowhere"))).status_code == 404
    listed = await files.list_files("dir one")
    assert [(item["name"], item["size"]) for item in listed] == [("å b+c%20#?.bin", end)]
    assert [item["type"] for item in await files.list_files("")] == ["directory"]
    assert (await files.remove_file("dir one"))["success"]
    assert await files.list_files("") == []
    assert not leftovers(stored)
    await api.disconnect()


async def test_an_upload_in_parts(stored):
    api, files = await storage(stored)
    parts = [os.urandom(6 * MB), os.urandom(6 * MB), os.urandom(100)]
    begun = await files.put_file_start_multipart("big.bin", 3)
    async with httpx.AsyncClient(timeout=60) as http:
        puts = await asyncio.gather(*(http.put(part["url"], content=data)
                                      for part, data in zip(begun["parts"], parts)))
        tags = [{"part_number": n + 1, "etag": put.headers["etag"].strip('"')} for n, put in enumerate(puts)]
        wrong = [{**tags[0], "etag": "0" * 32}, *tags[1:]]
        text = await failure_text(files.put_file_complete_multipart(begun["upload_id"], wrong))
        assert "etag" in text
        assert await files.list_files("") == []
        done = await files.put_file_complete_multipart(begun["upload_id"], tags[::-1])
        assert done["success"] and done["etag"].endswith('-3"')
        got = await http.get(await files.get_file("big.bin"))
        assert got.content == b"".join(parts)
    text = await failure_text(files.put_file_complete_multipart(begun["upload_id"], tags))
    assert "expired or not found" in text
    await api.disconnect()


async def test_addresses_allow_what_they_say_and_no_more(stored):
    api, files = await storage(stored)
    put, get = await files.put_file("a.txt"), await files.get_file("a.txt")
    short = await files.put_file("a.txt", expires_in=0.5)
    async with httpx.AsyncClient(timeout=20) as http:
        for url in [put.replace("a.txt", "b.txt"), put.replace("Signature=", "Signature=0"),
                    put.split("?")[0], get]:
            assert (await http.put(url, content=b"x" * MB)).status_code == 403, url
        assert (await http.get(put)).status_code == 403

        async def expired():
            return (await http.put(short, content=b"x")).status_code == 403

        await eventually(expired, what="the address expires")
        assert (await http.put(put, content=b"fine", headers={"Content-Type": ""})).status_code == 200
        assert (await http.get(get)).text == "fine"
    for path in ["../x", "a/../../x", "artifacts/x", "/other/x"]:
        assert await failure_text(files.put_file(path)), path
    await api.disconnect()


async def test_an_upload_that_breaks_off_or_is_killed_leaves_nothing(stored):
    who = User(stored, "carol")
    api, files = await storage(stored, who)
    url = await files.put_file("half.bin")

    async def endless():
        yield b"x" * (2 * MB)
        await asyncio.sleep(60)

    async with httpx.AsyncClient(timeout=60) as http:
        cut = asyncio.create_task(http.put(url, content=endless(), headers={"Content-Length": str(8 * MB)}))
        await eventually(lambda: leftovers(stored), what="the upload begins")
        cut.cancel()
        await asyncio.gather(cut, return_exceptions=True)
        await eventually(lambda: not leftovers(stored), what="the upload is cleared away")
        assert await files.list_files("") == []
        await http.put(await files.put_file("kept.txt"), content=b"kept")
        again = asyncio.create_task(http.put(url, content=endless(), headers={"Content-Length": str(8 * MB)}))
        await eventually(lambda: leftovers(stored), what="the upload begins")
        await api.disconnect()
        stored.kill()
        again.cancel()  # its body is still to come and would not notice
        await asyncio.gather(again, return_exceptions=True)
    stored.start()
    assert not leftovers(stored)
    api, files = await storage(stored, who)
    assert [item["name"] for item in await files.list_files("")] == ["kept.txt"]
    got = httpx.get(await files.get_file("kept.txt"))
    assert got.text == "kept"
    await api.disconnect()


async def test_an_s3_server_that_goes_and_comes_back(s3, tmp_path):
    server = Server(tmp_path / "data", tmp_path / "server.log", args=s3.args())
    server.start()
    try:
        api, files = await storage(server)
        old = await files.put_file("old.txt")
        assert httpx.put(old, content=b"old").status_code == 200
        s3.stop()
        put, get = await files.put_file("new.txt"), await files.get_file("old.txt")
        for answer in [httpx.put(put, content=b"new", timeout=30), httpx.get(get, timeout=30)]:
            assert answer.status_code == 503 and "storage" in answer.json()["detail"]
            assert str(s3.port) not in answer.text
        assert [item["name"] for item in await files.list_files("")] == ["old.txt"]
        s3.start()
        assert httpx.put(put, content=b"new", timeout=30).status_code == 200
        assert httpx.get(get).text == "old"
        direct = await files.get_file("old.txt", use_proxy=False)
        assert f":{s3.port}/" in direct and httpx.get(direct).text == "old"
        await api.disconnect()
    finally:
        server.stop()
    assert KEYS[1] not in server.log.read_text()
