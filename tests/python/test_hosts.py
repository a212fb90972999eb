"""Names of their own for apps and sites: `server.hosts` leads a Host header to an app or an artifact."""

import httpx
import pytest
import websockets

import webapps
from harness import Server, User, bearer

pytestmark = pytest.mark.ours

PLACES = ("app.example.org=/{0}/apps/site,rooted.example.org=/{0}/apps/rooted,"
          "fn.example.org=/{0}/apps/fn,files.example.org=/{0}/artifacts/static/files,"
          "view.example.org=/{0}/view/static")
PAGE = "<!doctype html><html><link rel=stylesheet href=a.css></html>"


@pytest.fixture
async def node(crashable, connect):
    """A server with names for what alice offers."""
    server = crashable(env={"RHIZOME_BROWSER": "false"})
    alice = User(server, "alice")
    server.env["RHIZOME_HOSTS"] = PLACES.format(alice.workspace)
    server.start()
    api = await connect(alice, at=server)
    for name, config in (("site", {}), ("rooted", {"root_path": True})):
        module = webapps.load(ROUTES, f"webapp_host_{name}")

        async def entry(args, module=module):
            await module.app(args["scope"], args["receive"], args["send"])

        await api.register_service({"id": name, "type": "asgi", "serve": entry,
                                    "config": {"visibility": "public", **config}})
    await api.register_service({
        "id": "fn", "type": "functions", "config": {"visibility": "public"}, "index": lambda event: "the index",
        "told": lambda event: {"path": event["path"], "host": event["headers"]["host"]}})
    artifacts = await api.get_service("public/artifact-manager")
    await artifacts.create(alias="static", type="site", manifest={"name": "Static"}, stage=True,
                           config={"permissions": {"*": "r"}, "view_config": {}})
    for name, content in (("index.html", PAGE), ("a.css", "p {}"), ("deep/index.html", "deep")):
        await artifacts.write_file("static", name, content)
    await artifacts.commit("static")
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as http:
        async def get(host, path, **headers):
            return await http.get(path, headers={"Host": host, **headers})
        server.get = get
        yield server


ROUTES = """
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute

async def where(request):
    return JSONResponse({"path": request.scope["path"], "root": request.scope["root_path"],
                         "url": str(request.url_for("where"))})

async def echo(line):
    await line.accept()
    await line.send_text(await line.receive_text())
    await line.close()

app = Starlette(routes=[Route("/", where, name="home"), Route("/where/", where, name="where"), WebSocketRoute("/ws", echo)])
"""


async def test_an_app_is_at_the_root_of_its_host(node):
    for host in ("app.example.org", "APP.example.org:8080", "rooted.example.org"):
        home = await node.get(host, "/")
        assert home.status_code == 200, home.text
        assert (home.json()["path"], home.json()["root"]) == ("/", "")
        redirect = await node.get(host, "/where")
        assert redirect.status_code == 307 and redirect.headers["location"] == f"http://{host}/where/"
        assert (await node.get(host, "/where/")).json()["url"] == f"http://{host}/where/"
    assert (await node.get("fn.example.org", "/")).text == "the index"
    assert (await node.get("fn.example.org", "/told?x")).json() == {"path": "/told", "host": "fn.example.org"}


async def test_a_websocket_of_a_host(node):
    url = f"ws://app.example.org:{node.port}/ws"
    async with websockets.connect(url, host="127.0.0.1", port=node.port) as line:
        await line.send("hello")
        assert await line.recv() == "hello"


async def test_a_static_site_of_a_host(node):
    for host in ("files.example.org", "view.example.org"):
        page = await node.get(host, "/")
        assert (page.status_code, page.text) == (200, PAGE)
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "content-security-policy" not in page.headers, "there is nothing of the server beside it"
        css = await node.get(host, "/a.css")
        assert css.headers["content-type"] == "text/css; charset=utf-8" and css.headers["etag"]
        same = await node.get(host, "/a.css", **{"If-None-Match": css.headers["etag"]})
        assert same.status_code == 304
        part = await node.get(host, "/a.css", Range="bytes=0-0")
        assert (part.status_code, part.text) == (206, "p")
        assert (await node.get(host, "/deep/")).text == "deep"
        assert (await node.get(host, "/nothing")).status_code == 404


@pytest.mark.parametrize("path", [
    "/../../services/fn/told", "/%2e%2e/%2e%2e/services/", "/..%2f..%2fservices/", "/health",
    "/metrics", "/admin/apps", "/login"])
async def test_nothing_else_is_reached_by_such_a_name(node, path):
    admin = bearer(node.root_token)
    for host in ("app.example.org", "files.example.org", "view.example.org"):
        answer = await node.get(host, path, **admin)
        assert answer.status_code in (400, 404), (host, path, answer.text)


async def test_other_names_reach_the_server(node):
    for host in ("example.org", "other.app.example.org", "127.0.0.1"):
        assert (await node.get(host, "/health/liveness")).status_code == 200


@pytest.mark.parametrize("wrong", ["app.example.org", "a=/public/services/fn", "a=/x/apps/y,a=/x/apps/z"])
def test_a_wrong_name_ends_the_start(tmp_path, wrong):
    server = Server(tmp_path / "data", tmp_path / "log", env={"RHIZOME_HOSTS": wrong})
    with pytest.raises(Exception):
        server.start()
    assert "server.hosts" in (tmp_path / "log").read_text()
