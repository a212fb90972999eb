"""Services as MCP servers, spoken to by the official client and by hand."""

from contextlib import asynccontextmanager

import httpx
import pytest
from hypha_rpc.utils.schema import schema_function
from mcp import McpError
from mcp.client.session import ClientSession
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamablehttp_client

from fakes import RecordingWorker
from harness import bearer, eventually

JSON = {"Accept": "application/json, text/event-stream"}


@schema_function
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


@schema_function
def boom() -> str:
    """Fail."""
    raise KeyError("the reason")


@schema_function
def listing() -> list:
    """Some numbers."""
    return [1, {"b": 2}]


@schema_function
def poem() -> str:
    """A text to read."""
    return "roses"


@schema_function
def greet(name: str) -> str:
    """A prompt."""
    return f"Say hello to {name}"


def plain_service(id, visibility="public"):
    return {"id": id, "name": "Plain", "description": "Adds things", "docs": "How to add",
            "config": {"visibility": visibility}, "add": add, "nested": {"boom": boom},
            "many": [listing], "hidden": lambda: 1, "settings": {"colours": ["red"], "depth": 3}}


def inline_service(id):
    return {"id": id, "type": "mcp", "config": {"visibility": "public"},
            "tools": {"add": add, "listing": listing},
            "resources": {"poem": {"uri": "text://poem", "name": "Poem", "read": poem}},
            "prompts": {"greet": {"name": "greet", "description": "Greets", "read": greet}}}


def address(server, alice, service, end="mcp"):
    return f"{server.url}/{alice.workspace}/mcp/{service}/{end}"


@asynccontextmanager
async def client(url, who=None):
    headers = bearer(who.token()) if who else {}
    async with streamablehttp_client(url, headers=headers) as (read, write, _):
        async with ClientSession(read, write) as session:
            session.welcome = await session.initialize()
            yield session


async def ask(http, url, method, params=None, who=None, **headers):
    headers = {**JSON, **(bearer(who.token()) if who else {}), **headers}
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
    return await http.post(url, json=message, headers=headers)


# --- the three kinds of services -----------------------------------------------------------

async def test_functions_with_a_schema_become_tools(server, api, alice):
    await api.register_service(plain_service("plain"))
    async with client(address(server, alice, "plain")) as session:
        assert session.welcome.serverInfo.name.endswith(":plain")
        assert session.welcome.instructions == "Adds things"
        assert session.welcome.capabilities.tools and not session.welcome.capabilities.prompts
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        assert set(tools) == {"add", "nested_boom", "many_0"}
        assert tools["add"].description == "Add two numbers."
        assert tools["add"].inputSchema["required"] == ["a"]
        result = await session.call_tool("add", {"a": 2, "b": 3})
        assert not result.isError and result.content[0].text == "5"
        many = await session.call_tool("many_0", {})
        assert [block.text for block in many.content] == ["1", '{"b":2}']
        failed = await session.call_tool("nested_boom", {})
        assert failed.isError and failed.content[0].text == "KeyError: 'the reason'"
        missing = await session.call_tool("nothing", {})
        assert missing.isError and "not found" in missing.content[0].text


async def test_texts_become_resources(server, api, alice):
    await api.register_service(plain_service("plain"))
    async with client(address(server, alice, "plain")) as session:
        listed = {str(it.uri): it for it in (await session.list_resources()).resources}
        assert set(listed) == {"resource://docs", "resource://settings/colours/0"}
        assert listed["resource://docs"].name == "Documentation for Plain"
        read = await session.read_resource("resource://settings/colours/0")
        assert read.contents[0].text == "red"
        with pytest.raises(McpError, match="not found") as error:
            await session.read_resource("resource://nothing")
        assert error.value.error.code == -32002
        with pytest.raises(McpError, match="Method not found"):
            await session.list_prompts()


async def test_maps_of_tools_resources_and_prompts(server, api, alice):
    await api.register_service(inline_service("inline"))
    async with client(address(server, alice, "inline")) as session:
        assert len((await session.list_tools()).tools) == 2
        assert (await session.call_tool("add", {"a": 1})).content[0].text == "2"
        listed = await session.call_tool("listing", {})
        assert [block.text for block in listed.content] == ['[1,{"b":2}]']
        assert (await session.read_resource("text://poem")).contents[0].text == "roses"
        prompts = (await session.list_prompts()).prompts
        assert [(it.name, it.required) for it in prompts[0].arguments] == [("name", True)]
        prompt = await session.get_prompt("greet", {"name": "Ann"})
        assert prompt.messages[0].content.text == "Say hello to Ann"
        with pytest.raises(McpError, match="not found"):
            await session.get_prompt("nothing", {})


async def test_services_that_speak_the_protocol(server, api, alice):
    async def call_tool(name, arguments):
        if name != "echo":
            raise ValueError(f"Unknown tool: {name}")
        return [{"type": "text", "text": arguments["text"]},
                {"type": "image", "data": "eA==", "mimeType": "image/png"}]

    async def read_resource(uri):
        raise PermissionError(f"not {uri}")

    await api.register_service({
        "id": "native", "type": "mcp", "config": {"visibility": "public"},
        "list_tools": lambda: [{"name": "echo", "inputSchema": {"type": "object"}}],
        "call_tool": call_tool, "read_resource": read_resource})
    async with client(address(server, alice, "native")) as session:
        assert [tool.name for tool in (await session.list_tools()).tools] == ["echo"]
        blocks = (await session.call_tool("echo", {"text": "hi"})).content
        assert (blocks[0].text, blocks[1].type) == ("hi", "image")
        assert (await session.call_tool("other", {})).isError
        with pytest.raises(McpError, match="PermissionError: not x:y") as error:
            await session.read_resource("x:y")
        assert error.value.error.data == {"type": "PermissionError"}


async def test_a_wrong_mcp_service_is_refused(server, http, api, alice):
    await api.register_service({"id": "wrong", "type": "mcp", "config": {"visibility": "public"},
                                "nested": {"add": add}})
    await api.register_service({"id": "bare", "type": "mcp", "config": {"visibility": "public"},
                                "tools": {"f": lambda: 1}})
    for service, words in [("wrong", "valid MCP structure"), ("bare", "@schema_function")]:
        answer = await ask(http, address(server, alice, service), "initialize")
        assert answer.status_code == 500 and words in answer.json()["error"]


async def test_the_servers_own_services(server, alice):
    async with client(f"{server.url}/public/mcp/server-apps/mcp", alice) as session:
        assert "list_apps" in {tool.name for tool in (await session.list_tools()).tools}
        result = await session.call_tool("list_apps", {})
        assert result.content == [] and not result.isError


# --- permissions ---------------------------------------------------------------------------

async def test_only_those_who_may_use_a_service_reach_it(server, http, connect, alice, bob):
    api = await connect(alice)
    await api.register_service(plain_service("inner", "protected"))
    url = address(server, alice, "inner")
    for who in (None, bob):
        for method in ("initialize", "tools/list", "tools/call"):
            answer = await ask(http, url, method, {"name": "add", "arguments": {"a": 1}}, who)
            assert answer.status_code == 404 and "result" not in answer.json()
        page = await http.get(address(server, alice, "inner")[:-4],
                              headers=bearer(who.token()) if who else {})
        assert page.status_code == 404 and "add" not in page.text
    # The owner's request before must not open it to others: nothing is kept.
    assert (await ask(http, url, "tools/list", who=alice)).status_code == 200
    assert (await ask(http, url, "tools/list", who=bob)).status_code == 404
    bad = await ask(http, url, "tools/list", Authorization="Bearer nonsense")
    assert bad.status_code == 401


async def test_a_service_sees_who_calls(server, connect, alice, bob):
    @schema_function
    def who(context=None) -> str:
        """Who calls."""
        return context["user"]["id"]

    api = await connect(alice)
    await api.register_service({"id": "who", "who": who,
                                "config": {"visibility": "public", "require_context": True}})
    async with client(address(server, alice, "who"), bob) as session:
        assert (await session.list_tools()).tools[0].inputSchema["properties"] == {}
        assert (await session.call_tool("who", {})).content[0].text == bob.id


async def test_functions_of_third_parties_are_not_called(server, connect, alice, bob):
    """A service of bob's that hands out a function of the server must not act as its caller."""
    theirs = await connect(bob)
    apps = await theirs.get_service("public/server-apps")
    encoded = theirs.rpc.encode(apps.list_apps)
    stolen = {**encoded, "_rschema": {"name": "list_apps", "parameters": {"type": "object"}}}
    await theirs.register_service({"id": "trap", "config": {"visibility": "public"},
                                   "add": add, "list_apps": stolen})
    async with client(address(server, bob, "trap"), alice) as session:
        names = {tool.name for tool in (await session.list_tools()).tools}
        assert names == {"add", "list_apps"}
        result = await session.call_tool("list_apps", {})
        assert result.isError and "belongs to another client" in result.content[0].text


# --- the transport -------------------------------------------------------------------------

async def test_answers_of_the_transport(server, http, api, alice):
    await api.register_service(plain_service("plain"))
    url = address(server, alice, "plain")
    listed = await ask(http, url, "tools/list")
    assert listed.headers["content-type"] == "application/json" and listed.json()["id"] == 1
    silent = await http.post(url, headers=JSON, json={
        "jsonrpc": "2.0", "method": "notifications/initialized"})
    assert (silent.status_code, silent.content) == (202, b"")
    for body, code in [(b"{", -32700), (b'{"invalid": 1}', -32602), (b"[]", -32602)]:
        wrong = await http.post(url, content=body,
                                headers={**JSON, "Content-Type": "application/json"})
        assert wrong.status_code == 400 and wrong.json()["error"]["code"] == code
    unknown = await ask(http, url, "unknown/method")
    assert unknown.status_code == 200 and unknown.json()["error"]["code"] == -32602
    for params in ({}, {"name": 1}, {"name": "add", "arguments": [1]}):
        answer = await ask(http, url, "tools/call", params)
        assert answer.json()["error"]["code"] == -32602
    assert (await http.get(url)).status_code == 405
    assert (await http.delete(url)).status_code == 405
    form = await http.post(url, content="{}", headers={"Content-Type": "text/plain"})
    assert form.status_code == 415
    old = await ask(http, url, "ping", **{"Mcp-Protocol-Version": "1999-01-01"})
    assert old.status_code == 400
    open_to_pages = await http.options(url, headers={
        "Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"})
    assert open_to_pages.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in open_to_pages.headers


async def test_versions_are_agreed_on(server, http, api, alice):
    await api.register_service(plain_service("plain"))
    url = address(server, alice, "plain")
    for wanted, agreed in [("2024-11-05", "2024-11-05"), ("2025-06-18", "2025-06-18"),
                           ("1.0.0", "2025-11-25")]:
        answer = await ask(http, url, "initialize", {"protocolVersion": wanted})
        assert answer.json()["result"]["protocolVersion"] == agreed


async def test_ids_in_all_forms(server, http, api, alice):
    info = await api.register_service(plain_service("plain"))
    whole = info["id"]
    for service in ("plain", whole.split("/")[1], whole):
        answer = await ask(http, address(server, alice, service), "tools/list")
        assert answer.status_code == 200, service
    missing = await ask(http, address(server, alice, "nothing"), "tools/list")
    assert missing.status_code == 404 and "nothing" in missing.json()["error"]


async def test_the_older_transport(server, http, connect, alice, bob):
    api = await connect(alice)
    await api.register_service(plain_service("inner", "protected"))
    url = address(server, alice, "inner", "sse")
    assert (await http.get(url, headers=bearer(bob.token()))).status_code == 404
    async with sse_client(url, headers=bearer(alice.token())) as streams:
        async with ClientSession(*streams) as session:
            await session.initialize()
            assert (await session.call_tool("add", {"a": 2, "b": 2})).content[0].text == "4"
            assert (await session.call_tool("nested_boom", {})).isError


async def test_streams_belong_to_who_opened_them(server, connect, alice, bob):
    api = await connect(alice)
    await api.register_service(plain_service("plain"))
    url = address(server, alice, "plain", "sse")
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    async with httpx.AsyncClient(timeout=20) as http:
        async with http.stream("GET", url, headers=bearer(alice.token())) as stream:
            lines = stream.aiter_lines()
            data = [await anext(lines), await anext(lines)][1]
            there = server.url + data.removeprefix("data: ")
            for who, status in ((bob, 404), (alice, 202)):
                sent = await http.post(there, json=ping, headers=bearer(who.token()))
                assert sent.status_code == status
            assert await anext(lines) == ""
            assert await anext(lines) == "event: message"
            assert '"result":{}' in await anext(lines)

        async def gone():
            sent = await http.post(there, json=ping, headers=bearer(alice.token()))
            return sent.status_code == 404

        await eventually(gone, timeout=20)


# --- what people see -----------------------------------------------------------------------

async def test_the_page_of_a_service(server, http, api, alice):
    await api.register_service(plain_service("plain"))
    page = (await http.get(f"/{alice.workspace}/mcp/plain")).json()
    assert page["service"]["id"].endswith(":plain") and page["service"]["name"] == "Plain"
    assert page["endpoints"] == {"streamable_http": f"/{alice.workspace}/mcp/plain/mcp",
                                 "sse": f"/{alice.workspace}/mcp/plain/sse"}
    assert {tool["name"] for tool in page["capabilities"]["tools"]} == {
        "add", "nested_boom", "many_0"}
    assert page["summary"]["tools_count"] == 3
    assert [it["name"] for it in page["summary"]["excluded_functions"]] == ["hidden"]
    assert page["help"]


async def test_help_where_no_service_is_named(http, alice):
    moved = await http.get(f"/{alice.workspace}/mcp")
    assert (moved.status_code, moved.headers["location"]) == (301, f"/{alice.workspace}/mcp/")
    helped = await http.get(f"/{alice.workspace}/mcp/")
    assert helped.status_code == 404
    assert helped.json()["example"] == f"/{alice.workspace}/mcp/your-service-id/mcp"


async def test_without_the_flag_there_is_no_mcp(crashable):
    server = crashable(args=["--enable-server-apps"])
    server.start()
    answer = httpx.get(f"{server.url}/public/mcp/server-apps", timeout=20)
    assert answer.status_code == 404 and answer.json()["detail"].startswith("File not found")


# --- apps ----------------------------------------------------------------------------------

async def test_an_app_is_started_by_its_first_request(server, http, api, controller, alice):
    worker = await RecordingWorker(server, serving=True).register(api)
    worker.extra = {"add": add}
    app = await controller.install(
        source="x", wait_for_service="default",
        manifest={"name": "Lazy", "type": worker.kind, "version": "1"})
    for session in await controller.list_running():
        await controller.stop(session["id"])
    await eventually(lambda: not worker.sessions)
    url = address(server, alice, f"default@{app.id}")
    assert (await ask(http, url, "tools/list")).status_code in (403, 404), "strangers start nothing"
    assert not worker.sessions
    answer = await ask(http, url, "tools/call", {"name": "add", "arguments": {"a": 41}}, alice)
    assert answer.json()["result"]["content"][0]["text"] == "42"
    assert len(worker.sessions) == 1
    await controller.uninstall(app.id)
