"""The web application of `scripts/bench web`: behind a server as a client of it, or alone under uvicorn.

    webapp.py behind URL     prints the workspace once it serves, and goes on until its input ends
    webapp.py alone PORT
"""

import asyncio
import json
import sys

PIECE = b"x" * 200_000  # fits one message of the client


async def app(scope, receive, send):
    """`/` says hello, `/down/BYTES` sends so much, `/up` counts what it gets."""
    if scope["type"] != "http":
        return
    body, length = b'{"ok":true}', None
    if scope["path"].startswith("/down/"):
        length = int(scope["path"].rsplit("/", 1)[1])
    elif scope["path"] == "/up":
        size, more = 0, True
        while more:
            message = await receive()
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        body = json.dumps({"size": size}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [
        [b"content-type", b"application/json"], [b"content-length", b"%d" % (length or len(body))]]})
    while length:
        part = PIECE[:length]
        length -= len(part)
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b"" if length == 0 else body})


async def behind(url):
    from hypha_rpc import connect_to_server

    api = await connect_to_server({"server_url": url})
    public = {"visibility": "public"}
    answer = {"status": 200, "headers": {"Content-Type": "application/json"}, "body": '{"ok":true}'}

    async def serve(args):
        await app(args["scope"], args["receive"], args["send"])

    await api.register_service({"id": "fn", "type": "functions", "config": public, "hello": lambda event: answer})
    await api.register_service({"id": "web", "type": "asgi", "config": public, "serve": serve})
    print(api.config.workspace, flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    if sys.argv[1] == "behind":
        asyncio.run(behind(sys.argv[2]))
    else:
        import uvicorn
        uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
