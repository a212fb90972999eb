"""Times an app of type web-worker with the unmodified Python client: URL -> one line of JSON.

    python coldstart.py URL ROOT_TOKEN [STARTS]
"""

import asyncio
import json
import sys
import time

from hypha_rpc import connect_to_server

SOURCE = "api.export({async add(a, b) { return a + b; }})"


async def timed(awaitable):
    began = time.perf_counter()
    value = await awaitable
    return value, round((time.perf_counter() - began) * 1e3, 1)


async def main(url, token, starts):
    api = await connect_to_server({"server_url": url, "token": token})
    controller = await api.get_service("public/server-apps")
    manifest = {"name": "Calculator", "type": "web-worker", "version": "1.0.0"}
    app, first_install = await timed(controller.install(source=SOURCE, manifest=manifest))
    _, second_install = await timed(controller.install(source=SOURCE, manifest=manifest))
    rows = {"start_ms": [], "call_ms": [], "stop_ms": [], "lazy_ms": []}

    async def call():
        service = await api.get_service(f"default@{app['id']}")
        assert await service.add(5, 3) == 8

    for _ in range(starts):
        session, took = await timed(controller.start(app["id"]))
        rows["start_ms"].append(took)
        rows["call_ms"].append((await timed(call()))[1])
        rows["stop_ms"].append((await timed(controller.stop(session["id"])))[1])
        rows["lazy_ms"].append((await timed(call()))[1])
        for running in await controller.list_running():
            await controller.stop(running["id"])
    await api.disconnect()
    print(json.dumps({"first_install_ms": first_install, "second_install_ms": second_install, **rows}))


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 5))
