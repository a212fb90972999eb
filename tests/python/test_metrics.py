"""What the server tells about itself: `/metrics` for Prometheus, `/health` for probes."""

import asyncio
import re

import httpx
import pytest

from fakes import RecordingWorker
from harness import bearer, eventually

SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-z_]+)="([^"]*)"')


@pytest.fixture
async def own(crashable):
    """A server that nobody else talks to."""
    server = crashable()
    server.start()
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
        server.http = client
        yield server


async def scrape(http):
    """All samples: {(name, ((label, value), …)): number}."""
    answer = await http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples = {}
    for line in answer.text.splitlines():
        if line.startswith("#"):
            assert re.match(r"# (HELP \S+ \S.*|TYPE \S+ (counter|gauge|histogram))$", line), line
            continue
        name, labels, number = SAMPLE.match(line).groups()
        key = (name, tuple(LABEL.findall(labels or "")))
        assert key not in samples, line
        samples[key] = float(number)
    return samples


async def value(http, name, **labels):
    samples = await scrape(http)
    return samples.get((name, tuple(labels.items())))


def reaches(http, expected, name, **labels):
    async def reached():
        return await value(http, name, **labels) == expected

    return eventually(reached, what=f"{name} {labels} is {expected}")


# --- /metrics ------------------------------------------------------------------------------

async def test_connections_by_transport(own, connect):
    assert await value(own.http, "rhizome_connections", transport="websocket") == 0
    one, _ = await connect(at=own), await connect(at=own)
    assert await value(own.http, "rhizome_connections", transport="websocket") == 2
    assert await value(own.http, "websocket_connections") == 2
    await one.disconnect()
    await reaches(own.http, 1, "rhizome_connections", transport="websocket")
    established = "rhizome_connections_established_total"
    assert await value(own.http, established, transport="websocket") == 2
    assert await value(own.http, established, transport="http") == 0


async def test_services_and_workspaces(own, connect, user):
    before = await scrape(own.http)
    api = await connect(user("counted", own), at=own)
    await api.register_service({"id": "one", "f": lambda: 1})
    after = await scrape(own.http)
    for name, more in (("rhizome_services", 2), ("rhizome_workspaces", 1)):
        assert after[name, ()] == before[name, ()] + more, name
    await api.disconnect()
    await reaches(own.http, before["rhizome_services", ()], "rhizome_services")


async def test_apps_and_sessions(own, connect, user):
    api = await connect(user("counted", own), at=own)
    worker = await RecordingWorker(own).register(api)
    controller = await api.get_service("public/server-apps")
    app = await controller.install(
        source="x", wait_for_service=False,
        manifest={"name": "Counted", "type": worker.kind, "version": "1.0.0"})
    await reaches(own.http, 1, "rhizome_apps")
    session = await controller.start(app.id, wait_for_service=False)
    await reaches(own.http, 1, "rhizome_sessions", status="running")
    here = {"workspace": session.workspace, "app": app.id}
    own.http.headers.update(bearer(own.root_token))
    await reaches(own.http, 1, "rhizome_app_sessions", **here, status="running")
    samples = await scrape(own.http)
    assert samples["rhizome_app_calls_in_flight", tuple(here.items())] == 0
    assert samples["rhizome_app_crashes", tuple(here.items())] == 0
    del own.http.headers["authorization"]
    assert not any("app" in dict(labels) for _, labels in await scrape(own.http)), "told to administrators only"
    await controller.stop(session.id)
    await reaches(own.http, 0, "rhizome_sessions", status="running")
    await worker.close()


async def traffic(http):
    samples = await scrape(http)
    names = ("frames_routed", "bytes_routed", "calls_routed", "frames_refused")
    return {name: samples[f"rhizome_{name}_total", ()] for name in names}


async def test_frames_are_counted_and_stay_counted(own, raw):
    peer = await raw(at=own)
    before = await traffic(own.http)
    text = "x" * 10_000
    for _ in range(5):
        assert await peer.call("echo", text) == ("resolve", text)
    during = await traffic(own.http)
    assert during["frames_routed"] == before["frames_routed"] + 5
    assert during["calls_routed"] == before["calls_routed"] + 5
    sent = during["bytes_routed"] - before["bytes_routed"]
    assert 50_000 < sent < 52_000
    assert during["frames_refused"] == before["frames_refused"]
    outcome, _ = await peer.call("hello", to=f"{peer.info['workspace']}/nobody")
    assert outcome == "reject"
    after = await traffic(own.http)
    assert after["frames_refused"] == during["frames_refused"] + 1
    await peer.close()
    await reaches(own.http, 0, "rhizome_connections", transport="websocket")
    assert await traffic(own.http) == after


async def test_counters_never_go_down_while_clients_come_and_go(own, raw):
    done = False

    async def come_and_go():
        for _ in range(15):
            peer = await raw(at=own)
            await peer.call("echo", "x" * 1000)
            await peer.close()

    async def watch():
        last = await traffic(own.http)
        while not done:
            now = await traffic(own.http)
            assert all(now[name] >= last[name] for name in now), (last, now)
            last = now

    watching = asyncio.ensure_future(watch())
    await asyncio.gather(*[come_and_go() for _ in range(4)])
    done = True
    await watching
    assert (await traffic(own.http))["frames_routed"] == 60


async def test_http_requests_by_route_and_status(own):
    for path in ("/nowhere", "/a/b/c", "/assets/config.json", "/lab/apps"):
        await own.http.get(path)
    await own.http.get("/assets/config.json", headers={"Authorization": "Bearer nonsense"})
    count = "rhizome_http_requests_total"
    samples = await scrape(own.http)

    def of(route, status):
        return samples[count, (("route", route), ("status", status))]

    assert of("other", "4xx") == 2
    assert (of("assets", "2xx"), of("assets", "4xx")) == (1, 1)
    assert of("apps", "4xx") == 1
    assert of("health", "2xx") >= 1
    seconds = "rhizome_http_request_seconds"
    assert samples[f"{seconds}_count", (("route", "other"),)] == 2
    assert samples[f"{seconds}_bucket", (("route", "other"), ("le", "+Inf"))] == 2
    assert 0 < samples[f"{seconds}_sum", (("route", "other"),)] < 10


async def test_connections_are_requests_without_seconds(own, connect):
    await connect(at=own)
    samples = await scrape(own.http)
    assert samples["rhizome_http_requests_total", (("route", "ws"), ("status", "1xx"))] == 1
    assert samples["rhizome_http_request_seconds_count", (("route", "ws"),)] == 0


async def test_requests_over_the_limit(crashable):
    server = crashable(env={"HYPHA_HTTP_RATE_LIMIT": "0.01", "HYPHA_HTTP_BURST_LIMIT": "2"})
    server.start()
    async with httpx.AsyncClient(base_url=server.url) as http:
        stranger = {"X-Forwarded-For": "192.0.2.1"}
        for _ in range(5):
            await http.get("/nowhere", headers=stranger)
        samples = await scrape(http)
    assert samples["rhizome_http_rate_limited_total", (("class", "anonymous"),)] == 3
    assert samples["rhizome_http_rate_limited_total", (("class", "authenticated"),)] == 0


async def test_a_client_that_reads_nothing_is_counted(crashable, raw):
    server = crashable(env={"RHIZOME_STUCK_AFTER": "1", "RHIZOME_MAILBOX_MESSAGES": "4"})
    server.start()
    deaf, sender = await raw(at=server), await raw(at=server)
    deaf.socket.transport.pause_reading()
    message = {"type": "method", "from": sender.address, "to": deaf.address, "method": "x"}
    async with httpx.AsyncClient(base_url=server.url) as http:
        async def flood():
            for _ in range(40):
                await sender.send(message, {"args": ["x" * 500_000]})

        flooding = asyncio.ensure_future(flood())
        await reaches(http, 1, "rhizome_mailbox_cuts_total")
        flooding.cancel()
    # An orderly close would wait for an answer that it does not read.
    deaf.socket.transport.abort()


async def test_process_and_store(own, connect, user):
    api = await connect(user("writer", own), at=own)
    await api.set_env("KEY", "value")
    samples = await scrape(own.http)
    assert 1e6 < samples["process_resident_memory_bytes", ()] < 1e9
    assert 0 < samples["rhizome_uptime_seconds", ()] < 600
    assert samples["rhizome_store_flush_seconds_count", ()] >= 1
    assert samples["rhizome_store_flush_seconds_sum", ()] > 0


async def test_the_names_of_the_reference(own, connect):
    api = await connect(at=own)
    before = await scrape(own.http)
    await api.echo("x")
    after = await scrape(own.http)
    for name in ("rpc_call_total", "client_requests_total"):
        assert after[name, ()] == before[name, ()] + 1
    for name in ("websocket_connections", "websocket_connections_established_total",
                 "client_load_current", "redis_pubsub_latency_seconds"):
        assert (name, ()) in after
    assert ("event_bus_total", (("event", "*"), ("status", "processed"))) in after


async def test_no_label_names_anybody(own, connect, user):
    somebody = user("somebody", own)
    api = await connect(somebody, at=own, client_id="a-client-with-a-name")
    await api.register_service({"id": "named-service", "f": lambda: 1})
    text = (await own.http.get("/metrics")).text
    for name in (somebody.id, somebody.workspace, "a-client-with-a-name", "named-service"):
        assert name not in text


# --- /health -------------------------------------------------------------------------------

async def test_health(http, api):
    answer = await http.get("/health")
    assert answer.status_code == 200
    health = answer.json()
    assert (health["status"], health["health_score"], health["issues"]) == ("HEALTHY", 100, [])
    assert 1 < health["memory"]["rss_mb"] < health["memory"]["vms_mb"]
    assert 0 < health["memory"]["percent"] < 100
    assert health["connections"]["active"] >= 1
    created, closed = (health["connections"][key] for key in ("total_created", "total_closed"))
    assert created == closed + health["connections"]["active"]
    assert health["objects"]["connection_objects"] == health["connections"]["active"]
    assert health["objects"]["rpc_objects"] >= 0
    assert health["event_bus"]["circuit_breaker_open"] is False
    assert len(health["system"]["load_average"]) == 3
    assert health["uptime_seconds"] > 0


@pytest.mark.parametrize("path", [
    "/health", "/health/readiness", "/health/liveness", "/metrics"])
async def test_head(http, path):
    got, head = await http.get(path), await http.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
