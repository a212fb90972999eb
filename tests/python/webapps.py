"""Web applications of real frameworks, as source: served from a client, and from a process worker."""

FASTAPI = '''
import asyncio
import hashlib
from fastapi import FastAPI, HTTPException, Request, Response, WebSocket, WebSocketDisconnect

app = FastAPI()


@app.get("/items/{item}")
async def item(item: int, q: str = ""):
    if item > 9:
        raise HTTPException(404, "no such item")
    return {"item": item, "q": q}


@app.post("/hash")
async def digest(request: Request):
    digest, size = hashlib.sha256(), 0
    async for piece in request.stream():
        digest.update(piece)
        size += len(piece)
    return {"size": size, "sha256": digest.hexdigest()}


@app.get("/cookies")
async def cookies(response: Response, request: Request):
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return dict(request.cookies)


@app.websocket("/echo")
async def echo(socket: WebSocket):
    await socket.accept()
    try:
        while True:
            await socket.send_text("you said " + await socket.receive_text())
    except WebSocketDisconnect:
        pass
'''

STARLETTE = '''
import asyncio
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute

seen = []


async def events(request):
    async def ticks():
        try:
            for number in range(10_000):
                yield f"id: {number}\\ndata: tick {number}\\n\\n"
                await asyncio.sleep(0.02)
        finally:
            seen.append("left")
    return StreamingResponse(ticks(), media_type="text/event-stream")


async def big(request):
    async def pieces():
        for _ in range(int(request.query_params["mb"])):
            yield b"x" * 1_000_000
    return StreamingResponse(pieces())


async def echo(socket):
    offered = socket.scope["subprotocols"]
    await socket.accept(subprotocol="chat" if "chat" in offered else None, headers=[(b"x-app", b"1")])
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            seen.append((message["code"], message.get("reason") or ""))
            return
        if message.get("text") == "close":
            await socket.close(4001, "as you like")
        elif message.get("text") == "fail":
            raise RuntimeError("on purpose")
        elif message.get("text") == "return":
            return
        elif message.get("text") is not None:
            await socket.send_text(message["text"])
        else:
            await socket.send_bytes(message["bytes"])


async def refuse(socket):
    await socket.close()


async def deny(socket):
    await socket.send_denial_response(PlainTextResponse("not today", 418))


async def flood(socket):
    await socket.accept()
    for number in range(400):
        await socket.send_bytes(b"x" * 100_000)
        seen.append(number)
    await socket.close()


async def wait(socket):
    await socket.accept()
    app.state.go = asyncio.Event()
    await app.state.go.wait()
    total = 0
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        if message.get("text"):
            await socket.send_text(str(total))
        total += len(message.get("bytes") or b"")


app = Starlette(routes=[
    Route("/events", events), Route("/big", big), WebSocketRoute("/echo", echo), WebSocketRoute("/refuse", refuse),
    WebSocketRoute("/deny", deny), WebSocketRoute("/flood", flood), WebSocketRoute("/wait", wait)])
app.state.seen = seen
'''

DJANGO = '''
import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import JsonResponse, StreamingHttpResponse
from django.urls import path

if not settings.configured:
    settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="test", ALLOWED_HOSTS=["*"], DEBUG=False, MIDDLEWARE=[])
    django.setup()


async def hello(request, name):
    response = JsonResponse({"hello": name, "method": request.method, "body": request.body.decode(),
                             "flags": request.GET.getlist("f")})
    response.set_cookie("seen", name)
    return response


async def stream(request):
    async def lines():
        for number in range(3):
            yield f"line {number}\\n"
    return StreamingHttpResponse(lines(), content_type="text/plain")


urlpatterns = [path("hello/<name>", hello), path("stream", stream)]
app = get_asgi_application()
'''

SERVE = '''

from hypha_rpc import api


async def serve(args):
    await app(args["scope"], args["receive"], args["send"])

api.export({"type": "asgi", "serve": serve}, {"visibility": "public"})
'''


def load(source, name):
    """The module that a source makes."""
    import sys
    import types

    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(source, name, "exec"), module.__dict__)
    return module
