"""Functions and ASGI services behind URLs."""

import asyncio
import hashlib
import json
import time

import httpx
import pytest

from harness import bearer, eventually


# --- functions -----------------------------------------------------------------------------

@pytest.fixture
async def functions(api, alice):
    """The URL of a `functions` service; most functions answer with their event."""
    def told(event):
        event = dict(event)
        if isinstance(event.get("body"), bytes):
            event["body"] = event["body"].decode("latin-1")
        return {"status": 200, "headers": {"Content-Type": "application/json"},
                "body": json.dumps(event, default=str)}

    def fail(event):
        raise ValueError("broken")

    async def stream(event):
        yield "a,b\n"
        yield b"\x00\xff"
        yield {"n": 1}

    service = {
        "id": "fns", "type": "functions", "config": {"visibility": "public"},
        "index": lambda event: {"status": 200, "body": "the index"},
        "told": told, "fail": fail, "deep": {"er": {"told": told, "index": told}},
        "default": told,
        "bytes": lambda event: {"headers": {"Content-Type": "image/x"}, "body": b"\x00\xff"},
        "created": lambda event: {"status": 201},
        "moved": lambda event: {"status": 302, "headers": {"Location": "/elsewhere"}},
        "bare": lambda event: {"answer": 42},
        "json": lambda event: {"status": 200, "body": {"a": [1]}},
        "cookies": lambda event: {"status": 200, "headers": [
            ["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"]], "body": "x"},
        "badstatus": lambda event: {"status": "many", "body": ""}, "word": lambda event: {"status": "ok"},
        "number": lambda event: {"status": 7, "left": 1},
        "text": lambda event: "not an object", "page": lambda event: "<p>hello",
        "blob": lambda event: b"\x00\xff", "list": lambda event: [1, "a", None],
        "nothing": lambda event: None,
        "stream": stream, "csv": lambda event: {"status": 201, "headers": {"Content-Type": "text/csv"},
                                               "body": stream(event)},
        "typed": lambda event: {"headers": {"content-type": "application/problem+json"}, "body": {"a": 1}},
    }
    await api.register_service(service)
    return f"/{alice.workspace}/apps/fns"


async def test_function_paths(http, functions):
    assert (await http.get(f"{functions}/")).text == "the index"
    redirect = await http.get(f"{functions}?a=1")
    assert (redirect.status_code, redirect.headers["location"]) == (307, f"{functions}/?a=1")
    for path, fallback in [("told", None), ("deep/er/told", None), ("deep/er", None),
                           ("other", "/other"), ("other/path", "/other/path"), ("deep", "/deep")]:
        event = (await http.get(f"{functions}/{path}")).json()
        assert event["path"] == f"/{path}" and event.get("function_path") == fallback, path


async def test_function_events(http, functions, alice):
    response = await http.post(
        f"{functions}/told?flag&a=b=c&a=2", content=b"\x00body",
        headers={"X-Custom": "1", "Cookie": "k=v", **bearer(alice.token())})
    event = response.json()
    assert event["method"] == "POST" and event["query_string"] == "flag&a=b=c&a=2"
    assert event["headers"]["x-custom"] == "1" and event["headers"]["cookie"] == "k=v"
    assert event["body"] == "\x00body" and event["type"] == "http"
    assert (event["workspace"], event["service_id"]) == (alice.workspace, "fns")
    assert event["user"]["id"] == alice.id
    assert event["client"][0] == "127.0.0.1" and event["scheme"] == "http"
    anonymous = (await http.get(f"{functions}/told")).json()
    assert anonymous["user"]["id"] == "anonymouz-http" and anonymous["body"] is None


async def test_function_answers(http, functions):
    raw = await http.get(f"{functions}/bytes")
    assert (raw.content, raw.headers["content-type"]) == (b"\x00\xff", "image/x")
    assert (await http.get(f"{functions}/created")).status_code == 201
    moved = await http.get(f"{functions}/moved")
    assert (moved.status_code, moved.headers["location"]) == (302, "/elsewhere")
    bare = await http.get(f"{functions}/bare")
    assert bare.json() == {"answer": 42}
    assert bare.headers["content-type"].startswith("application/json")
    assert (await http.get(f"{functions}/json")).json() == {"a": [1]}
    # A status of the application's own is none of HTTP.
    for path, answer in [("word", {"status": "ok"}), ("number", {"status": 7, "left": 1})]:
        own = await http.get(f"{functions}/{path}")
        assert (own.status_code, own.json()) == (200, answer)
    cookies = (await http.get(f"{functions}/cookies")).headers.get_list("set-cookie")
    assert cookies == ["a=1", "b=2"]


async def test_functions_answer_with_what_they_like(http, functions):
    for path, content, kind in [
            ("text", b"not an object", "text/plain"), ("page", b"<p>hello", "text/html"),
            ("blob", b"\x00\xff", "application/octet-stream"), ("list", b'[1,"a",null]', "application/json"),
            ("nothing", b"", ""), ("stream", b'a,b\n\x00\xff{"n":1}\n', ""),
            ("csv", b'a,b\n\x00\xff{"n":1}\n', "text/csv")]:
        response = await http.get(f"{functions}/{path}")
        assert response.content == content, path
        assert response.headers.get("content-type", "").startswith(kind), path
    assert response.status_code == 201 and response.headers["access-control-allow-origin"] == "*"
    typed = await http.get(f"{functions}/typed")
    assert typed.headers.get_list("content-type") == ["application/problem+json"]


async def test_function_failures(http, functions):
    for path, text in [("fail", "ValueError: broken"), ("badstatus", "status")]:
        response = await http.get(f"{functions}/{path}")
        assert response.status_code == 500 and text in response.text, path
        assert response.text.startswith("Internal Server Error: ")
        assert "Traceback" not in response.text


async def test_function_cors(http, functions):
    response = await http.get(f"{functions}/bare", headers={"Origin": "http://a.b"})
    assert response.headers["access-control-allow-origin"] == "http://a.b"
    assert response.headers["access-control-allow-credentials"] == "true"
    assert (await http.get(f"{functions}/bare")).headers["access-control-allow-origin"] == "*"


async def test_large_function_body(http, functions):
    body = b"x" * 5_000_000
    response = await http.post(f"{functions}/told", content=body)
    assert len(response.json()["body"]) == len(body)


async def test_missing_functions_and_services(http, api, alice, bob, connect):
    await api.register_service(
        {"id": "few", "type": "functions", "config": {"visibility": "public"},
         "only": lambda event: {"status": 200}})
    base = f"/{alice.workspace}/apps"
    missing = await http.get(f"{base}/few/nope")
    assert (missing.status_code, missing.text) == (404, "Function not found: nope")
    preflight = await http.options(
        f"{base}/few/nope",
        headers={"Origin": "http://a.b", "Access-Control-Request-Method": "POST"})
    assert preflight.status_code == 204
    nobody = await http.get(f"{base}/nobody/x")
    assert nobody.status_code == 404 and "Service not found" in nobody.text
    assert nobody.headers["content-type"].startswith("text/plain")
    nowhere = await http.get("/no-such-place/apps/x/y")
    assert nowhere.status_code == 404 and "does not exist" in nowhere.text
    await api.register_service({"id": "plain", "config": {"visibility": "public"}})
    generic = await http.get(f"{base}/plain/x")
    assert generic.status_code == 400 and "Invalid service type: generic" in generic.text
    await api.register_service({"id": "mine", "type": "functions", "index": lambda event: {}})
    for headers in ({}, bearer(bob.token(workspace=bob.workspace))):
        assert (await http.get(f"{base}/mine/", headers=headers)).status_code == 403
    bad = await http.get(f"{base}/few/only", headers=bearer("nonsense"))
    assert bad.status_code == 401


async def test_functions_of_an_app_start_on_demand(http, api, controller, alice):
    """Also under the bare name of the service, as the seed's URLs have it."""
    app = await controller.install(
        source="""
        await api.registerService({
            id: "user-api", type: "functions", config: {visibility: "public"},
            users: { list: async (event) => ({ users: [1, 2], method: event.method }) },
        });
        """,
        manifest={"name": "User API", "type": "web-worker", "version": "1.0.0"},
        wait_for_service="user-api")
    for address in (f"user-api@{app.id}", "user-api"):
        for session in await controller.list_running():
            await controller.stop(session["id"])
        response = await http.get(f"/{alice.workspace}/apps/{address}/users/list", timeout=60)
        assert response.status_code == 200, response.text
        assert response.json() == {"users": [1, 2], "method": "GET"}
        assert len(await controller.list_running()) == 1


# --- ASGI ----------------------------------------------------------------------------------

class Application:
    """An ASGI application of many paths."""

    def __init__(self):
        self.scopes, self.left = [], asyncio.Event()

    async def serve(self, args):
        scope, receive, send = args["scope"], args["receive"], args["send"]
        self.scopes.append(scope)
        handler = getattr(self, scope["path"].strip("/").split("/")[0] or "root")
        await handler(scope, receive, send)

    @staticmethod
    async def answer(send, body=b"", status=200, headers=(), more=False):
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        await send({"type": "http.response.body", "body": body, "more_body": more})

    async def root(self, scope, receive, send):
        await self.answer(send, scope["method"].encode(), headers=[
            [b"set-cookie", b"a=1"], [b"set-cookie", b"b=2"], [b"connection", b"close"],
            [b"content-type", b"text/plain"], [b"content-length", b"%d" % len(scope["method"])]])

    async def hash(self, scope, receive, send):
        digest, size = hashlib.sha256(), 0
        while True:
            message = await receive()
            digest.update(message["body"])
            size += len(message["body"])
            if not message["more_body"]:
                break
        await self.answer(send, f"{size} {digest.hexdigest()}".encode())

    async def ticks(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(3):
            self.tick = asyncio.Event()
            await send({"type": "http.response.body", "body": b"%d" % number, "more_body": True})
            await self.tick.wait()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def endless(self, scope, receive, send):
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left.set()

    async def early(self, scope, receive, send):
        raise RuntimeError("no answer")

    async def late(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        raise RuntimeError("no rest")

    async def big(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(40):
            await send({"type": "http.response.body", "body": b"x" * 500_000, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def asgi(api, alice):
    application = Application()
    await api.register_service({"id": "web", "type": "asgi", "config": {"visibility": "public"},
                                "serve": application.serve})
    application.url = f"/{alice.workspace}/apps/web"
    return application


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"])
async def test_asgi_methods_and_headers(http, asgi, method):
    response = await http.request(method, f"{asgi.url}/?flag&a=b=c", headers={"X-A": "1"})
    assert (response.status_code, response.text) == (200, method)
    assert response.headers.get_list("set-cookie") == ["a=1", "b=2"]
    scope = asgi.scopes[-1]
    assert scope["query_string"] == b"flag&a=b=c" and scope["root_path"] == ""
    assert [b"x-a", b"1"] in [list(pair) for pair in scope["headers"]]
    assert scope["type"] == "http" and scope["http_version"] == "1.1"


async def test_asgi_paths_are_decoded(http, asgi):
    await http.get(f"{asgi.url}/root/a%20b/%C3%A9")
    assert asgi.scopes[-1]["path"] == "/root/a b/é"


async def test_asgi_head(http, asgi):
    response = await http.head(f"{asgi.url}/")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-length"] == "4"


async def test_asgi_upload(http, asgi):
    body = bytes(range(256)) * 40_000
    expected = f"{len(body)} {hashlib.sha256(body).hexdigest()}"
    assert (await http.post(f"{asgi.url}/hash", content=body)).text == expected

    async def chunks():
        for start in range(0, len(body), 70_000):
            yield body[start:start + 70_000]

    assert (await http.post(f"{asgi.url}/hash", content=chunks())).text == expected
    assert (await http.get(f"{asgi.url}/hash")).text.startswith("0 ")


async def test_asgi_streams_piece_by_piece(http, asgi):
    async with http.stream("GET", f"{asgi.url}/ticks") as response:
        pieces = response.aiter_raw()
        for number in range(3):
            assert await asyncio.wait_for(anext(pieces), 5) == b"%d" % number
            asgi.tick.set()
        assert [piece async for piece in pieces] == []


async def test_asgi_large_answer(http, asgi):
    assert len((await http.get(f"{asgi.url}/big")).content) == 20_000_000


async def test_asgi_hears_that_the_caller_left(http, asgi):
    async with http.stream("GET", f"{asgi.url}/endless") as response:
        assert await anext(response.aiter_raw()) == b"first"
    await asyncio.wait_for(asgi.left.wait(), 10)


async def test_asgi_failures(http, asgi):
    early = await http.get(f"{asgi.url}/early")
    assert early.status_code == 500 and "RuntimeError: no answer" in early.text
    began = time.monotonic()
    with pytest.raises(httpx.RemoteProtocolError):
        await http.get(f"{asgi.url}/late")
    assert time.monotonic() - began < 10, "the caller hears at once that the answer broke off"


async def test_asgi_in_parallel(http, asgi):
    answers = await asyncio.gather(*(http.get(f"{asgi.url}/") for _ in range(100)))
    assert {answer.text for answer in answers} == {"GET"}


# --- pages ---------------------------------------------------------------------------------

async def test_pages_for_people(http, api, alice):
    portal = await http.get("/")
    assert portal.status_code == 200 and portal.headers["content-type"].startswith("text/html")
    to_page = await http.get(f"/{alice.workspace}")
    assert (to_page.status_code, to_page.headers["location"]) == (307, f"/{alice.workspace}/")
    page = await http.get(f"/{alice.workspace}/")
    assert page.status_code == 200 and "hypha-rpc-websocket.js" in page.text
    assert "nonce-" in page.headers["content-security-policy"]
    for path in ("/public", "/public/", "/no-page.html/x", "/%2e%2e%2fetc/", "/a-b%22%3E/"):
        missing = await http.get(path)
        assert missing.status_code == 404, path
        assert missing.json()["detail"].startswith("File not found: ")


async def test_static_mounts(crashable, tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text("<p>hello")
    (tmp_path / "secret.txt").write_text("secret")
    server = crashable(args=["--static-mounts", f"/site:{folder}"])
    server.start()
    async with httpx.AsyncClient(base_url=server.url, follow_redirects=True) as http:
        assert (await http.get("/site/")).text == "<p>hello"
        assert (await http.get("/site/index.html")).text == "<p>hello"
        for path in ("/site/../secret.txt", "/site/%2e%2e/secret.txt", "/site/..%2fsecret.txt"):
            assert (await http.get(path)).status_code in (400, 404)
