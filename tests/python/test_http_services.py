"""Services over plain HTTP: listing, info, calls with JSON and MessagePack, streams, errors."""

import asyncio
import gzip
import json

import httpx
import msgpack
import numpy as np
import pytest

from harness import bearer, eventually


@pytest.fixture
async def service(api):
    """A public service of alice's; functions of every kind that HTTP has to deal with."""
    closed = asyncio.Event()

    def boom(kind="KeyError"):
        raise {"KeyError": KeyError, "PermissionError": PermissionError, "ValueError": ValueError,
               "RuntimeError": RuntimeError}[kind]("the reason")

    async def endless():
        try:
            number = 0
            while True:
                yield number
                number += 1
        finally:
            closed.set()

    def counter(start=0, end=3):
        for number in range(start, end):
            yield {"count": number}

    async def failing():
        yield 1
        raise ValueError("in the middle")

    def kinds(**given):
        return {key: f"{type(value).__name__}:{value}" for key, value in given.items()}

    info = await api.register_service({
        "id": "svc", "name": "Service", "type": "test", "answer": 42, "nothing": None,
        "config": {"visibility": "public"},
        "echo": lambda data=None: data, "boom": boom, "counter": counter, "endless": endless,
        "failing": failing, "kinds": kinds,
        "pair": lambda a, b: [a, b], "blob": lambda: b"\x00\xff",
        "math": {"add": lambda a, b: a + b, "pi": 3.14}})
    await api.register_service({
        "id": "secret", "config": {"visibility": "protected"}, "echo": lambda data=None: data})
    await api.register_service({
        "id": "who", "config": {"visibility": "public", "require_context": True},
        "who": lambda context: {"ws": context["ws"], "user": context["user"]["id"],
                                "from": context["from"]}})
    info.closed = closed
    return info


@pytest.fixture
def base(alice, service):
    return f"/{alice.workspace}/services"


# --- listing and info ----------------------------------------------------------------------

async def test_listing_shows_what_the_caller_may_see(http, base, alice, service):
    def ids(listed):
        return {entry["id"].split(":")[-1] for entry in listed}

    anonymous = (await http.get(f"{base}/")).json()
    assert "svc" in ids(anonymous) and "secret" not in ids(anonymous)
    own = (await http.get(f"{base}/", headers=bearer(alice.token()))).json()
    assert {"svc", "secret"} <= ids(own)
    entry = next(e for e in own if e["id"].endswith(":svc"))
    assert "/" not in entry["id"] and entry["type"] == "test"
    assert set(entry["config"]["created_by"]) == {"id"}
    assert entry["service_schema"]["echo"]["type"] == "function"


async def test_listing_is_narrowed_by_the_query(http, base, service):
    listed = (await http.get(f"{base}/", params={"type": "test"})).json()
    assert [entry["id"].split(":")[-1] for entry in listed] == ["svc"]
    wrong = await http.get(f"{base}/", params={"bogus": "1"})
    assert wrong.status_code == 400 and "bogus" in wrong.json()["detail"]


async def test_listing_without_slash_redirects_and_keeps_the_query(http, base):
    response = await http.get(base, params={"type": "x"})
    assert response.status_code == 307
    assert response.headers["location"] == f"{base}/?type=x"


async def test_listing_of_no_workspace(http):
    response = await http.get("/no-such-workspace/services/")
    assert response.status_code == 404
    assert response.json()["detail"].startswith("'Workspace no-such-workspace does not exist")


async def test_info_of_a_service(http, base, alice, service):
    info = (await http.get(f"{base}/svc")).json()
    assert info["id"] == service.id and info["name"] == "Service"
    assert info["service_schema"]["math"]["add"]["type"] == "function"
    assert (await http.get(f"{base}/nothing")).status_code == 404
    hidden = await http.get(f"{base}/secret")
    assert hidden.status_code == 403 and hidden.json()["success"] is False
    assert (await http.get(f"{base}/secret", headers=bearer(alice.token()))).status_code == 200


@pytest.mark.parametrize("name", ["ws", "~"])
async def test_info_of_the_manager(http, base, name):
    info = (await http.get(f"{base}/{name}")).json()
    assert info["list_services"]["type"] == "function"
    assert info["list_services"]["function"]["name"] == "list_services"


async def test_workspace_info(http, api, alice, bob):
    own = await http.get(f"/{alice.workspace}/info", headers=bearer(alice.token()))
    assert own.status_code == 200 and own.json()["id"] == alice.workspace
    for headers in ({}, bearer(bob.token())):
        other = await http.get(f"/{alice.workspace}/info", headers=headers)
        assert other.status_code == 403
        assert "has no permission to access" in other.json()["detail"]


# --- arguments -----------------------------------------------------------------------------

async def test_query_arguments(http, base):
    query = "a=5&b=-5&c=1e3&d=007&e=true&f=x%20y&g=%7B%22k%22%3A1%7D&h=1&h=2&_mode=random"
    kinds = (await http.get(f"{base}/svc/kinds?{query}")).json()
    assert kinds == {"a": "int:5", "b": "float:-5.0", "c": "float:1000.0", "d": "int:7",
                     "e": "str:true", "f": "str:x y", "g": "ObjectProxy:{'k': 1}", "h": "int:2"}
    bad = await http.get(f"{base}/svc/kinds?a=%7Bx")
    assert bad.status_code == 400 and "Invalid request body" in bad.json()["detail"]


async def test_texts_of_the_servers_own_methods_stay_texts(http, base, alice):
    """A service may be called `123`: the manager's schema says that names are strings."""
    response = await http.get(f"{base}/ws/get_env?key=123", headers=bearer(alice.token()))
    assert response.status_code == 404 and "'123'" in response.json()["detail"]


@pytest.mark.parametrize("body, result", [
    ({"data": 1}, 1), ({"data": {"x": [1, None]}}, {"x": [1, None]}), ("text", "text"),
    ([7], 7), ({"data": 1, "workspace": "w", "_mode": "random"}, 1)])
async def test_json_bodies(http, base, body, result):
    response = await http.post(f"{base}/svc/echo", json=body)
    assert (response.status_code, response.json()) == (200, result)


async def test_positional_arguments_in_a_list(http, base):
    assert (await http.post(f"{base}/svc/pair", json=[1, 2])).json() == [1, 2]


async def test_empty_body_and_parameters_of_the_content_type(http, base):
    assert (await http.post(f"{base}/svc/echo")).json() is None
    headers = {"content-type": "application/json; charset=utf-8"}
    response = await http.post(f"{base}/svc/echo", content=b'{"data": "\xc3\xa9"}', headers=headers)
    assert response.json() == "é"


@pytest.mark.parametrize("kind, content", [
    ("application/json", b"{nope"), ("application/msgpack", b"\xc1"), ("text/plain", b"hello")])
async def test_bad_bodies(http, base, kind, content):
    response = await http.post(f"{base}/svc/echo", content=content, headers={"content-type": kind})
    assert response.status_code == 400
    assert response.json()["detail"].startswith("Invalid request body")


async def test_msgpack_both_ways_with_arrays_and_compression(http, base):
    array = np.arange(12, dtype="float32").reshape(3, 4)
    tagged = {"_rtype": "ndarray", "_rvalue": array.tobytes(), "_rshape": array.shape,
              "_rdtype": str(array.dtype)}
    for encoding in ({}, {"content-encoding": "gzip"}):
        body = msgpack.dumps({"data": tagged})
        response = await http.post(
            f"{base}/svc/echo", content=gzip.compress(body) if encoding else body,
            headers={"content-type": "application/msgpack", **encoding})
        assert response.headers["content-type"] == "application/msgpack"
        back = msgpack.loads(response.content)
        assert np.array_equal(
            np.frombuffer(back["_rvalue"], back["_rdtype"]).reshape(back["_rshape"]), array)


async def test_large_arguments_and_results(http, base):
    text = "x" * 3_000_000
    response = await http.post(f"{base}/svc/echo", json={"data": text})
    assert response.json() == text


async def test_bytes_do_not_fit_json(http, base):
    response = await http.get(f"{base}/svc/blob")
    assert response.status_code == 500 and "application/msgpack" in response.json()["detail"]
    packed = await http.post(
        f"{base}/svc/blob", headers={"content-type": "application/msgpack"})
    assert msgpack.loads(packed.content) == b"\x00\xff"


# --- what can be called --------------------------------------------------------------------

async def test_nested_functions_and_plain_values(http, base):
    assert (await http.get(f"{base}/svc/math.add?a=1&b=2")).json() == 3
    assert (await http.get(f"{base}/svc/math.pi")).json() == 3.14
    assert (await http.get(f"{base}/svc/answer")).json() == 42
    assert (await http.get(f"{base}/svc/name")).json() == "Service"
    assert (await http.get(f"{base}/svc/math")).json()["add"]["type"] == "function"
    for missing in ("nope", "math.nope", "nothing", "answer.deeper"):
        response = await http.get(f"{base}/svc/{missing}")
        assert (response.status_code, response.json()["detail"]) == (404, f"{missing} not found.")


async def test_full_ids_and_modes(http, base, service):
    full = service.id.split("/")[1]
    assert (await http.get(f"{base}/{full}/echo?data=1")).json() == 1
    assert (await http.get(f"{base}/svc/echo?data=1&_mode=first")).json() == 1
    bad = await http.get(f"{base}/svc/echo?_mode=bogus")
    assert bad.status_code == 400 and "Invalid mode" in bad.json()["detail"]


async def test_several_providers_need_a_mode(http, base, connect, alice, service):
    other = await connect(alice)
    await other.register_service(
        {"id": "svc", "config": {"visibility": "public"}, "echo": lambda data: ["other", data]})
    ambiguous = await http.get(f"{base}/svc/echo?data=1")
    assert ambiguous.status_code == 400 and "Multiple services" in ambiguous.json()["detail"]
    assert (await http.get(f"{base}/svc/echo?data=1&_mode=last")).json() == ["other", 1]


# --- in whose name -------------------------------------------------------------------------

async def test_the_service_sees_who_calls(http, base, alice, bob):
    anonymous = (await http.get(f"{base}/who/who")).json()
    assert (anonymous["user"], anonymous["ws"]) == ("anonymouz-http", "ws-anonymous")
    own = (await http.get(f"{base}/who/who", headers=bearer(alice.token()))).json()
    assert (own["user"], own["ws"]) == (alice.id, alice.workspace)
    scoped = bob.token(workspace=bob.workspace)
    other = (await http.get(f"{base}/who/who", headers=bearer(scoped))).json()
    assert (other["user"], other["ws"]) == (bob.id, bob.workspace)
    assert other["from"].startswith(f"{bob.workspace}/")


async def test_protected_services_are_for_members(http, base, connect, alice, bob):
    await connect(bob)
    for headers in ({}, bearer(bob.token()), bearer(bob.token(workspace=bob.workspace))):
        response = await http.get(f"{base}/secret/echo?data=1", headers=headers)
        assert response.status_code == 403, response.text
        assert response.json()["success"] is False
    own = await http.get(f"{base}/secret/echo?data=1", headers=bearer(alice.token()))
    assert own.json() == 1


async def test_tokens_in_cookies_and_basic_passwords(http, base, alice):
    cookie = await http.get(
        f"{base}/secret/echo?data=1", headers={"Cookie": f"access_token={alice.token()}"})
    assert cookie.status_code == 200
    basic = await http.get(f"{base}/secret/echo?data=1", auth=("git", alice.token()))
    assert basic.status_code == 200
    in_query = await http.get(f"{base}/secret/echo?data=1&access_token={alice.token()}")
    assert in_query.status_code == 403
    bad = await http.get(f"{base}/svc/echo?data=1", headers=bearer("nonsense"))
    assert (bad.status_code, set(bad.json())) == (401, {"detail"})


# --- the manager ---------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["ws", "~"])
async def test_methods_of_the_manager(http, base, alice, name):
    headers = bearer(alice.token())
    response = await http.post(f"{base}/{name}/echo", json={"data": {"a": 1}}, headers=headers)
    assert (response.status_code, response.json()) == (200, {"a": 1})
    listed = (await http.get(f"{base}/{name}/list_services", headers=headers)).json()
    assert any(entry["id"].endswith(":svc") for entry in listed)
    token = (await http.post(f"{base}/{name}/generate_token", headers=headers)).json()
    assert (await http.get(f"{base}/secret/echo?data=2", headers=bearer(token))).json() == 2
    unknown = await http.post(f"{base}/{name}/echo", json={"bogus": 1}, headers=headers)
    assert unknown.status_code == 400
    assert "got an unexpected keyword argument 'bogus'" in unknown.json()["detail"]
    missing = await http.post(f"{base}/{name}/echo", headers=headers)
    assert "Missing required argument: 'data'" in missing.json()["detail"]
    assert (await http.get(f"{base}/{name}/no_method", headers=headers)).status_code == 404


async def test_the_manager_acts_in_the_callers_workspace(http, base, bob):
    denied = await http.post("/public/services/ws/echo", json={"data": 1})
    assert denied.status_code == 403 and "ws-anonymous" in denied.json()["detail"]
    scoped = bearer(bob.token(workspace=bob.workspace))
    info = (await http.get(f"{base}/ws/get_workspace_info", headers=scoped)).json()
    assert info["id"] == bob.workspace


# --- errors --------------------------------------------------------------------------------

@pytest.mark.parametrize("kind, status", [
    ("KeyError", 404), ("PermissionError", 403), ("ValueError", 400), ("RuntimeError", 500)])
async def test_errors_of_services(http, base, kind, status):
    response = await http.get(f"{base}/svc/boom?kind={kind}")
    assert response.status_code == status
    detail = response.json()["detail"]
    assert response.json()["success"] is False and "the reason" in detail
    assert detail.startswith(f"RemoteException: {kind}") and "Traceback" not in detail


async def test_wrong_arguments_of_services(http, base):
    response = await http.post(f"{base}/svc/pair", json={"a": 1})
    assert response.status_code == 400 and "TypeError" in response.json()["detail"]


async def test_unknown_services_and_methods(http, base):
    missing = await http.get(f"{base}/nobody/echo")
    assert missing.status_code == 404 and "Service not found" in missing.json()["detail"]
    assert (await http.put(f"{base}/svc/echo")).status_code == 405


async def test_a_provider_that_leaves_fails_its_calls_at_once(http, base, connect, alice):
    provider = await connect(alice)
    started = asyncio.Event()

    async def hang():
        started.set()
        await asyncio.sleep(60)

    await provider.register_service(
        {"id": "leaver", "config": {"visibility": "public"}, "hang": hang})
    call = asyncio.create_task(http.get(f"{base}/leaver/hang", timeout=30))
    await started.wait()
    await provider.disconnect()
    response = await asyncio.wait_for(call, 5)
    assert response.status_code >= 500 and "not connected" in response.json()["detail"]


# --- streams -------------------------------------------------------------------------------

async def test_generators_as_event_streams(http, base):
    got = await http.get(f"{base}/svc/counter?start=1&end=4")
    posted = await http.post(f"{base}/svc/counter", json={"start": 1, "end": 4})
    for response in (got, posted):
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache"
        events = [line[6:] for line in response.text.splitlines() if line.startswith("data: ")]
        assert events[-1] == "[DONE]"
        assert [json.loads(event)["count"] for event in events[:-1]] == [1, 2, 3]


async def test_generators_as_msgpack(http, base):
    response = await http.post(
        f"{base}/svc/counter", content=msgpack.dumps({"end": 2}),
        headers={"content-type": "application/msgpack"})
    unpacker = msgpack.Unpacker()
    unpacker.feed(response.content)
    assert list(unpacker) == [{"count": 0}, {"count": 1}]


async def test_an_error_in_a_stream_is_an_event(http, base):
    lines = (await http.get(f"{base}/svc/failing")).text.strip().split("\n\n")
    assert lines[0] == "data: 1" and lines[-1] == "data: [DONE]"
    error = json.loads(lines[1][6:])
    assert "in the middle" in error["error"] and "Traceback" not in error["traceback"]


async def test_leaving_a_stream_closes_the_generator(http, base, service):
    async with http.stream("GET", f"{base}/svc/endless") as response:
        async for line in response.aiter_lines():
            if line == "data: 3":
                break
    await asyncio.wait_for(service.closed.wait(), 10)


# --- lazy start ----------------------------------------------------------------------------

async def test_a_call_starts_the_app(http, api, controller, serving_worker, alice):
    app = await controller.install(
        source="x", manifest={"name": "Lazy", "type": serving_worker.kind, "version": "1.0.0"})
    for session in await controller.list_running():
        await controller.stop(session["id"])

    async def stopped():
        return not await controller.list_running()

    await eventually(stopped)
    described = await http.get(
        f"/{alice.workspace}/services/default@{app.id}", headers=bearer(alice.token()))
    assert described.status_code == 200, described.text
    response = await http.get(
        f"/{alice.workspace}/services/default@{app.id}/name", headers=bearer(alice.token()))
    assert response.status_code == 200, response.text
    assert len(await controller.list_running()) == 1
