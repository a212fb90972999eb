"""Health, listings, the administrator's views, and the files for browsers."""

import asyncio
import uuid

import httpx
import pytest

from harness import bearer, eventually




# --- health --------------------------------------------------------------------------------

@pytest.mark.parametrize("path", ["/health/readiness", "/health/liveness"])
async def test_health(http, path):
    response = await http.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("application/json")
    assert response.json()["status"] == "OK"


async def test_readiness_says_what_it_looked_at(http):
    assert (await http.get("/health/readiness")).json()["detail"]["store"] == "ready"


# --- apps ----------------------------------------------------------------------------------

async def test_listing_of_apps(http, controller, worker, alice):
    app = await controller.install(
        source="x", wait_for_service=False,
        manifest={"name": "Listed", "type": worker.kind, "version": "1.0.0"})
    response = await http.get(f"/{alice.workspace}/apps", headers=bearer(alice.token()))
    assert response.status_code == 200
    assert response.json() == await controller.list_apps()
    assert [(a["id"], a["name"]) for a in response.json()] == [(app.id, "Listed")]


async def test_listing_without_apps_is_empty(http, api, alice):
    response = await http.get(f"/{alice.workspace}/apps", headers=bearer(alice.token()))
    assert (response.status_code, response.json()) == (200, [])


async def test_listing_is_not_for_strangers(http, api, alice, bob):
    for headers in ({}, bearer(bob.token(workspace=bob.workspace))):
        response = await http.get(f"/{alice.workspace}/apps", headers=headers)
        assert response.status_code in (401, 403, 404) or response.json() == []


@pytest.mark.parametrize("token", ["nonsense", "a.b.c"])
async def test_a_bad_token_is_never_anonymous(http, api, alice, token):
    response = await http.get(f"/{alice.workspace}/apps", headers=bearer(token))
    assert response.status_code == 401
    assert "detail" in response.json()


@pytest.mark.ours
async def test_an_expired_token(http, api, alice):
    response = await http.get(f"/{alice.workspace}/apps", headers=bearer(alice.token(expires_in=-60)))
    assert response.status_code == 401
    assert "expired" in response.json()["detail"]


# --- for administrators --------------------------------------------------------------------

ADMIN = ["/admin/apps", "/admin/sessions", "/admin/workers", "/admin/tree", "/admin/counts"]


@pytest.mark.ours
@pytest.mark.parametrize("path", ADMIN)
async def test_admin_needs_an_administrator(http, api, alice, server, path):
    assert (await http.get(path)).status_code == 401
    assert (await http.get(path, headers=bearer("wrong"))).status_code == 401
    assert (await http.get(path, headers=bearer(alice.token()))).status_code == 403
    response = await http.get(path, headers=bearer(server.root_token))
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("application/json")


@pytest.mark.ours
async def test_admin_by_an_admin_token(http, user):
    admin = user("admin")
    token = admin.token(roles=["admin"])
    assert (await http.get("/admin/apps", headers=bearer(token))).status_code == 200


@pytest.mark.ours
async def test_admin_sees_everything_that_runs(http, server, controller, worker, alice):
    name = f"seen-{uuid.uuid4().hex[:6]}"
    await controller.install(
        source="x", app_id=name, wait_for_service=False,
        manifest={"name": "Seen", "type": worker.kind, "version": "1.0.0"})
    session = await controller.start(name)
    views = {path: (await http.get(path, headers=bearer(server.root_token))).text for path in ADMIN}
    assert name in views["/admin/apps"] and alice.workspace in views["/admin/apps"]
    assert session.id in views["/admin/sessions"]
    assert worker.id in views["/admin/workers"]
    for token in (worker.started[-1]["token"], server.root_token, server.jwt_secret):
        assert not any(token in view for view in views.values())
    await controller.stop(session.id)

    async def gone():
        view = await http.get("/admin/sessions", headers=bearer(server.root_token))
        return not [s for s in rows(view.json()) if s.get("id") == session.id
                    and s.get("status") == "running"]

    await eventually(gone)


def rows(view):
    """The entries of a listing, be it a bare list or one inside a map."""
    return view if isinstance(view, list) else next(v for v in view.values() if isinstance(v, list))


@pytest.mark.ours
async def test_the_supervision_tree(http, server, api):
    response = await http.get("/admin/tree", headers=bearer(server.root_token))

    def walk(node):
        yield node
        for child in node.get("children", []):
            yield from walk(child)

    nodes = list(walk(response.json()))
    assert len(nodes) > 3
    for node in nodes:
        assert node["id"] and node["kind"] and node["state"]
        assert "restarts" in node


# --- files for browsers --------------------------------------------------------------------

@pytest.mark.parametrize("name", [
    "hypha-rpc-websocket.js", "hypha-rpc-websocket.mjs",
    pytest.param("hypha-rpc-websocket.min.js", marks=pytest.mark.ours),
    pytest.param("hypha-rpc-websocket.min.mjs", marks=pytest.mark.ours)])
async def test_the_javascript_client(http, name):
    response = await http.get(f"/assets/{name}")
    assert response.status_code == 200
    assert response.headers["content-type"].split(";")[0] in (
        "text/javascript", "application/javascript")
    assert "connectToServer" in response.text


@pytest.mark.ours
async def test_it_is_revalidated_and_open_to_other_origins(http):
    first = await http.get("/assets/hypha-rpc-websocket.mjs", headers={"Origin": "https://a.example"})
    assert first.headers["access-control-allow-origin"] in ("*", "https://a.example")
    again = await http.get("/assets/hypha-rpc-websocket.mjs",
                           headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("path", [
    "/assets/../Cargo.toml", "/assets/%2e%2e/Cargo.toml", "/assets/..%2f..%2fetc%2fpasswd",
    "/assets/hypha-rpc-websocket.mjs/../../data", "/assets/nothing.js", "/assets/",
])
async def test_nothing_else_is_served(server, path):
    """Sent as it is: clients would tidy the path up before sending it."""
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert answer.split(b" ", 2)[1] in (b"400", b"403", b"404", b"405"), answer[:200]
    assert b"root:" not in answer and b"[package]" not in answer


async def test_unknown_paths(http):
    response = await http.get("/no/such/path/at/all")
    assert response.status_code == 404
