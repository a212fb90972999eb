"""Logging in: the service `public/hypha-login`, by RPC and over HTTP, and the client's own login()."""

import asyncio
import base64
import json
import uuid
from urllib.parse import parse_qs, urlsplit

import hypha_rpc
import pytest

from harness import claims, failure, jwt, leave_waiting

SERVICE = "public/hypha-login"
BASE = "/public/services/hypha-login"


def payload(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


@pytest.fixture
async def login(connect):
    """The service, as a program without any token sees it."""
    return await (await connect()).get_service(SERVICE)


async def new_workspace(connect, who):
    api = await connect(who)
    return (await api.create_workspace({"name": f"lab-{uuid.uuid4().hex[:8]}"}))["id"]


# --- the client's own function -------------------------------------------------------------

async def test_login_of_the_client(server, alice, connect):
    token = alice.token()

    async def page(context):
        stranger = await (await connect()).get_service(SERVICE)
        await stranger.report(context["key"], token)

    config = {"server_url": server.url, "login_callback": page, "login_timeout": 20}
    assert await hypha_rpc.login(config) == token
    user = await hypha_rpc.login({**config, "profile": True})
    assert user["token"] == token and user["user_id"] == alice.id
    assert set(user) == {"token", "workspace", "expires_in", "email", "email_verified", "name",
                         "nickname", "user_id", "picture"}


async def test_login_for_a_workspace(server, alice, connect, http):
    workspace = await new_workspace(connect, alice)

    async def page(context):
        query = parse_qs(urlsplit(context["login_url"]).query)
        body = {"key": query["key"][0], "workspace": query["workspace"][0],
                "expires_in": query["expires_in"][0], "token": alice.token(),
                "email": "alice@example.com", "name": "Alice", "email_verified": True}
        answer = await http.post(f"{BASE}/report", json=body)
        assert (answer.status_code, answer.json()) == (200, None), answer.text

    user = await hypha_rpc.login({
        "server_url": server.url, "workspace": workspace, "expires_in": 120, "profile": True,
        "login_callback": page, "login_timeout": 20})
    assert (user["workspace"], user["expires_in"]) == (workspace, 120)
    assert (user["email"], user["name"], user["email_verified"]) == ("alice@example.com", "Alice", True)
    made = payload(user["token"])
    assert made["exp"] - made["iat"] == 120
    api = await connect(token=user["token"])
    assert api.config.workspace == workspace


async def test_login_times_out(server):
    async def nobody(context):
        pass

    config = {"server_url": server.url, "login_callback": nobody, "login_timeout": 1}
    assert "Login timeout, waited for 1 seconds" in await failure(hypha_rpc.login(config))


async def test_logout_of_the_client(server):
    told = []

    async def page(context):
        told.append(context)

    context = await hypha_rpc.logout({"server_url": server.url, "logout_callback": page})
    expected = f"{server.url}/public/apps/hypha-login/?logout=true&close=true"
    assert context["logout_url"] == told[0]["logout_url"] == expected


# --- start, check, report ------------------------------------------------------------------

async def test_all_addresses_are_absolute(server, login):
    info = await login.start(workspace="a b&c", expires_in=60)
    page, query = info["login_url"].split("?")
    assert page == f"{server.url}/public/apps/hypha-login/"
    assert parse_qs(query) == {"key": [info["key"]], "workspace": ["a b&c"], "expires_in": ["60"]}
    for name in ("report", "check", "generate"):
        assert info[f"{name}_url"] == f"{server.url}{BASE}/{name}"
    plain = await login.start()
    assert plain["login_url"] == f"{page}?key={plain['key']}"
    assert len(plain["key"]) >= 32 and plain["key"] != info["key"]


async def test_a_key_is_good_for_one_token(login, alice, connect):
    key = (await login.start())["key"]
    assert await login.check(key, timeout=0) is None
    assert await login.check(key, timeout=-1, profile=True) is None
    await login.report(key, alice.token(), email="abc@example.com")
    assert (await login.check(key, timeout=1, profile=True))["email"] == "abc@example.com"
    gone = "AssertionError: Invalid key, key does not exist"
    assert await failure(login.check(key, timeout=0)) == gone
    assert await failure(login.check(key)) == gone
    other = await (await connect()).get_service(SERVICE)
    assert await failure(other.check(key, timeout=0)) == gone
    assert await failure(login.report(key, alice.token())) == f"{gone} or expired"


async def test_wrong_keys(login, alice):
    for key in ("", "nonsense", "../x", "\x00"):
        assert "key does not exist" in await failure(login.check(key, timeout=0))
        assert "key does not exist" in await failure(login.report(key, alice.token()))
    assert "TypeError" in await failure(login.check(None, timeout=0))
    assert "TypeError" in await failure(login.check({"a": 1}, timeout=0))
    assert "Missing required argument: 'key'" in await failure(login.check())


async def test_waiting_ends_with_the_report(login, alice, connect):
    key = (await login.start())["key"]
    waiting = asyncio.ensure_future(login.check(key, timeout=60))
    other = await (await connect()).get_service(SERVICE)
    assert await other.check(key, timeout=0) is None
    token = alice.token()
    await other.report(key, token)
    assert await asyncio.wait_for(waiting, 5) == token


async def test_who_left_takes_no_token_along(raw, login, alice, api):
    """A program that is gone while it waits leaves the outcome to the next one who has the key."""
    key = (await login.start())["key"]
    await leave_waiting(raw, alice, api, login, "check", [key, 60])
    await login.report(key, alice.token())
    assert await login.check(key, timeout=5) is not None


async def test_forged_tokens_are_refused(server, login, alice, bob):
    stranger = jwt("a secret of somebody else's", claims(alice.id, f"ws:{alice.workspace}#a"))
    expired = alice.token(expires_in=-5)
    special = alice.token(extra=["file:download"])
    none = jwt(server.jwt_secret, claims(alice.id, ""), {"alg": "none", "typ": "JWT"})
    for token in ("nonsense", "", stranger, expired, special, none, "a.b.c", "x" * 20_000):
        for more in ({}, {"workspace": alice.workspace}):
            key = (await login.start())["key"]
            error = await failure(login.report(key, token, **more))
            assert error.startswith("ValueError: "), error
            assert "token" in error
            assert await login.check(key, timeout=0) is None


async def test_a_revoked_token_is_refused(login, alice, connect):
    api = await connect(alice)
    token = await api.generate_token()
    await api.revoke_token(token)
    key = (await login.start())["key"]
    assert "revoked" in await failure(login.report(key, token))


async def test_no_token_for_a_foreign_workspace(login, alice, bob, connect):
    workspace = await new_workspace(connect, bob)
    for foreign in (workspace, bob.workspace, "ws-user-root", "no-such-one"):
        key = (await login.start())["key"]
        error = await failure(login.report(key, alice.token(), workspace=foreign))
        assert foreign in error
        assert await login.check(key, timeout=0) is None
    key = (await login.start(workspace=workspace))["key"]
    assert "Invalid permission" in await failure(login.report(key, alice.token()))


async def test_a_weak_token_stays_weak(login, alice, connect):
    """A token to read a workspace gives one to read it, and stays with the client it is for."""
    lab = await new_workspace(connect, alice)
    owner = await connect(alice)
    weak = await owner.generate_token({"workspace": lab, "permission": "read", "client_id": "one"})
    key = (await login.start(workspace=lab))["key"]
    await login.report(key, weak)
    made = payload(await login.check(key))["scope"].split()
    assert f"ws:{lab}#r" in made and "cid:one" in made and "ws:*#a" not in made


async def test_another_user_does_not_replace_an_outcome(login, alice, bob):
    key = (await login.start())["key"]
    token = alice.token()
    await login.report(key, token)
    assert "PermissionError" in await failure(login.report(key, bob.token()))
    assert await login.check(key) == token


async def test_wrong_arguments_are_named(login, alice):
    key = (await login.start())["key"]
    for wrong, name in [({"email": "nobody"}, "email"), ({"picture": "javascript:alert(1)"}, "picture"),
                        ({"name": "x" * 1000}, "name"), ({"expires_in": "soon"}, "expires_in"),
                        ({"expires_in": -3}, "expires_in"), ({"email_verified": "maybe"}, "email_verified"),
                        ({"bogus": 1}, "bogus")]:
        assert name in await failure(login.report(key, alice.token(), **wrong))
    assert "workspace" in await failure(login.start(workspace="x" * 1000))
    assert "timeout" in await failure(login.check(key, timeout="long"))


# --- over HTTP -----------------------------------------------------------------------------

async def test_the_whole_login_over_http(server, http, alice, connect):
    workspace = await new_workspace(connect, alice)
    started = (await http.post(f"{BASE}/start", json={"workspace": workspace})).json()
    assert parse_qs(urlsplit(started["login_url"]).query)["workspace"] == [workspace]
    key = started["key"]
    assert (await http.get(f"{BASE}/check", params={"key": key, "timeout": 0})).json() is None
    # As the page of the reference reports, which sends empty texts for what it does not know.
    query = {"key": key, "token": alice.token(), "workspace": workspace, "expires_in": "",
             "email": "a@b.org", "email_verified": "true", "name": "123", "picture": ""}
    answer = await http.get(f"{BASE}/report", params=query)
    assert answer.status_code == 200, answer.text
    user = (await http.post(f"{BASE}/check", json={"key": key, "profile": True})).json()
    assert (user["workspace"], user["name"], user["email_verified"]) == (workspace, "123", True)
    assert payload(user["token"])["scope"].split()[-1] == f"wid:{workspace}"
    again = await http.get(f"{BASE}/check", params={"key": key})
    assert again.status_code == 400 and "Invalid key" in again.json()["detail"]


async def test_statuses_over_http(http, alice):
    key = (await http.get(f"{BASE}/start")).json()["key"]
    forged = await http.post(f"{BASE}/report", json={"key": key, "token": "forged"})
    assert forged.status_code == 400
    foreign = await http.post(f"{BASE}/report", json={
        "key": key, "token": alice.token(), "workspace": "ws-user-root"})
    assert foreign.status_code == 403
    late = await http.get(f"{BASE}/check", params={"key": key, "timeout": 0.2})
    assert late.status_code == 500 and "waited for 0.2 seconds" in late.json()["detail"]


async def test_the_page(server, http):
    page = await http.get("/public/apps/hypha-login/?key=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    nonce = policy.split("script-src 'nonce-")[1].split("'")[0]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert page.text.count("<script") == 1 and f'<script nonce="{nonce}">' in page.text
    assert "alert(1)" not in page.text and "http://" not in page.text and "https://" not in page.text
    assert page.headers["referrer-policy"] == "no-referrer"
    again = await http.get("/public/apps/hypha-login/")
    assert nonce not in again.text


async def test_ways_to_the_page(server, http):
    login = await http.get("/login?redirect=/x-y/")
    assert login.status_code == 307
    assert login.headers["location"] == "/public/apps/hypha-login/?redirect=/x-y/"
    profile = await http.get("/public/apps/hypha-login/profile")
    assert profile.status_code == 302
    assert profile.headers["location"] == f"{server.url}/public/apps/hypha-login/"
    logout = (await http.get("/public/apps/hypha-login/logout")).json()
    assert logout["logout_url"].endswith("/public/apps/hypha-login/?logout=true&close=true")
    config = (await http.get("/assets/config.json")).json()
    assert config["login_service_url"] == f"{server.url}{BASE}"


async def test_the_page_opens_for_who_holds_a_dead_token(http, alice):
    dead = {"Cookie": f"access_token={alice.token(expires_in=-5)}"}
    assert (await http.get("/public/apps/hypha-login/", headers=dead)).status_code == 200
    assert (await http.get("/public/services/", headers=dead)).status_code == 401


async def test_the_service_is_listed(api):
    found = [s for s in await api.list_services("public") if s["id"].endswith(":hypha-login")]
    assert [(s["type"], s["config"]["visibility"]) for s in found] == [("functions", "public")]
    service = await api.get_service(SERVICE)
    assert not hasattr(service, "signup")
