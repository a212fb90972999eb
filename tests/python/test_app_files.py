"""Files of apps over HTTP: types, tags, parts, and who may read them."""

import base64

import pytest

from harness import bearer

BYTES = bytes(range(256))
FILES = [
    {"path": "index.html", "content": "<!doctype html><html>\u00fc</html>", "format": "text"},
    {"path": "lib/code.mjs", "content": "export const a = 1", "format": "text"},
    {"path": "data.bin", "content": base64.b64encode(BYTES).decode(), "format": "base64"},
]


@pytest.fixture
async def files(controller, worker, alice):
    """Address of the files of an app of alice's."""
    app = await controller.install(
        source="x", files=FILES, wait_for_service=False,
        manifest={"name": "Files", "type": worker.kind, "version": "1"})
    return f"/{alice.workspace}/artifacts/{app.id}/files"


async def test_types_and_tags(http, files, alice):
    mine = bearer(alice.token())
    for path, kind in [("index.html", "text/html; charset=utf-8"),
                       ("lib/code.mjs", "application/javascript; charset=utf-8"),
                       ("data.bin", "application/octet-stream")]:
        answer = await http.get(f"{files}/{path}", headers=mine)
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
        assert answer.headers["cache-control"] == "private, no-cache"
        assert answer.headers["x-content-type-options"] == "nosniff"
        head = await http.head(f"{files}/{path}", headers=mine)
        assert head.status_code == 200 and head.content == b""
        assert head.headers["etag"] == answer.headers["etag"]
        assert head.headers["content-length"] == str(len(answer.content))
        same = await http.get(f"{files}/{path}",
                              headers={**mine, "If-None-Match": answer.headers["etag"]})
        assert (same.status_code, same.content) == (304, b"")
        other = await http.get(f"{files}/{path}", headers={**mine, "If-None-Match": '"x"'})
        assert other.status_code == 200
    assert "\u00fc" in (await http.get(f"{files}/index.html", headers=mine)).text


async def test_parts(http, files, alice):
    async def part(range, **headers):
        return await http.get(f"{files}/data.bin", headers={
            **bearer(alice.token()), "Range": range, **headers})

    whole = await part("nonsense")
    assert whole.status_code == 200 and whole.content == BYTES
    assert whole.headers["accept-ranges"] == "bytes"
    for range, first, last in [("bytes=0-9", 0, 9), ("bytes=250-", 250, 255),
                               ("bytes=-2", 254, 255), ("bytes=250-999", 250, 255)]:
        answer = await part(range)
        assert answer.status_code == 206 and answer.content == BYTES[first:last + 1]
        assert answer.headers["content-range"] == f"bytes {first}-{last}/256"
    beyond = await part("bytes=256-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */256")
    assert (await part("bytes=0--1")).status_code == 200
    assert (await part("bytes=0-9", **{"If-Range": whole.headers["etag"]})).status_code == 206
    assert (await part("bytes=0-9", **{"If-Range": '"old"'})).status_code == 200


async def test_files_are_for_members(http, files, bob):
    for headers in ({}, bearer(bob.token())):
        for path in ("index.html", "nothing"):
            answer = await http.get(f"{files}/{path}", headers=headers)
            assert answer.status_code == 403 and "etag" not in answer.headers


async def test_a_change_changes_the_tag(http, files, controller, alice):
    url, mine = f"{files}/index.html", bearer(alice.token())
    before = (await http.get(url, headers=mine)).headers["etag"]
    app = files.split("/")[3]
    await controller.edit_file(app, "index.html", "other")
    staged = await http.get(f"{url}?stage=true", headers={**mine, "If-None-Match": before})
    assert (staged.status_code, staged.text) == (200, "other")
    assert (await http.get(url, headers={**mine, "If-None-Match": before})).status_code == 304
    await controller.commit_app(app)
    assert (await http.get(url, headers={**mine, "If-None-Match": before})).text == "other"


async def test_the_page_of_a_session(http, api, controller):
    app = await controller.install(
        source="api.export({where: () => location.pathname})", wait_for_service="default",
        manifest={"name": "A page", "type": "window", "version": "1"}, timeout=60)
    session = await controller.start(app.id, wait_for_service="default", timeout=60)
    page = await (await api.get_service(f"{session['id']}:default")).where()
    answer = await http.get(page)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    part = await http.get(page, headers={"Range": "bytes=0-8"})
    assert (part.status_code, part.text) == (206, "<!doctype")
    assert (await http.get(page.replace("index.html", "nothing"))).status_code == 404
    await controller.stop(session["id"])
    assert (await http.get(page)).status_code == 404, "the key ends with the session"
    await controller.uninstall(app.id)
