"""Requests that another web site makes a browser send: its cookie calls no services. And what
callers learn of failures."""

import pytest
from hypha_rpc.utils.schema import schema_function

from harness import User, bearer

LINK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
FRAME = {**LINK, "Sec-Fetch-Dest": "iframe"}
PART = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}


def cookie(who):
    return {"Cookie": f"access_token={who.token()}"}


@pytest.fixture
async def calls(api, alice):
    """Protected services of alice's, which note who called them."""
    calls = []

    def act(context=None):
        calls.append(context["user"]["id"])
        return "done"

    async def page(event):
        calls.append(event["user"]["id"])
        return {"status": 200, "body": "page"}

    config = {"visibility": "protected", "require_context": True}
    await api.register_service({"id": "acts", "config": config, "act": act})
    await api.register_service({"id": "page", "type": "functions", "index": page,
                                "config": {"visibility": "protected"}})
    await api.register_service({"id": "tools", "config": config,
                                "act": schema_function(act)})
    return calls


@pytest.mark.parametrize("headers", [LINK, FRAME, PART], ids=["link", "frame", "part"])
async def test_a_foreign_page_calls_no_service(http, calls, alice, headers):
    for method in ("GET", "POST"):
        answer = await http.request(method, f"/{alice.workspace}/services/acts/act",
                                    headers={**cookie(alice), **headers})
        assert answer.status_code == 403 and not calls
    called = await http.post(
        f"/{alice.workspace}/mcp/tools/mcp", headers={**cookie(alice), **headers},
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "act"}})
    assert called.status_code == 404 and not calls


async def test_a_foreign_page_is_nobody_to_public_services(http, api, alice):
    await api.register_service({
        "id": "who", "config": {"visibility": "public", "require_context": True},
        "who": lambda context: context["user"]["id"]})
    url = f"/{alice.workspace}/services/who/who"
    assert (await http.get(url, headers=cookie(alice))).json() == alice.id
    seen = (await http.get(url, headers={**cookie(alice), **PART})).json()
    assert seen == (await http.get(url)).json() != alice.id


async def test_a_link_leads_to_an_app(http, calls, alice, bob):
    url = f"/{alice.workspace}/apps/page/"
    assert (await http.get(url, headers={**cookie(alice), **LINK})).text == "page"
    assert calls == [alice.id]
    for headers in (FRAME, PART):
        assert (await http.get(url, headers={**cookie(alice), **headers})).status_code == 403
    assert (await http.post(url, headers={**cookie(alice), **LINK})).status_code == 403
    assert (await http.get(url, headers={**cookie(bob), **LINK})).status_code == 403
    assert calls == [alice.id]


async def test_own_pages_and_tokens_are_not_meant(http, calls, alice):
    url = f"/{alice.workspace}/services/acts/act"
    for headers in (
            cookie(alice), {**cookie(alice), "Sec-Fetch-Site": "same-origin"},
            {**cookie(alice), "Sec-Fetch-Site": "same-site"},
            {**cookie(alice), "Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"},
            {**bearer(alice.token()), **PART}, {**cookie(alice), **bearer(alice.token()), **LINK}):
        assert (await http.get(url, headers=headers)).json() == "done", headers
    assert calls == [alice.id] * 6


async def test_the_stack_of_a_failure_is_shown_where_it_is_wanted(
        server, crashable, connect, http):
    def fail_here():
        raise ValueError("the reason")

    def failing():
        yield 1
        fail_here()

    telling = crashable(env={"HYPHA_EXPOSE_DETAILED_ERRORS": "true"})
    telling.start()
    for at, told in ((server, False), (telling, True)):
        user = User(at, "carol")
        api = await connect(user, at=at)
        await api.register_service({
            "id": "bad", "config": {"visibility": "public"}, "f": fail_here, "g": failing,
            "t": schema_function(fail_here)})
        base = f"{at.url}/{user.workspace}"
        answer = await http.get(f"{base}/services/bad/f")
        assert answer.status_code == 400
        detail = answer.json()["detail"]
        assert "ValueError: the reason" in detail and ("fail_here" in detail) == told
        events = (await http.get(f"{base}/services/bad/g")).text
        assert "the reason" in events and ("fail_here" in events) == told
        called = await http.post(f"{base}/mcp/bad/mcp", json={
            "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "t"}})
        text = called.json()["result"]["content"][0]["text"]
        assert "the reason" in text and ("fail_here" in text) == told
