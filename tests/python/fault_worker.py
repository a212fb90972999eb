"""A worker in a process of its own, to be killed and cut: URL TOKEN TYPE CLIENT_ID.

Told on its standard input, a line each: `cut-worker`, `cut-session` (the connection is gone from one
moment to the next, the library returns), `drop-session` (a session's client leaves for good). For
`sessions` it prints the sessions whose clients it holds, as a JSON list.
"""

import asyncio
import json
import os
import random
import sys

# The client library logs to the standard output; answers have it for themselves.
ANSWERS, sys.stdout = sys.stdout, sys.stderr

from hypha_rpc import connect_to_server  # noqa: E402


def cut(client):
    client.rpc._connection._websocket.transport.abort()


class Worker:
    def __init__(self):
        self.sessions = {}

    async def start(self, config, context=None):
        client = await connect_to_server({
            "server_url": config["server_url"], "client_id": config["client_id"], "workspace": config["workspace"],
            "token": config["token"], "app_id": config["app_id"]})
        self.sessions[config["id"]] = client
        label = config["manifest"]["name"]
        await client.register_service({"id": "default", "name": config["app_id"], "label": lambda: label})
        return config["id"]

    async def stop(self, session_id, context=None):
        client = self.sessions.pop(session_id, None)
        if client:
            await client.disconnect()

    async def get_logs(self, session_id, context=None):
        return {"items": [], "total": 0, "offset": 0, "limit": None}

    async def obey(self, command, api):
        mine = sorted(self.sessions)
        if command == "sessions":
            print(json.dumps(mine), file=ANSWERS, flush=True)
        elif command == "cut-worker":
            cut(api)
        elif command == "cut-session" and mine:
            cut(self.sessions[random.choice(mine)])
        elif command == "drop-session" and mine:
            await self.sessions.pop(random.choice(mine)).disconnect()


async def main(url, token, kind, client_id):
    worker = Worker()
    api = await connect_to_server({"server_url": url, "token": token, "client_id": client_id})
    await api.register_service({
        "id": "worker", "name": "Mortal Worker", "type": "server-app-worker", "supported_types": [kind],
        "config": {"visibility": "protected"}, "start": worker.start, "stop": worker.stop,
        "get_logs": worker.get_logs})
    print("ready", file=ANSWERS, flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        try:
            await worker.obey(line.decode().strip(), api)
        except Exception as error:  # the connection may be gone already
            print(error, file=sys.stderr)
    os._exit(0)  # whoever started it has gone


asyncio.run(main(*sys.argv[1:]))
