"""Apps of type `mcp-server`: MCP servers elsewhere as services of a workspace."""

import json

import pytest

from harness import eventually, failure_text
from test_mcp import add, address, ask, client, greet, inline_service, plain_service


def manifest(url, **more):
    return {"name": "Elsewhere", "type": "mcp-server", "version": "1.0.0",
            "mcpServers": {"far": {"type": "streamable-http", "url": url, **more}}}


async def install(controller, url, **more):
    return await controller.install(manifest=manifest(url, **more), wait_for_service="far")


async def test_tools_resources_and_prompts_come_through(server, http, api, controller, alice):
    await api.register_service(inline_service("origin"))
    app = await install(controller, address(server, alice, "origin"))
    assert app["mcpServers"]["far"]["type"] == "streamable-http"
    session = await controller.start(app.id, wait_for_service="far")
    far = await api.get_service(f"{session['id']}:far")
    assert far.tools.add.__schema__["description"] == "Add two numbers."
    assert await far.tools.add(a=2, b=3) == 5
    assert await far.tools.add(2, 3) == 5
    assert await far.tools.listing() == [1, {"b": 2}]
    assert await far.resources["text://poem"].read() == "roses"
    prompt = await far.prompts.greet.read(name="Ann")
    assert prompt["messages"][0]["content"]["text"] == "Say hello to Ann"
    # And on again, to clients of MCP.
    async with client(address(server, alice, f"far@{app.id}")) as again:
        assert (await again.call_tool("add", {"a": 1, "b": 1})).content[0].text == "2"
        assert (await again.read_resource("text://poem")).contents[0].text == "roses"
    logs = await controller.get_logs(session["id"])
    assert "Connected to MCP server far" in json.dumps(dict(logs))
    await controller.stop(session["id"])
    assert not [it for it in await api.list_services() if it["id"].endswith(":far")]
    await controller.uninstall(app.id)
