"""The HTTP edge: where requests come from, how many there may be, which pages may read answers."""

import asyncio

import httpx
import pytest

from harness import Server, User, bearer, claims, jwt

PAGE = "https://page.example"
LIMITS = {
    "HYPHA_HTTP_RATE_LIMIT": "0.2", "HYPHA_HTTP_BURST_LIMIT": "3",
    "HYPHA_HTTP_AUTHENTICATED_RATE_LIMIT": "0.2", "HYPHA_HTTP_AUTHENTICATED_BURST_LIMIT": "6",
}
LIMITED = "/nowhere"


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    """A server that takes three requests at once of an address, and six of a user."""
    folder = tmp_path_factory.mktemp("limited")
    server = Server(folder / "data", folder / "server.log", env=LIMITS)
    server.start()
    yield server
    server.stop()


def from_address(address):
    return {"X-Forwarded-For": address}


async def statuses(server, count, **options):
    """The statuses of `count` requests, one after the other."""
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
        return [(await client.get(LIMITED, **options)).status_code for _ in range(count)]


# --- rate limits ---------------------------------------------------------------------------

async def test_one_request_too_many_is_told_so(limited):
    async with httpx.AsyncClient(base_url=limited.url) as client:
        options = {"headers": {**from_address("192.0.2.1"), "Origin": PAGE}}
        for _ in range(3):
            assert (await client.get(LIMITED, **options)).status_code == 404
        refused = await client.get(LIMITED, **options)
    assert refused.status_code == 429
    assert refused.json() == {"detail": "Rate limit exceeded. Please slow down."}
    assert 1 <= int(refused.headers["retry-after"]) <= 5
    assert "access-control-allow-origin" not in refused.headers


async def test_addresses_do_not_use_up_each_other(limited):
    assert await statuses(limited, 4, headers=from_address("192.0.2.2")) == [404, 404, 404, 429]
    assert await statuses(limited, 1, headers=from_address("192.0.2.3")) == [404]


async def test_the_last_stranger_counts_as_the_client(limited):
    """What a client writes into the header itself stands left of what the proxy appends."""
    for made_up in range(3):
        header = from_address(f"203.0.113.{made_up}, 192.0.2.4, 127.0.0.9")
        assert await statuses(limited, 1, headers=header) == [404]
    header = from_address("203.0.113.77, 192.0.2.4")
    assert await statuses(limited, 1, headers=header) == [429]


async def test_the_limit_is_lifted_again(limited):
    header = from_address("192.0.2.5")
    assert 429 in await statuses(limited, 4, headers=header)
    async with httpx.AsyncClient(base_url=limited.url) as client:
        wait = int((await client.get(LIMITED, headers=header)).headers["retry-after"])
        await asyncio.sleep(wait)
        assert (await client.get(LIMITED, headers=header)).status_code == 404


async def test_a_verified_user_may_ask_more_often_but_not_without_end(limited):
    headers = bearer(User(limited, "often").token())
    assert await statuses(limited, 8, headers=headers) == [404] * 6 + [429] * 2


async def test_each_client_of_a_user_has_its_own_limit(limited):
    headers = bearer(User(limited, "many").token())
    assert await statuses(limited, 7, headers=headers) == [404] * 6 + [429]
    for params in ({"client_id": "a"}, {"client_id": "b"}, {"workspace": "w"}):
        assert await statuses(limited, 7, headers=headers, params=params) == [404] * 6 + [429]


@pytest.mark.parametrize("kind", ["forged", "expired", "nonsense", "cookie"])
async def test_only_a_token_that_verifies_lifts_the_caller(limited, kind):
    user = User(limited, kind)
    address = {"forged": 10, "expired": 11, "nonsense": 12, "cookie": 13}[kind]
    good = claims(user.id, f"ws:{user.workspace}#a")
    headers = {
        "forged": bearer(jwt("another secret that is long enough", good)),
        "expired": bearer(jwt(limited.jwt_secret, {**good, "exp": good["iat"] - 10})),
        "nonsense": bearer("nonsense"),
        "cookie": {"Cookie": f"access_token={user.token()}"},
    }[kind]
    headers |= from_address(f"192.0.2.{address}")
    assert await statuses(limited, 5, headers=headers) == [404] * 3 + [429] * 2


async def test_the_root_token_is_a_verified_user(limited):
    headers = bearer(limited.root_token) | from_address("192.0.2.20")
    assert await statuses(limited, 5, headers=headers) == [404] * 5


async def test_probes_and_connections_are_not_limited(limited, connect):
    headers = from_address("192.0.2.30")
    assert 429 in await statuses(limited, 4, headers=headers)
    async with httpx.AsyncClient(base_url=limited.url) as client:
        for path in ["/health", "/health/readiness", "/health/liveness"] * 4:
            assert (await client.get(path, headers=headers)).status_code == 200
        # Only the door of the connections is open, not every path with the right header.
        upgrade = headers | {"Upgrade": "websocket", "Connection": "Upgrade"}
        assert (await client.get(LIMITED, headers=upgrade)).status_code == 429
        assert (await client.get("/healthy", headers=headers)).status_code == 429
    for _ in range(5):
        await connect(at=limited)


async def test_strangers_cannot_choose_their_address(crashable):
    server = crashable(env={**LIMITS, "RHIZOME_TRUSTED_PROXIES": "10.0.0.0/8"})
    server.start()
    for last in range(3):
        assert await statuses(server, 1, headers=from_address(f"192.0.2.{last}")) == [404]
    assert await statuses(server, 1, headers=from_address("192.0.2.99")) == [429]


async def test_a_proxy_that_is_no_address_is_named_at_start(crashable):
    server = crashable(args=("--trusted-proxies=127.0.0.1,proxy.example",))
    with pytest.raises(RuntimeError) as failed:
        server.start()
    assert "server.trusted_proxies: \"proxy.example\" is neither" in str(failed.value)


# --- CORS ----------------------------------------------------------------------------------

async def test_a_page_is_named_and_may_send_credentials(http):
    for path in ("/health/readiness", "/assets/config.json", "/nowhere"):
        answer = await http.get(path, headers={"Origin": PAGE})
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert "origin" in answer.headers["vary"].lower()
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert {"Inference-Header-Content-Length", "Accept-Encoding", "Range", "Origin",
                "Content-Type", "ETag", "Content-Range"} <= set(exposed)


async def test_errors_can_be_read_by_pages(http):
    answer = await http.get("/assets/config.json",
                            headers={"Origin": PAGE, "Authorization": "Bearer nonsense"})
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == PAGE


async def test_callers_that_are_no_pages_get_no_headers(http):
    answer = await http.get("/health/readiness")
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def preflight(method="POST", headers=None, origin=PAGE):
    out = {"Origin": origin, "Access-Control-Request-Method": method}
    return out | ({"Access-Control-Request-Headers": headers} if headers else {})


async def test_preflight(http):
    answer = await http.options("/lab/services/", headers=preflight(
        headers="authorization, content-type,x-requested-with"))
    assert (answer.status_code, answer.text) == (200, "OK")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["access-control-max-age"] == "600"
    assert answer.headers["access-control-allow-methods"] == \
        "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
    assert "Authorization" in answer.headers["access-control-allow-headers"].split(", ")


@pytest.mark.parametrize("asked, wrong", [
    (preflight(headers="x-invented"), "headers"),
    (preflight(method="BREW"), "method"),
    (preflight(method="BREW", headers="x-invented"), "method, headers"),
])
async def test_preflight_that_asks_too_much(http, asked, wrong):
    answer = await http.options("/lab/services/", headers=asked)
    assert (answer.status_code, answer.text) == (400, f"Disallowed CORS {wrong}")


async def test_options_without_a_preflight_is_an_ordinary_request(http):
    answer = await http.options("/health/readiness", headers={"Origin": PAGE})
    assert answer.text != "OK"


@pytest.mark.parametrize("path", [
    "/lab/apps/service/", "/lab/apps/service/x/y", "/lab/agent-skills/", "/lab/mcp/service/mcp",
    "/lab/a2a/service/x"])
async def test_apps_answer_for_themselves(http, path):
    answer = await http.options(path, headers=preflight())
    assert (answer.status_code, answer.text) != (200, "OK")
    answer = await http.get(path, headers={"Origin": PAGE})
    assert "access-control-max-age" not in answer.headers
    # What the route says itself, if anything, is left as it is.
    assert answer.headers.get("access-control-allow-origin") in (None, "*")
    assert "access-control-allow-credentials" not in answer.headers


async def test_origins_can_be_limited(crashable):
    server = crashable(args=("--allow-origins=https://one.example,https://two.example",))
    server.start()
    async with httpx.AsyncClient(base_url=server.url) as client:
        for origin in ("https://one.example", "https://two.example"):
            answer = await client.get("/health/readiness", headers={"Origin": origin})
            assert answer.headers["access-control-allow-origin"] == origin
        for path in ("/health/readiness", "/assets/hypha-rpc-websocket.js"):
            answer = await client.get(path, headers={"Origin": PAGE})
            assert "access-control-allow-origin" not in answer.headers, path
        answer = await client.options("/lab/services/", headers=preflight())
        assert (answer.status_code, answer.text) == (400, "Disallowed CORS origin")
        assert "access-control-allow-origin" not in answer.headers
