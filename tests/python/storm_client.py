"""A client in a process of its own, to be stopped and continued: URL TOKEN CLIENT_ID."""

import asyncio
import sys

from hypha_rpc import connect_to_server


async def main(url, token, client_id):
    api = await connect_to_server({"server_url": url, "token": token, "client_id": client_id})
    await api.register_service({"id": "svc", "echo": lambda x: x})
    print("ready", flush=True)
    await api.serve()


asyncio.run(main(*sys.argv[1:]))
