"""Web applications of real frameworks behind URLs: FastAPI, Starlette and Django, HTTP and WebSockets."""

import asyncio
import hashlib
import os
import sys
from pathlib import Path

import httpx
import pytest
import websockets
from starlette.testclient import TestClient

import webapps
from harness import Server, User, bearer, eventually

pytestmark = pytest.mark.ours


@pytest.fixture
async def serve(api, alice, server):
    """Serves an application from this process; returns its URL and, with ws, that of its sockets."""
    async def serve(source, name, **config):
        module = webapps.load(source, f"webapp_{name}")

        async def entry(args, context=None):
            await module.app(args["scope"], args["receive"], args["send"])

        await api.register_service({"id": name, "type": "asgi", "serve": entry,
                                    "config": {"visibility": "public", **config}})
        module.url = f"{server.url}/{alice.workspace}/apps/{name}"
        module.ws = module.url.replace("http", "ws", 1)
        return module
    return serve


@pytest.fixture
async def starlette(serve):
    return await serve(webapps.STARLETTE, "star")


def rss_kib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])


# --- HTTP ----------------------------------------------------------------------------------

async def test_fastapi(http, serve):
    web = await serve(webapps.FASTAPI, "fast")
    alone = TestClient(web.app)
    for path in ("/items/3?q=a&q=b", "/items/12", "/items/x", "/nothing", "/openapi.json"):
        ours, own = await http.get(web.url + path), await asyncio.to_thread(alone.get, path)
        assert (ours.status_code, ours.json()) == (own.status_code, own.json()), path
    body = os.urandom(3_000_000)
    hashed = (await http.post(web.url + "/hash", content=body)).json()
    assert hashed == {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    cookies = await http.get(web.url + "/cookies", headers={"Cookie": "x=y"})
    assert cookies.json() == {"x": "y"} and len(cookies.headers.get_list("set-cookie")) == 2
    assert (await http.options(web.url + "/hash")).status_code == 405
    async with websockets.connect(web.ws + "/echo") as line:
        await line.send("hello")
        assert await line.recv() == "you said hello"


async def test_an_application_that_knows_where_it_is(http, serve):
    """FastAPI's own pages and redirects only work when it does."""
    source = webapps.FASTAPI + """
from fastapi.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.applications import Starlette

async def inner(request):
    return PlainTextResponse(request.scope["path"])

@app.get("/where/")
async def where(request: Request):
    return str(request.url_for("item", item="1"))

app.mount("/inner", Starlette(routes=[Route("/page", inner)]))
"""
    web = await serve(source, "rooted", root_path=True)
    assert (await http.get(web.url + "/where")).headers["location"] == web.url + "/where/"
    assert (await http.get(web.url + "/where/")).json() == web.url + "/items/1"
    root = web.url.split("/", 3)[3]
    assert f"/{root}/openapi.json" in (await http.get(web.url + "/docs")).text
    assert (await http.get(web.url + "/inner/page")).text == f"/{root}/inner/page"
    assert (await http.get(web.url + "/items/3")).json() == {"item": 3, "q": ""}
    async with websockets.connect(web.ws + "/echo") as line:
        await line.send("hello")
        assert await line.recv() == "you said hello"
    dj = await serve(webapps.DJANGO, "rooteddj", root_path=True)
    assert (await http.get(dj.url + "/hello/x")).json()["hello"] == "x"


async def test_django(http, serve):
    web = await serve(webapps.DJANGO, "dj")
    answer = await http.post(web.url + "/hello/a%20b?f&f=1", content=b"text")
    assert answer.json() == {"hello": "a b", "method": "POST", "body": "text", "flags": ["", "1"]}
    assert "seen" in answer.headers["set-cookie"]
    assert (await http.get(web.url + "/stream")).text == "line 0\nline 1\nline 2\n"
    assert (await http.get(web.url + "/nothing")).status_code == 404


async def test_event_streams_end_with_their_reader(http, starlette):
    async with http.stream("GET", starlette.url + "/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = response.aiter_lines()
        assert [await anext(lines) for _ in range(2)] == ["id: 0", "data: tick 0"]
    await eventually(lambda: "left" in starlette.seen)


async def test_paths_that_leave_an_application(server, starlette):
    path = starlette.url.removeprefix(server.url)
    for tail in ("/../x", "/%2e%2e/x", "/a/..%2fx", "/a%5c..%5cx", "/.."):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rsplit(":", 1)[1]))
        writer.write(f"GET {path}{tail} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 404") and b"leaves the application" in answer, tail


async def test_a_slow_reader_slows_the_application_down(server, starlette, http):
    """The server's memory stays flat while 200 MB wait for a reader."""
    before = rss_kib(server.pid)
    async with http.stream("GET", starlette.url + "/big?mb=200") as response:
        pieces = response.aiter_raw(65536)
        total = len(await anext(pieces))
        await asyncio.sleep(1)  # time in which an unbounded server would take all of it
        assert rss_kib(server.pid) - before < 60_000
        async for piece in pieces:
            total += len(piece)
    assert total == 200_000_000
    assert rss_kib(server.pid) - before < 100_000


async def test_a_slow_application_slows_its_caller_down(server, serve, http):
    """Memory stays flat while 150 MB wait to be read, and all of it arrives."""
    web = await serve("""
import asyncio
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

async def up(request):
    size = 0
    async for piece in request.stream():
        if not size:
            await asyncio.sleep(1)
        size += len(piece)
    return PlainTextResponse(str(size))

app = Starlette(routes=[Route("/up", up, methods=["POST"])])
""", "up")
    before = most = rss_kib(server.pid)

    async def pieces():
        nonlocal most
        for _ in range(150):
            yield b"x" * 1_000_000
            most = max(most, rss_kib(server.pid))

    assert (await http.post(web.url + "/up", content=pieces(), timeout=60)).text == "150000000"
    assert most - before < 60_000


# --- WebSockets ----------------------------------------------------------------------------

async def test_text_and_binary_both_ways(starlette):
    async with websockets.connect(starlette.ws + "/echo?a&b=1", max_size=None) as line:
        assert line.response.headers["x-app"] == "1" and line.subprotocol is None
        for message in ("text é", b"\x00\xff", "", b"", "x" * 300_000, os.urandom(2_000_000)):
            await line.send(message)
            assert await line.recv() == message
        await line.send(["in ", "three ", "frames"])
        assert await line.recv() == "in three frames"
        await (await line.ping())


async def test_subprotocols(starlette):
    async with websockets.connect(starlette.ws + "/echo", subprotocols=["other", "chat"]) as line:
        assert line.subprotocol == "chat"


async def test_close_codes_of_the_application(starlette):
    for word, code, reason in [("close", 4001, "as you like"), ("fail", 1011, "the application failed"),
                               ("return", 1000, "")]:
        async with websockets.connect(starlette.ws + "/echo") as line:
            await line.send(word)
            with pytest.raises(websockets.ConnectionClosed):
                await asyncio.wait_for(line.recv(), 10)
            assert (line.close_code, line.close_reason) == (code, reason), word


async def test_the_application_hears_how_its_caller_left(starlette):
    line = await websockets.connect(starlette.ws + "/echo")
    await line.close(4002, "enough")
    await eventually(lambda: (4002, "enough") in starlette.seen)
    line = await websockets.connect(starlette.ws + "/echo")
    line.transport.abort()
    await eventually(lambda: (1006, "") in starlette.seen)


async def test_refusals(starlette, http):
    for path, status, text in [("/refuse", 403, b"refused"), ("/deny", 418, b"not today"), ("/nowhere", 403, b"")]:
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(starlette.ws + path)
        assert refused.value.response.status_code == status and text in refused.value.response.body
    answer = await http.get(starlette.url + "/echo", headers={"Connection": "upgrade", "Upgrade": "websocket"})
    assert answer.status_code == 400


async def test_messages_that_break_the_protocol(server, starlette):
    async with websockets.connect(starlette.ws + "/echo", max_size=None) as line:
        with pytest.raises(websockets.ConnectionClosed):
            await line.send(b"x" * 17_000_000)
            await line.recv()
        assert line.close_code == 1009


async def test_an_application_is_no_faster_than_its_reader(starlette):
    """And the other way round."""
    async with websockets.connect(starlette.ws + "/flood", max_queue=1, max_size=None) as line:
        await asyncio.sleep(1)
        assert 0 < len(starlette.seen) < 399  # it waits: 40 MB do not fit between the two
        assert sum([len(message) async for message in line]) == 40_000_000
    async with websockets.connect(starlette.ws + "/wait") as line:
        async def send():
            for _ in range(400):
                await line.send(b"x" * 100_000)
        sending = asyncio.create_task(send())
        await asyncio.sleep(1)
        assert not sending.done()
        starlette.app.state.go.set()
        await asyncio.wait_for(sending, 30)
        await line.send("how much?")
        assert await line.recv() == "40000000"


async def test_who_may_open_one(serve, alice, bob):
    web = await serve(webapps.STARLETTE, "mine", visibility="protected")
    url, token = web.ws + "/echo", alice.token()

    async def opens(url, **options):
        try:
            async with websockets.connect(url, **options) as line:
                await line.send("hi")
                assert await line.recv() == "hi"
                return line.subprotocol or True
        except websockets.InvalidStatus as refused:
            return refused.response.status_code

    assert await opens(url) == 403
    assert await opens(url, additional_headers=bearer(bob.token())) == 403
    assert await opens(f"{url}?access_token=nonsense") == 401
    assert await opens(url, additional_headers=bearer(token)) is True
    assert await opens(f"{url}?access_token={token}") is True
    assert await opens(url, subprotocols=["chat", f"access_token.{token}"]) == "chat"
    assert await opens(url, subprotocols=[f"access_token.{token}"]) == f"access_token.{token}"
    cookie = {"Cookie": f"access_token={token}"}
    assert await opens(url, additional_headers=cookie) is True
    host = web.url.split("/")[2]
    assert await opens(url, additional_headers=cookie, origin=f"http://{host}") is True
    assert await opens(url, additional_headers=cookie, origin="https://evil.example") == 403


async def test_functions_have_none(api, alice, server):
    await api.register_service({"id": "fn", "type": "functions", "config": {"visibility": "public"},
                                "default": lambda event: {}})
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(f"{server.url.replace('http', 'ws', 1)}/{alice.workspace}/apps/fn/x")
    assert refused.value.response.status_code == 400


async def test_a_provider_that_leaves(connect, server, bob):
    provider = await connect(bob)
    module = webapps.load(webapps.STARLETTE, "webapp_leaving")

    async def entry(args):
        await module.app(args["scope"], args["receive"], args["send"])

    async def hang(event):
        await asyncio.Event().wait()

    await provider.register_service({"id": "web", "type": "asgi", "config": {"visibility": "public"}, "serve": entry})
    await provider.register_service({"id": "fn", "type": "functions", "config": {"visibility": "public"}, "hang": hang})
    base = f"{server.url}/{bob.workspace}/apps"
    async with httpx.AsyncClient(timeout=20) as http, \
            websockets.connect(base.replace("http", "ws", 1) + "/web/echo") as line:
        await line.send("there")
        assert await line.recv() == "there"
        hanging = asyncio.create_task(http.get(f"{base}/fn/hang"))
        await asyncio.sleep(0.3)
        await provider.disconnect()
        with pytest.raises(websockets.ConnectionClosed):
            await asyncio.wait_for(line.recv(), 10)
        assert line.close_code == 1012
        answer = await hanging
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"


async def test_silence_is_asked_about(crashable, connect):
    """A caller that answers pings stays; one whose line is dead goes, and the application hears of it."""
    server = crashable(env={"RHIZOME_PING_INTERVAL": "0.2", "RHIZOME_BROWSER": "false"})
    server.start()
    owner = User(server, "owner")
    api, module = await connect(owner, at=server), webapps.load(webapps.STARLETTE, "webapp_silent")

    async def entry(args):
        await module.app(args["scope"], args["receive"], args["send"])

    await api.register_service({"id": "web", "type": "asgi", "config": {"visibility": "public"}, "serve": entry})
    path = f"/{owner.workspace}/apps/web/echo"
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13"
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}\r\n\r\n".encode())
    async with websockets.connect(f"ws://127.0.0.1:{server.port}{path}") as alive:
        received = await asyncio.wait_for(reader.read(), 20)  # never answers a ping
        assert received.startswith(b"HTTP/1.1 101") and received.count(b"\x89\x00") == 3
        await eventually(lambda: (1006, "") in module.seen)
        await alive.send("still here")
        assert await alive.recv() == "still here"
    writer.close()


async def test_an_app_that_starts_too_slowly(http, controller, serving_worker, alice):
    """A request waits no longer than the app may take, and is told to come again."""
    manifest = {"name": "Slow", "type": serving_worker.kind, "version": "1.0.0"}
    app = await controller.install(source="x", manifest=manifest, timeout=2)
    serving_worker.serving = False  # from now on its sessions offer nothing
    url = f"/{alice.workspace}/apps/default@{app.id}/"
    headers = bearer(alice.token())
    for _ in range(5):
        answer = await http.get(url, headers=headers)
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1", answer.text
        assert "timed out" in answer.text
    tried = len(serving_worker.started)
    answer = await http.get(url, headers=headers)  # and then it is left alone for a while
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1") and "try later" in answer.text
    assert len(serving_worker.started) == tried


# --- a page in Chromium --------------------------------------------------------------------

async def test_a_page_in_chromium(starlette, serve, controller, api, alice):
    """What a browser sends, with the token where a browser can put it."""
    private = await serve(webapps.STARLETTE, "hidden", visibility="protected")
    app = await controller.install(manifest={"name": "Page", "type": "web-worker", "version": "1.0.0"}, source="""
        const talk = (url, protocols) => new Promise((resolve, reject) => {
            const line = new WebSocket(url, protocols), seen = [];
            line.binaryType = "arraybuffer";
            line.onopen = () => { line.send("text é"); line.send(new Uint8Array([0, 255])); line.send("close"); };
            line.onmessage = ({data}) => seen.push(typeof data === "string" ? data : new Uint8Array(data).join());
            line.onclose = ({code, reason, wasClean}) =>
                resolve({seen, code, reason, wasClean, protocol: line.protocol});
        });
        const events = (url) => new Promise((resolve) => {
            const source = new EventSource(url), seen = [];
            source.onmessage = ({data}) => { seen.push(data); if (seen.length === 3) { source.close(); resolve(seen); } };
        });
        api.export({talk, events});
    """)
    page = await api.get_service(f"default@{app.id}")
    seen = ["text é", "0,255"]
    closed = {"code": 4001, "reason": "as you like", "wasClean": True}
    assert await page.talk(starlette.ws + "/echo", ["chat"]) == {"seen": seen, **closed, "protocol": "chat"}
    token = alice.token()
    assert (await page.talk(f"{private.ws}/echo?access_token={token}", []))["seen"] == seen
    assert (await page.talk(private.ws + "/echo", [f"access_token.{token}"]))["seen"] == seen
    assert (await page.talk(private.ws + "/echo", []))["code"] == 1006


# --- a process worker ----------------------------------------------------------------------

async def test_from_a_process_with_requirements(crashable, connect):
    """Two applications that share an environment, which is built once."""
    server = crashable(env={"RHIZOME_PYTHON": sys.executable, "RHIZOME_BROWSER": "false"})
    server.start()
    owner = User(server, "owner")
    api = await connect(owner, at=server)
    controller = await api.get_service("public/server-apps")

    async def install(name):
        app = await controller.install(
            source=getattr(webapps, name) + webapps.SERVE, timeout=300, app_id=name.lower(),
            manifest={"name": "Web", "type": "python", "version": "1.0.0", "entry_point": "main.py",
                      "requirements": ["fastapi==0.115.2", "Django==5.2.8"]})
        return f"{server.url}/{owner.workspace}/apps/default@{app.id}"

    fastapi, django = [await install(name) for name in ("FASTAPI", "DJANGO")]
    assert await controller.list_running() == []  # the request starts it
    async with httpx.AsyncClient(timeout=60) as http:
        assert (await http.get(django + "/hello/you")).json()["hello"] == "you"
        assert (await http.get(django + "/stream")).text.endswith("line 2\n")
        assert (await http.get(fastapi + "/items/3")).json() == {"item": 3, "q": ""}
        async with websockets.connect(fastapi.replace("http", "ws", 1) + "/echo") as line:
            await line.send("hello")
            assert await line.recv() == "you said hello"
