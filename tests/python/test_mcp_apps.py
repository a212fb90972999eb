"""Apps of type `mcp-server`: MCP servers elsewhere as services of a workspace."""

import json

import pytest

from harness import eventually, failure_text
from test_mcp import address, client, inline_service, plain_service


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


async def test_an_app_is_started_by_its_first_use_and_once(server, api, controller, alice):
    await api.register_service(inline_service("origin"))
    app = await install(controller, address(server, alice, "origin"))
    assert await controller.list_running() == []
    for _ in range(2):
        far = await api.get_service(f"far@{app.id}")
        assert await far.tools.add(a=1) == 2
    assert len(await controller.list_running()) == 1
    await controller.uninstall(app.id)


async def test_the_servers_may_stand_in_the_source(server, api, controller, alice):
    await api.register_service(inline_service("origin"))
    servers = manifest(address(server, alice, "origin"))["mcpServers"]
    app = await controller.install(
        source=json.dumps({"mcpServers": servers}), wait_for_service="far",
        manifest={"name": "From source", "type": "mcp-server", "version": "1.0.0"})
    assert app["mcpServers"]["far"]["url"] == servers["far"]["url"]
    await controller.uninstall(app.id)


async def test_failures_of_tools_arrive(server, api, controller, alice):
    await api.register_service(plain_service("origin"))
    app = await install(controller, address(server, alice, "origin"))
    far = await api.get_service(f"far@{app.id}")
    assert "KeyError: 'the reason'" in await failure_text(far.tools.nested_boom())
    assert far.resources["resource://docs"].mime_type == "text/plain"
    await controller.uninstall(app.id)


async def test_headers_open_what_is_protected(server, connect, controller, alice, bob):
    api = await connect(alice)
    await api.register_service(plain_service("inner", "protected"))
    url = address(server, alice, "inner")
    assert "far" in await failure_text(install(controller, url))
    for who in (bob, alice):
        headers = {"Authorization": f"Bearer {who.token()}"}
        installing = install(controller, url, headers=headers, visibility="protected")
        if who is bob:
            assert "404" in await failure_text(installing)
        else:
            app = await installing
    session = await controller.start(app.id, wait_for_service="far")
    stranger = await connect(bob)
    there = f"{alice.workspace}/{session['id'].split('/')[1]}:far"
    assert "Permission denied" in await failure_text(stranger.get_service(there))
    far = await api.get_service(there)
    assert await far.tools.add(a=1, b=1) == 2
    for id in ("get_logs", "stop"):
        theirs = await stranger.get_service(app_worker(await api.list_services("public")))
        assert "Permission denied" in await failure_text(theirs[id](session["id"]))
    await controller.uninstall(app.id)


def app_worker(services):
    return next(it["id"] for it in services if it["id"].endswith(":mcp-proxy-worker"))


@pytest.mark.parametrize("entry, words", [
    ({"type": "websocket", "url": "ws://localhost:1/mcp"}, "Unsupported MCP server type"),
    ({"type": "streamable-http"}, "Missing URL"),
    ({"type": "streamable-http", "url": "http://127.0.0.1:9/mcp"}, "refused"),
    ({"type": "streamable-http", "url": "http://no-such-host.invalid/mcp"}, "Failed to connect"),
])
async def test_servers_that_cannot_be_reached(controller, entry, words):
    app = {"name": "Broken", "type": "mcp-server", "version": "1", "mcpServers": {"far": entry}}
    assert words in await failure_text(controller.install(manifest=app))
    assert await controller.list_running() == []


async def test_one_of_several_servers_may_be_down(server, api, controller, alice):
    await api.register_service(inline_service("origin"))
    app = manifest(address(server, alice, "origin"))
    app["mcpServers"]["down"] = {"type": "streamable-http", "url": "http://127.0.0.1:9/mcp"}
    installed = await controller.install(manifest=app, wait_for_service="far")
    session = await controller.start(installed.id, wait_for_service="far")
    assert "server down" in json.dumps(dict(await controller.get_logs(session["id"], type="error")))
    await controller.uninstall(installed.id)
    await eventually(lambda: gone(api))


async def gone(api):
    return not [it for it in await api.list_services() if it["id"].endswith(":far")]
