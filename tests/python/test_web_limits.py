"""What holds web applications and their callers in bounds: message rate, callers that stall."""

import asyncio
import time

import httpx
import pytest

import webapps
from harness import User, bearer, eventually

pytestmark = pytest.mark.ours

FREE = {"HYPHA_HTTP_RATE_LIMIT": "0", "RHIZOME_BROWSER": "false"}


@pytest.fixture
def node(crashable, connect):
    """Starts a server of the test's own with some settings; gives it and a client of alice's there."""
    async def start(**env):
        server = crashable(env={**FREE, **env})
        server.start()
        alice = User(server, "alice")
        return server, alice, await connect(alice, at=server)
    return start


# --- the message rate ----------------------------------------------------------------------

async def test_answers_do_not_use_up_the_message_rate(node):
    """200 requests at once at a limit of one message a second: as many answers would take two minutes."""
    server, alice, api = await node(HYPHA_WS_MSG_RATE_LIMIT="1", HYPHA_WS_MSG_BURST_LIMIT="60")
    web = webapps.load(webapps.FASTAPI, "webapp_rate")

    async def entry(args):
        await web.app(args["scope"], args["receive"], args["send"])

    await api.register_service({"id": "web", "type": "asgi", "config": {"visibility": "public"}, "serve": entry})
    await api.register_service({"id": "fn", "type": "functions", "config": {"visibility": "public"},
                                "hi": lambda event: "hi"})
    async with httpx.AsyncClient(base_url=f"{server.url}/{alice.workspace}/apps", timeout=60) as http:
        for path in ("/fn/hi", "/web/items/1"):
            began = time.monotonic()
            answers = await asyncio.gather(*(http.get(path) for _ in range(200)))
            assert {answer.status_code for answer in answers} == {200}
            assert time.monotonic() - began < 60, path


async def test_what_nobody_asked_for_counts(node, raw):
    """Calls of one's own, and answers to questions that were never put."""
    server, alice, _ = await node(HYPHA_WS_MSG_RATE_LIMIT="20", HYPHA_WS_MSG_BURST_LIMIT="20")
    peer = await raw(alice, at=server)

    async def takes(method, **header):
        began = time.monotonic()
        for number in range(60):
            await peer.send({"type": "method", "from": peer.address, "to": peer.manager, "method": method, **header})
        assert await peer.call("echo", 1, timeout=20) == ("resolve", 1)
        return time.monotonic() - began

    assert await takes("services.default.echo", session="x") > 1.5
    assert await takes("no-session.resolve") > 1.5
    assert await takes("no-session.cb0#send") > 1.5


# --- callers that stall --------------------------------------------------------------------

ENDLESS = """
import asyncio
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute

heard = []

class Flood:
    async def __call__(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        async def leave():
            while (await receive())["type"] != "http.disconnect":
                pass
            heard.append("flood")
        left = asyncio.create_task(leave())
        while not left.done():
            await send({"type": "http.response.body", "body": b"x" * 200_000, "more_body": True})

async def quiet(request):
    async def pieces():
        yield b"first"
        await asyncio.sleep(3)
        yield b"last"
    return StreamingResponse(pieces())

async def up(request):
    try:
        size = len(await request.body())
    except BaseException as error:
        heard.append(type(error).__name__)
        raise
    return PlainTextResponse(str(size))

async def socket(line):
    await line.accept()
    for _ in range(300):
        await line.send_bytes(b"x" * 200_000)
    heard.append("socket")

app = Starlette(routes=[Route("/flood", Flood()), Route("/quiet", quiet), Route("/up", up, methods=["POST"]),
                        WebSocketRoute("/socket", socket)])
"""


@pytest.fixture
async def endless(node):
    server, alice, api = await node(RHIZOME_HTTP_STALLED_AFTER="1")
    web = webapps.load(ENDLESS, "webapp_endless")

    async def entry(args):
        await web.app(args["scope"], args["receive"], args["send"])

    async def generator(event):
        try:
            while True:
                yield b"x" * 200_000
        finally:
            web.heard.append("generator")

    await api.register_service({"id": "web", "type": "asgi", "config": {"visibility": "public"}, "serve": entry})
    await api.register_service({"id": "fn", "type": "functions", "config": {"visibility": "public"},
                                "endless": generator})
    web.server, web.api = server, api
    web.path = f"/{alice.workspace}/apps"
    return web


async def open_line(web, request):
    reader, writer = await asyncio.open_connection("127.0.0.1", web.server.port, limit=2 ** 16)
    writer.write(request)
    return reader, writer


@pytest.mark.parametrize("path, word", [("web/flood", "flood"), ("fn/endless", "generator")])
async def test_a_caller_that_reads_nothing_is_cut_off(endless, path, word):
    reader, writer = await open_line(
        endless, f"GET {endless.path}/{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    began = time.monotonic()
    await eventually(lambda: word in endless.heard, 10)
    assert time.monotonic() - began > 0.7
    writer.close()


async def test_so_is_one_at_a_websocket(endless):
    """What the application sends goes nowhere then."""
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13"
    reader, writer = await open_line(endless, (
        f"GET {endless.path}/web/socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
        f"Upgrade: websocket\r\n{key}\r\n\r\n").encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    await eventually(lambda: "socket" in endless.heard, 10)
    writer.close()


async def test_a_slow_caller_stays(endless):
    """It takes longer than the limit in all, but never so long for one part."""
    reader, writer = await open_line(
        endless, f"GET {endless.path}/web/flood HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    total, end = 0, time.monotonic() + 4
    while time.monotonic() < end:
        total += len(await reader.read(2 ** 18))
        await asyncio.sleep(0.02)
    assert "flood" not in endless.heard and total > 1_000_000
    writer.transport.abort()
    await eventually(lambda: "flood" in endless.heard, 10)


async def test_a_silent_application_is_waited_for(endless, http):
    async with httpx.AsyncClient(base_url=endless.server.url, timeout=20) as http:
        assert (await http.get(f"{endless.path}/web/quiet")).content == b"firstlast"


async def test_a_caller_that_stops_sending_is_given_up(endless):
    """And one that goes on slowly is not."""
    head = f"POST {endless.path}/web/up HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n".encode()
    _, stalled = await open_line(endless, head + b"12345")
    reader, slow = await open_line(endless, head)
    for _ in range(10):
        slow.write(b"x")
        await asyncio.sleep(0.2)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    await eventually(lambda: "ClientDisconnect" in endless.heard, 10)
    stalled.close()
    slow.close()
