"""A server whose routes are all below a path of its own (`--base-path`)."""

import httpx
import pytest
from hypha_rpc import connect_to_server
from hypha_rpc.utils.schema import schema_function
from mcp.client.session import ClientSession
from mcp.client.sse import sse_client

from harness import Server, User

BASE = "/my/engine"


@pytest.fixture(scope="module")
def below(tmp_path_factory):
    folder = tmp_path_factory.mktemp("below")
    server = Server(folder / "data", folder / "server.log", args=("--enable-server-apps", "--enable-mcp",
                                                                        "--base-path", BASE))
    server.root = server.url
    server.url += BASE
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("transport", ["websocket", "http"])
async def test_clients_connect_below_the_base(below, transport):
    token = User(below, f"base-{transport}").token()
    config = {"server_url": below.url, "token": token, "transport": transport}
    async with connect_to_server(config) as api:
        assert api.config.public_base_url == below.url
        await api.register_service({"id": "hi", "config": {"visibility": "public"}, "hello": lambda: "there"})
        async with httpx.AsyncClient() as http:
            hello = f"{below.url}/{api.config.workspace}/services/hi/hello"
            assert (await http.get(hello)).json() == "there"


async def test_what_lies_outside_is_not_found(below):
    async with httpx.AsyncClient() as http:
        for path in ("/health", "/public/services", "/my/engines/health"):
            assert (await http.get(below.root + path)).status_code == 404, path
        assert (await http.get(below.url)).headers["location"] == f"{BASE}/"
        assert (await http.get(f"{below.url}/public/services")).headers["location"] == f"{BASE}/public/services/"


async def test_pages_link_to_what_exists(below):
    async with httpx.AsyncClient(follow_redirects=True) as http:
        portal = await http.get(f"{below.url}/")
        assert portal.status_code == 200 and 'href="/' not in portal.text and 'src="/' not in portal.text
        login = await http.get(f"{below.url}/login")
        assert login.status_code == 200 and 'href="/' not in login.text and 'src="/' not in login.text


async def test_an_app_in_the_browser_finds_its_server(below):
    async with connect_to_server({"server_url": below.url, "token": User(below, "base-app").token()}) as api:
        controller = await api.get_service("public/server-apps")
        for kind in ("web-worker", "window"):
            app = await controller.install(
                source="api.export({add: (a, b) => a + b})", app_id=f"based-{kind}",
                manifest={"name": kind, "type": kind, "version": "1.0.0"})
            service = await api.get_service(f"default@{app['id']}")
            assert await service.add(1, 2) == 3


async def test_mcp_and_web_applications_know_the_base(below, connect):
    @schema_function
    def two() -> int:
        """Two."""
        return 2

    async def index(event):
        return {"status": 200, "body": event["root_path"]}

    user = User(below, "base-mcp")
    api = await connect(user, at=below)
    await api.register_service({"id": "tools", "two": two, "config": {"visibility": "public"}})
    await api.register_service({"id": "page", "type": "functions", "index": index,
                                "config": {"visibility": "public"}})
    base = f"{below.url}/{user.workspace}/mcp"
    async with httpx.AsyncClient() as http:
        page = (await http.get(f"{base}/tools")).json()
        assert page["endpoints"]["sse"] == f"{BASE}/{user.workspace}/mcp/tools/sse"
        assert (await http.get(base)).headers["location"] == f"{BASE}/{user.workspace}/mcp/"
        assert (await http.get(f"{below.url}/{user.workspace}/apps/page/")).text == BASE
    async with sse_client(f"{base}/tools/sse") as streams:
        async with ClientSession(*streams) as session:
            await session.initialize()
            assert (await session.call_tool("two", {})).content[0].text == "2"
