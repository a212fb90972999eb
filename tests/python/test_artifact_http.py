"""Artifacts over HTTP: who may do what, files and parts of them, uploads, archives, sites."""

import asyncio
import html
import io
import json
import zipfile
from urllib.parse import quote

import httpx
import pytest

from harness import bearer

BYTES = bytes(range(256)) * 40
PART = 5 * 1024 * 1024


@pytest.fixture
async def manager(connect, alice):
    api = await connect(alice)
    return await api.get_service("public/artifact-manager")


@pytest.fixture
def mine(alice):
    return bearer(alice.token())


@pytest.fixture
def base(alice):
    return f"/{alice.workspace}/artifacts"


@pytest.fixture
def make(manager, http, mine, base):
    """Makes an artifact with files; committed unless it is to stay on the stage."""

    async def make(alias, files=(), stage=False, **options):
        options.setdefault("manifest", {"name": alias})
        artifact = await manager.create(alias=alias, stage=True, **options)
        for path, content in dict(files).items():
            answer = await http.put(f"{base}/{alias}/files/{quote(path)}", content=content,
                                    headers=mine)
            assert answer.status_code == 200, answer.text
        if not stage:
            artifact = await manager.commit(artifact.id)
        return artifact

    return make


PUBLIC = {"permissions": {"*": "r"}}


async def test_strangers_see_what_they_are_allowed_to(make, http, base, bob):
    files = {"a.txt": b"hello", "x.zip": b"no archive"}
    await make("private", files)
    await make("public", files, config=PUBLIC)
    await make("listed", files, config={"permissions": {"*": "l"}})
    await make("bobs", files, config={"permissions": {bob.id: "r"}})
    paths = ["", "/files/", "/files/a.txt", "/files/nothing", "/create-zip-file",
             "/create-zip-file?file=a.txt", "/zip-files/x.zip"]
    views = [f"{base[:-len('artifacts')]}view/{{}}/a.txt"]
    for who, allowed in [({}, {"public"}), (bearer(bob.token()), {"public", "bobs"})]:
        for alias in ("private", "public", "listed", "bobs"):
            for path in [f"{base}/{alias}{path}" for path in paths] + \
                        [view.format(alias) for view in views]:
                answer = await http.get(path, headers=who)
                assert (answer.status_code == 403) == (alias not in allowed), (path, answer.text)
                if answer.status_code == 403:
                    assert "hello" not in answer.text and "etag" not in answer.headers
                assert answer.status_code < 500
            put = await http.put(f"{base}/{alias}/files/b.txt", content=b"x", headers=who)
            assert put.status_code == 403
            begun = await http.post(f"{base}/{alias}/create-multipart-upload",
                                    params={"path": "b", "part_count": 1}, headers=who)
            assert begun.status_code == 403
        for route in ("/", "/-/search"):
            seen = await http.get(base + route, headers=who)
            assert seen.status_code == 200
            assert {one["alias"] for one in seen.json()} <= allowed | {"listed"}
    bad = await http.get(f"{base}/public", headers=bearer("nonsense"))
    assert bad.status_code == 401


async def test_a_child_is_as_open_as_its_collection(make, manager, http, base):
    await make("closed", type="collection")
    await make("child", {"a": b"x"}, parent_id="closed", config=PUBLIC)
    for path in ("/child", "/child/files/a", "/closed/children", "/child/create-zip-file"):
        assert (await http.get(base + path)).status_code == 403
    await make("open", type="collection", config={"permissions": {"*": "r"}})
    await make("other", {"a": b"x"}, parent_id="open")
    assert (await http.get(f"{base}/other/files/a")).content == b"x"
    children = await http.get(f"{base}/open/children")
    assert [one["alias"] for one in children.json()] == ["other"]


async def test_records_and_lists(make, http, base, mine):
    await make("col", type="collection")
    for n in range(5):
        await make(f"c{n}", parent_id="col", manifest={"name": f"N{n}", "tag": n % 2})
    await make("waiting", parent_id="col", stage=True)
    info = (await http.get(f"{base}/col", headers=mine)).json()
    assert info["alias"] == "col" and info["config"]["is_collection"] is True
    by_id = await http.get(f"{base}/{info['_id']}", headers=mine)
    assert by_id.json()["id"] == info["id"]

    async def children(**query):
        answer = await http.get(f"{base}/col/children", headers=mine, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def names(**query):
        return sorted(one["alias"] for one in await children(**query))

    committed = [f"c{n}" for n in range(5)]
    assert await names() == committed
    assert await names(stage="true") == ["waiting"]
    assert await names(stage="all") == committed + ["waiting"]
    assert await names(keywords="n1,tag") == ["c1"]
    assert await names(filters=json.dumps({"manifest": {"tag": 1}})) == ["c1", "c3"]
    page = await children(pagination="true", limit=2, offset=1, order_by="manifest.name>")
    assert [one["alias"] for one in page["items"]] == ["c3", "c2"]
    assert (page["total"], page["offset"], page["limit"]) == (5, 1, 2)
    assert await names(limit=0) == []
    views = (await http.get(f"{base}/col?silent=true", headers=mine)).json()["view_count"]
    await children(silent="true")
    await http.get(f"{base}/col?silent=true", headers=mine)
    after = (await http.get(f"{base}/col", headers=mine)).json()["view_count"]
    assert after == views + 1
    roots = (await http.get(f"{base}/", headers=mine)).json()
    assert [one["alias"] for one in roots] == ["col"]
    found = (await http.get(f"{base}/-/search?keywords=N3", headers=mine)).json()
    assert [one["alias"] for one in found] == ["c3"]
    for query in ("filters=nonsense", "filters=[1]", "limit=-1", "offset=x",
                  "filters=%7B%22odd%22:1%7D"):
        bad = await http.get(f"{base}/col/children?{query}", headers=mine)
        assert bad.status_code == 400, query
    for path, detail in [("/nothing", "Artifact not found"),
                         ("/nothing/children", "Parent artifact not found")]:
        answer = await http.get(base + path, headers=mine)
        assert (answer.status_code, answer.json()["detail"]) == (404, detail)
    assert (await http.get(f"{base}/col?version=v9", headers=mine)).status_code == 404


async def test_files_ranges_and_tags(make, http, base, mine):
    await make("data", {"d/a.bin": BYTES, "page.html": "<p>é".encode()})
    url = f"{base}/data/files/d/a.bin"

    async def get(**headers):
        return await http.get(url, headers={**mine, **headers})

    whole = await get()
    assert whole.content == BYTES and whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["x-content-type-options"] == "nosniff"
    etag = whole.headers["etag"]
    for given, first, last in [("bytes=0-9", 0, 9), ("bytes=10000-", 10000, 10239),
                               ("bytes=-5", 10235, 10239), ("bytes=10230-99999", 10230, 10239)]:
        part = await get(Range=given)
        assert (part.status_code, part.content) == (206, BYTES[first:last + 1])
        assert part.headers["content-range"] == f"bytes {first}-{last}/10240"
    assert (await get(Range="bytes=10240-")).status_code == 416
    for odd in ("bytes=0--1", "bytes=5-2", "lines=1", "bytes=0-1,3-4"):
        assert (await get(Range=odd)).content == BYTES
    same = await get(**{"If-None-Match": f'"x", {etag}'})
    assert (same.status_code, same.content) == (304, b"")
    assert (await get(**{"If-None-Match": '"x"'})).status_code == 200
    assert (await get(**{"Range": "bytes=0-1", "If-Range": '"x"'})).status_code == 200
    head = await http.head(url, headers=mine)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == "10240" and head.headers["etag"] == etag
    page = await http.get(f"{base}/data/files/page.html", headers=mine)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "sandbox" in page.headers["content-security-policy"]
    assert "allow-same-origin" not in page.headers["content-security-policy"]
    assert "content-security-policy" not in whole.headers


async def test_folders_are_lists(make, http, base, mine):
    await make("dirs", {"b.txt": b"bb", "a/1": b"1", "a/2": b"2", "a/x/3": b"3"})
    root = (await http.get(f"{base}/dirs/files/", headers=mine)).json()
    assert [(one["type"], one["name"]) for one in root] == [("file", "b.txt"), ("directory", "a")]
    assert root[0]["size"] == 2 and root[0]["last_modified"] > 1e9
    inner = (await http.get(f"{base}/dirs/files/a/", headers=mine)).json()
    assert [one["name"] for one in inner] == ["1", "2", "x"]
    page = await http.get(f"{base}/dirs/files/a/?limit=1&offset=1", headers=mine)
    assert [one["name"] for one in page.json()] == ["2"]
    for path in ("nothing/", "a", "b.txt/"):
        assert (await http.get(f"{base}/dirs/files/{path}", headers=mine)).status_code == 404


async def test_no_path_leads_out(make, http, server, base, mine, alice):
    secret = await make("secret", {"s.txt": b"secret"})
    await make("public", {"a.txt": b"a"}, config=PUBLIC)
    ups = ["../secret/s.txt", "../../secret/files/s.txt", f"../../{secret._id}/v0/s.txt",
           f"..%2f..%2f{secret._id}%2fv0%2fs.txt", "%2e%2e/%2e%2e/secret/files/s.txt",
           "a/../../s.txt", "..%5c..%5csecret", "a%00b", "/etc/passwd", "%2fetc%2fpasswd"]
    for up in ups:
        for route in (f"{base}/public/files/", f"/{alice.workspace}/view/public/",
                      f"{base}/public/zip-files/"):
            answer = await raw_get(server, route + up)
            assert answer[0] in (400, 403, 404), (route + up, answer)
            assert b"secret\r\n" not in answer[1] and b"root:" not in answer[1]
        zipped = await http.get(f"{base}/public/create-zip-file?file={up}")
        assert zipped.status_code in (400, 404)
    staged = await make("open", stage=True)
    for up in ("..%2fx", "a/..%2f..%2fx", "a%5cb", "a%00b", "x" * 1100, "a/" * 40 + "b"):
        answer = await http.put(f"{base}/open/files/{up}", content=b"x", headers=mine)
        assert answer.status_code == 400, (up, answer.text)
    assert staged.alias == "open"


async def raw_get(server, path):
    """A request whose path no client tidies up."""
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return int(answer.split(b" ", 2)[1]), answer


async def test_uploads(make, manager, http, base, mine):
    await make("up", stage=True)
    url = f"{base}/up/files/d/ö ü.txt"

    async def chunks():
        for _ in range(3):
            yield b"chunk"

    for content in (b"", b"abc", chunks()):
        put = await http.put(url, content=content, headers=mine,
                             params={"download_weight": 2})
        assert put.status_code == 200 and put.json()["success"] is True
        assert len(put.headers["etag"]) == 34
    staged = await http.get(url, headers=mine, params={"stage": "true"})
    assert staged.content == b"chunk" * 3 and staged.headers["etag"] == put.headers["etag"]
    await manager.commit("up")
    assert (await http.get(url, headers=mine)).content == b"chunk" * 3
    late = await http.put(url, content=b"x", headers=mine)
    assert (late.status_code, late.json()["detail"]) == (
        400, "AssertionError: Artifact must be in staging mode.")
    for path, status in [("up/files/", 400), ("up/files/d/", 400), ("nothing/files/a", 404)]:
        answer = await http.put(f"{base}/{path}", content=b"x", headers=mine)
        assert answer.status_code == status, answer.text
    record = await manager.read("up", silent=True)
    assert record.config["download_weights"] == {"d/ö ü.txt": 2}
    assert record.download_count == 2, "one committed read"
    await manager.edit("up", stage=True)
    assert (await http.put(url, content=b"new", headers=mine)).status_code == 200
    assert (await http.get(url, headers=mine)).content == b"chunk" * 3, "it is not committed"
    assert (await http.get(url, headers=mine, params={"stage": "true"})).content == b"new"
    await manager.discard("up")
    assert (await http.get(url, headers=mine)).content == b"chunk" * 3


async def test_a_broken_upload_leaves_nothing(make, manager, server, base, mine, alice):
    await make("broken", {"a": b"a"}, stage=True)
    host, port = server.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write((f"PUT {base}/broken/files/b HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
                  f"Authorization: {mine['Authorization']}\r\n\r\nabc").encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    committed = await manager.commit("broken")
    assert committed.file_count == 1


async def test_uploads_in_parts(make, manager, http, base, mine, bob):
    await make("parts", stage=True)
    await make("else", stage=True)
    content = bytes(PART) + b"the end"
    begun = await http.post(f"{base}/parts/create-multipart-upload", headers=mine,
                            params={"path": "big.bin", "part_count": 2, "download_weight": 3})
    assert begun.status_code == 200, begun.text
    begun = begun.json()
    assert [part["part_number"] for part in begun["parts"]] == [1, 2]
    parts = []
    for part, piece in zip(begun["parts"], (content[:PART], content[PART:])):
        put = await http.put(part["url"], content=piece)
        parts.append({"part_number": part["part_number"], "etag": put.headers["etag"]})
    body = {"upload_id": begun["upload_id"], "parts": parts}
    for alias, headers, status in [("else", mine, 400), ("parts", bearer(bob.token()), 403),
                                   ("parts", {}, 403), ("parts", mine, 200)]:
        done = await http.post(f"{base}/{alias}/complete-multipart-upload", headers=headers,
                               json=body)
        assert done.status_code == status, done.text
    assert done.json()["success"] is True
    again = await http.post(f"{base}/parts/complete-multipart-upload", headers=mine, json=body)
    assert (again.status_code, "expired or not found" in again.text) == (400, True)
    await manager.commit("parts")
    whole = await http.get(f"{base}/parts/files/big.bin", headers=mine)
    assert whole.content == content and whole.headers["etag"].endswith('-2"')
    for query in ("path=a", "part_count=1", "path=a&part_count=0", "path=a&part_count=10001"):
        bad = await http.post(f"{base}/parts/create-multipart-upload?{query}", headers=mine)
        assert bad.status_code == 400, query


async def test_downloads_are_counted_by_their_weight(make, manager, http, base):
    weights = {"a.txt": 1, "b.txt": 0.5}
    config = {**PUBLIC, "download_weights": weights}
    files = {"a.txt": b"a", "b.txt": b"b", "c.txt": b"c"}
    await make("w", files, config=config)

    async def counted(path, method="GET", **headers):
        before = (await manager.read("w", silent=True)).download_count
        answer = await http.request(method, f"{base}/w/{path}", headers=headers)
        assert answer.status_code < 400, answer.text
        return (await manager.read("w", silent=True)).download_count - before

    assert await counted("files/a.txt") == 1
    assert await counted("files/b.txt") == 0.5
    assert await counted("files/c.txt") == 0
    assert await counted("files/a.txt?silent=true") == 0
    assert await counted("files/a.txt", "HEAD") == 0
    assert await counted("create-zip-file") == 1.5
    assert await counted("create-zip-file?file=a.txt&file=c.txt") == 1
    assert await counted("create-zip-file?silent=1") == 0
    assert await counted("create-zip-file", "HEAD") == 0
    await make("w2", files, config={**PUBLIC, "download_weights": {**weights,
                                                                   "create-zip-file": 7}})
    await http.get(f"{base}/w2/create-zip-file")
    assert (await manager.read("w2", silent=True)).download_count == 7


async def test_redirects_lead_to_this_server(make, http, server, base, mine):
    await make("redir", {"a.txt": b"a"})
    url = f"{base}/redir/files/a.txt"
    assert (await http.get(f"{url}?use_proxy=true", headers=mine)).status_code == 200
    moved = await http.get(f"{url}?use_proxy=false&expires_in=60", headers=mine)
    assert moved.status_code == 307 and moved.headers["location"].startswith(server.url)
    assert (await http.get(moved.headers["location"])).content == b"a"
    for query in ("use_local_url=https://evil.example", "expires_in=0", "use_proxy=maybe"):
        bad = await http.get(f"{url}?use_proxy=false&{query}", headers=mine)
        assert bad.status_code == 400, query


async def test_tokens_in_the_query(make, http, base, alice, bob):
    await make("tok", {"a b.txt": b"a", "c.txt": b"c"})
    url = f"{base}/tok/files/a b.txt"
    assert (await http.get(url, params={"token": alice.token()})).content == b"a"
    assert (await http.get(url, params={"token": bob.token()})).status_code == 403
    assert (await http.get(url, params={"token": "nonsense"})).status_code == 401
    wins = await http.get(url, params={"token": bob.token()}, headers=bearer(alice.token()))
    assert wins.status_code == 403


async def test_tokens_for_certain_files(make, manager, http, base, alice, bob):
    art = await make("scoped", {"a b.txt": b"a", "c.txt": b"c", "x.zip": archive({"m": b"m"})})
    await make("other", {"c.txt": b"c"})

    async def get(scope, path, alias="scoped"):
        token = bob.token(extra=[scope], permission="r")
        return (await http.get(f"{base}/{alias}/{path}", params={"token": token})).status_code

    for name in (art._id, art.id):
        one = f"get_file:{name}:a%20b.txt"
        assert await get(one, "files/a b.txt") == 200
        assert await get(one, "files/c.txt") == 403
        assert await get(one, "create-zip-file") == 403
        every = f"get_file:{name}:*"
        assert await get(every, "files/c.txt") == 200
        assert await get(every, "zip-files/x.zip/~/m") == 200
        assert await get(every, "files/c.txt", "other") == 403
        assert await get(f"put_file:{name}:*", "files/c.txt") == 403
    token = bob.token(extra=[f"get_file:{art.id}:*"])
    assert (await http.get(f"{base}/scoped", headers=bearer(token))).status_code == 401
    await manager.edit("scoped", stage=True)
    for scope, path, status in [(f"put_file:{art.id}:n.txt", "n.txt", 200),
                                (f"put_file:{art.id}:n.txt", "m.txt", 403),
                                (f"get_file:{art.id}:*", "n.txt", 403),
                                (f"put_file:{art.id}:*", "m.txt", 200)]:
        token = bob.token(extra=[scope], permission="r")
        put = await http.put(f"{base}/scoped/files/{path}", content=b"n",
                             params={"token": token})
        assert put.status_code == status, (scope, put.text)


def archive(files, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return out.getvalue()


async def test_an_archive_of_many_files(make, http, base, mine, alice):
    files = {f"d{n % 10}/f{n}.txt": f"file {n}\n".encode() * (n % 50) for n in range(300)}
    files["ü ñ/日本.bin"] = BYTES
    await make("many", files)
    url = f"{base}/many/create-zip-file"
    answer = await http.get(url, headers=mine)
    assert answer.headers["content-type"] == "application/zip"
    assert "many.zip" in answer.headers["content-disposition"]
    assert int(answer.headers["content-length"]) == len(answer.content)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as got:
        assert got.testzip() is None
        assert {name: got.read(name) for name in got.namelist()} == files
        assert got.infolist()[0].date_time[0] >= 2024
    head = await http.head(url, headers=mine)
    assert head.headers["content-length"] == answer.headers["content-length"]
    some = await http.get(url, headers=mine, params={"file": ["d1/f1.txt", "d2/f2.txt"] * 2})
    with zipfile.ZipFile(io.BytesIO(some.content)) as got:
        assert got.namelist() == ["d1/f1.txt", "d2/f2.txt"]
    missing = await http.get(url, headers=mine, params={"file": ["d1/f1.txt", "nothing"]})
    assert missing.status_code == 404
    assert (await http.get(f"{url}?version=v7", headers=mine)).status_code == 404
    await make("empty")
    none = await http.get(f"{base}/empty/create-zip-file", headers=mine)
    assert zipfile.ZipFile(io.BytesIO(none.content)).namelist() == []


async def test_members_of_archives(make, http, base, mine):
    members = {"top.txt": b"top", "n/inner.html": b"<p>inner", "n/s/deep.bin": BYTES * 100,
               "n/z.txt": b"", "ü/é.txt": "é".encode()}
    stored = archive(members, zipfile.ZIP_STORED)
    await make("zips", {"a.zip": archive(members), "d/s.zip": stored, "lzma.zip":
                        archive(members, zipfile.ZIP_LZMA), "broken.zip": b"PK\5\6 and so on",
                        "cut.zip": stored[:-30]})
    url = f"{base}/zips/zip-files"

    async def get(zipped, **query):
        return await http.get(f"{url}/{zipped}", params=query, headers=mine)

    for name in ("a.zip", "d/s.zip"):
        listed = (await get(name)).json()
        assert [(one["type"], one["name"]) for one in listed] == [
            ("file", "top.txt"), ("directory", "n"), ("directory", "ü")]
        assert listed[0]["size"] == 3 and listed[0]["last_modified"] > 1e9
        for answer in (await get(name, path="n/"), await get(f"{name}/~/n/")):
            assert [one["name"] for one in answer.json()] == ["inner.html", "z.txt", "s"]
        assert (await get(f"{name}/~/")).json() == listed == (await get(f"{name}/~")).json()
        for inner, content in members.items():
            for answer in (await get(name, path=inner), await get(f"{name}/~/{quote(inner)}")):
                assert (answer.status_code, answer.content) == (200, content)
                assert answer.headers["content-length"] == str(len(content))
        assert (await get(name, path="nothing/")).json() == []
        missing = await get(name, path="nothing.txt")
        assert missing.status_code == 404
        assert missing.json()["detail"] == "File not found inside ZIP: nothing.txt"
    page = await get("a.zip/~/n/inner.html")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "sandbox" in page.headers["content-security-policy"]
    known = await http.get(f"{url}/a.zip/~/top.txt",
                           headers={**mine, "If-None-Match": (await get("a.zip/~/top.txt"))
                                    .headers["etag"]})
    assert known.status_code == 304
    head = await http.head(f"{url}/a.zip/~/n/s/deep.bin", headers=mine)
    assert head.headers["content-length"] == str(len(BYTES * 100)) and head.content == b""
    for name, path, status in [("lzma.zip", "top.txt", 400), ("lzma.zip", "", 200),
                               ("broken.zip", "", 400), ("cut.zip", "", 400),
                               ("nothing.zip", "", 404), ("a.zip/~/top.txt", "n/", 400)]:
        assert (await get(name, **({"path": path} if path else {}))).status_code == status, name


async def test_an_archive_made_here_is_read_here(make, http, base, mine):
    await make("round", {"x/a.txt": b"hello", "b.bin": BYTES})
    made = (await http.get(f"{base}/round/create-zip-file", headers=mine)).content
    await make("trip", {"r.zip": made})
    got = await http.get(f"{base}/trip/zip-files/r.zip/~/x/a.txt", headers=mine)
    assert got.content == b"hello"


async def test_sites(make, http, server, base, mine, alice, bob):
    site = f"/{alice.workspace}/view"
    template = "<h1>{{ artifact.manifest.name }}</h1>{{ user.id if user else '' }}"
    files = {"www/index.html": template.encode(), "www/sub/index.html": b"sub",
             "www/a.css": b"p{}", "www/raw.html": b"{{ artifact }}"}
    view = {"root_directory": "/www", "templates": ["index.html"],
            "headers": {"Cache-Control": "max-age=60", "Set-Cookie": "access_token=x"}}
    await make("site", files, config={**PUBLIC, "view_config": view},
               manifest={"name": "A <site>"})
    moved = await http.get(f"{site}/site?x=1")
    assert moved.status_code == 307 and moved.headers["location"].endswith("/view/site/?x=1")
    index = await http.get(f"{site}/site/")
    assert index.text == "<h1>A &lt;site&gt;</h1>anonymouz-http"
    assert index.headers["cache-control"] == "max-age=60" and "set-cookie" not in index.headers
    assert "sandbox" in index.headers["content-security-policy"]
    assert (await http.get(f"{site}/site/sub/")).text == "sub"
    assert (await http.get(f"{site}/site/a.css")).headers["content-type"].startswith("text/css")
    assert (await http.get(f"{site}/site/raw.html")).text == "{{ artifact }}"
    assert (await http.get(f"{site}/site/www/index.html")).status_code == 404
    stranger = await http.get(f"{site}/site/", headers=bearer(bob.token()))
    assert "sandbox" in stranger.headers["content-security-policy"]
    own = await http.get(f"{site}/site/", headers=mine)
    assert "content-security-policy" not in own.headers
    await make("off", {"index.html": b"x"}, config={**PUBLIC, "view_config": "disabled"})
    assert (await http.get(f"{site}/off/")).status_code == 404
    await make("plain", {"index.html": b"x"}, config=PUBLIC)
    plain = await http.get(f"{site}/plain/")
    assert plain.status_code == 400 and "does not support view mode" in plain.text
    await make("endless", {"index.html": b"{% for a in range(9999) %}{% for b in range(9999) %}"
                           b"{% endfor %}{% endfor %}"},
               config={**PUBLIC, "view_config": {"templates": ["index.html"]}})
    assert (await http.get(f"{site}/endless/")).status_code == 500


async def test_the_page_of_a_collection(make, http, base, alice):
    site = f"/{alice.workspace}/view"
    await make("col", {"readme.md": b"x"}, type="collection", config=PUBLIC,
               manifest={"name": "<script>alert(1)</script>", "description": "All of it"})
    await make("child", parent_id="col", manifest={"name": "The child"})
    page = await http.get(f"{site}/col/")
    assert page.status_code == 200 and "script-src 'nonce-" in page.headers[
        "content-security-policy"]
    assert "<script>alert" not in page.text and "All of it" in page.text
    shown = html.unescape(page.text)
    assert 'href="../../artifacts/col/files/readme.md"' in shown
    assert 'href="../child/"' in shown and "The child" in shown


async def test_files_of_workspaces(http, alice, bob, mine):
    files = f"/{alice.workspace}/files"
    put = await http.put(f"{files}/d/ö.txt", content=b"hello", headers=mine)
    assert put.status_code == 200 and put.headers["etag"], put.text
    got = await http.get(f"{files}/d/ö.txt", headers={**mine, "Range": "bytes=1-2"})
    assert (got.status_code, got.content) == (206, b"el")
    listed = (await http.get(f"{files}/d", headers=mine)).json()
    assert (listed["type"], listed["name"]) == ("directory", "d")
    assert [one["name"] for one in listed["children"]] == ["ö.txt"]
    assert (await http.get(f"{files}/", headers=mine)).json()["success"] is True
    reader = bob.token(permission="r", workspace=alice.workspace)
    for headers in ({}, bearer(bob.token()), bearer(reader)):
        for method in ("GET", "PUT", "DELETE"):
            answer = await http.request(method, f"{files}/d/ö.txt", headers=headers)
            assert answer.status_code == 403, (method, headers)
    for path in ("..%2fx", "artifacts/x/v0/y", "d/", ""):
        assert (await http.put(f"{files}/{path}", content=b"x", headers=mine)).status_code == 400
    begun = (await http.post(f"/{alice.workspace}/create-multipart-upload", headers=mine,
                             params={"path": "big", "part_count": 1})).json()
    part = await http.put(begun["parts"][0]["url"], content=b"part")
    done = await http.post(f"/{alice.workspace}/complete-multipart-upload", headers=mine, json={
        "upload_id": begun["upload_id"],
        "parts": [{"part_number": 1, "etag": part.headers["etag"]}]})
    assert done.status_code == 200 and done.json()["success"] is True
    assert (await http.get(f"{files}/big", headers=mine)).content == b"part"
    for path in ("big", "big", "d/"):
        gone = await http.delete(f"{files}/{path}", headers=mine)
        assert gone.status_code == 200 and gone.json()["success"] is True
    assert (await http.get(f"{files}/d/ö.txt", headers=mine)).status_code == 404


async def test_a_slow_reader_of_an_archive_holds_up_nobody(make, manager, server, http, base,
                                                           mine):
    await make("slow", {f"f{n}": bytes(1024 * 1024) for n in range(8)})
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as slow:
        async with slow.stream("GET", f"{base}/slow/create-zip-file", headers=mine) as answer:
            pieces = answer.aiter_raw(1024)
            await anext(pieces)
            await make("meanwhile", {"a": b"a"})
            assert (await http.get(f"{base}/meanwhile/files/a", headers=mine)).content == b"a"
