"""A look into the server's Chromium from outside, over its DevTools."""

import itertools
import json

import httpx
import websockets


class Devtools:
    """Commands to the Chromium of a server that runs on this machine."""

    def __init__(self, socket):
        self.socket, self.ids = socket, itertools.count(1)

    @classmethod
    async def open(cls, data_dir):
        [port_file] = data_dir.glob("browser/profile-*/DevToolsActivePort")
        port, path = port_file.read_text().split()
        return cls(await websockets.connect(f"ws://127.0.0.1:{port}{path}", max_size=None))

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.socket.close()

    async def command(self, method, session=None, **params):
        number = next(self.ids)
        message = {"id": number, "method": method, "params": params}
        await self.socket.send(json.dumps({**message, "sessionId": session} if session else message))
        async for text in self.socket:
            answer = json.loads(text)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    async def pages(self):
        """{target id: browser context} of all pages."""
        targets = (await self.command("Target.getTargets"))["targetInfos"]
        return {t["targetId"]: t["browserContextId"] for t in targets if t["type"] == "page"}

    async def targets(self):
        return len((await self.command("Target.getTargets", filter=[{}]))["targetInfos"])

    async def contexts(self):
        return len((await self.command("Target.getBrowserContexts"))["browserContextIds"])

    async def evaluate(self, target, expression):
        """The value of an expression in a page."""
        attached = await self.command("Target.attachToTarget", targetId=target, flatten=True)
        session = attached["sessionId"]
        done = await self.command("Runtime.evaluate", session, expression=expression, returnByValue=True)
        await self.command("Target.detachFromTarget", sessionId=session)
        return done["result"].get("value")


def waiting(server):
    """{kind: what the server says of the pages that wait}."""
    listed = httpx.get(f"{server.url}/admin/workers", headers={"Authorization": f"Bearer {server.root_token}"}, timeout=10)
    [browser] = [worker for worker in listed.json() if worker["id"].endswith(":browser-worker")]
    return {held["kind"]: held for held in browser["health"]["waiting_pages"]}
