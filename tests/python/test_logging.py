"""The log: lines that machines can read, and no secret in any of them."""

import base64
import json

import httpx
import pytest

from fakes import RecordingWorker
from harness import RawPeer, Refused, Server, User, eventually, failure

LEVELS = {"ERROR", "WARN", "INFO", "DEBUG", "TRACE"}


@pytest.fixture
def logging(crashable):
    """A server with a log of its own."""
    def start(*args, **options):
        server = crashable(args=("--enable-server-apps", *args), **options)
        server.start()
        return server

    return start


def lines(server):
    return server.log.read_text(errors="replace").splitlines()


def parsed(server):
    """All lines as objects."""
    out = []
    for line in lines(server):
        try:
            out.append(json.loads(line))
        except ValueError:
            pytest.fail(f"not JSON: {line}")
    return out


class Secrets:
    """Every secret that a test sends, whole and in parts."""

    def __init__(self, server):
        self.all = {server.root_token, server.jwt_secret}

    def __call__(self, token):
        self.all.add(token)
        return token

    def found_in(self, text):
        parts = set(self.all)
        for token in self.all:
            if token.count(".") == 2:
                # The signature makes a token; the claims alone tell who it is for.
                parts |= {part for part in token.split(".")[1:] if len(part) > 8}
            parts.add(base64.b64encode(f"user:{token}".encode()).decode())
        return sorted(part for part in parts if part in text)


async def connections(server, user, secret):
    """Comes in by every door, and is turned away at some."""
    good = [secret(user.token()) for _ in range(2)]
    expired = secret(user.token(exp=1))
    forged = secret(user.token(secret="another secret that is long enough"))
    narrow = secret(user.token(extra=["get_file:x"]))
    peer = await RawPeer.open(server, token=good[0])
    returning = secret(peer.info["reconnection_token"])
    await peer.text({"type": "refresh_token"})
    secret((await peer.next_text())["reconnection_token"])
    await peer.text(good[0])
    await peer.socket.send(good[0].encode())
    again = await RawPeer.open(server, client_id=peer.info["client_id"],
                               reconnection_token=returning)
    for peer in (peer, again):
        await peer.close()
    for auth in ({"token": expired}, {"token": forged}, {"token": narrow}, {"client_id": good[0]},
                 {"token": good[0], "workspace": good[1]}, {"reconnection_token": good[0]},
                 {"reconnection_token": expired}, {"workspace": good[0]},
                 {"first": json.dumps(good[0])}, {"first": good[0]}, {"first": good[0].encode()},
                 {"first": json.dumps({"client_id": "x", "token": [good[0]]})},
                 {"first": json.dumps({"client_id": {good[0]: 1}})},
                 {"query": f"?token={good[0]}"}):
        with pytest.raises(Refused):
            await RawPeer.open(server, **auth)
    root = await RawPeer.open(server, token=server.root_token)
    secret(root.info["reconnection_token"])
    await root.close()


async def calls(server, user, secret, connect):
    """Sends tokens where arguments belong, and where they do not."""
    token = secret(user.token())
    api = await connect(user, at=server, token=token)
    child = secret(await api.generate_token({"permission": "read_write"}))
    await api.parse_token(child)
    await api.echo(child)
    await api.log(f"my token is {child}")
    await api.revoke_token(child)
    for call in (api.parse_token(child), api.parse_token(f"{child}x"), api.revoke_token("x.y.z"),
                 api.get_service(child), api.get_service(f"public/{child}"),
                 api.list_services({child: 1}), api.create_workspace({"id": token}),
                 api.ping(token), api.register_service({"id": token, "config": token}),
                 api.set_env(token, {token: token})):
        try:
            await call
        except Exception:  # most of them are nonsense
            pass
    peer = await RawPeer.open(server, token=token)
    await peer.send({"type": "method", "to": token, "from": token, "method": token,
                     "session": token}, {"args": [token]})
    await peer.send({"type": token, "to": "*"}, {"args": [token]})
    assert await peer.alive()
    await peer.close()
    worker = await RecordingWorker(server).register(api)
    controller = await api.get_service("public/server-apps")
    app = await controller.install(
        source=f"// {token}", wait_for_service=False,
        manifest={"name": "Logged", "type": worker.kind, "version": "1.0.0"})
    await controller.start(app.id, wait_for_service=False)
    await controller.uninstall(app.id)
    await worker.close()


async def requests(server, user, secret):
    """Sends tokens in every part of a request."""
    token = secret(user.token())
    expired = secret(user.token(exp=1))
    basic = {"Authorization": "Basic " + base64.b64encode(f"user:{token}".encode()).decode()}
    paths = ["/assets/config.json", f"/{user.workspace}/apps", "/admin/tree", "/health",
             f"/{user.workspace}/services/", "/metrics", "/nowhere"]
    async with httpx.AsyncClient(base_url=server.url) as http:
        for path in paths:
            for value in (token, expired):
                for headers in ({"Authorization": f"Bearer {value}"}, {"Authorization": value},
                                basic, {"Cookie": f"access_token={value}"},
                                {"X-Forwarded-For": value}, {"Origin": value}):
                    await http.get(path, headers=headers)
                await http.get(path, params={"token": value, "access_token": value})
                await http.post(path, json={"token": value})
        await http.get(f"/{token}/apps", headers={"Authorization": f"Bearer {token}"})
        await http.get(f"/{user.workspace}/services/{token}/f?token={token}")
        await http.get(f"/_pages/{secret('a-key-of-a-page')}/index.html")
        await http.get("/admin/tree", headers={"Authorization": f"Bearer {server.root_token}"})
    secret(f"user:{token}")


@pytest.mark.parametrize("form", ["json", "text"])
async def test_no_secret_is_logged_at_any_level(logging, connect, form):
    server = logging("--log-level=trace", f"--log-format={form}",
                     env={"HYPHA_ACCESS_LOG": "true", "HYPHA_HTTP_RATE_LIMIT": "0"})
    secret = Secrets(server)
    user = User(server, "logged")
    await connections(server, user, secret)
    await calls(server, user, secret, connect)
    await requests(server, user, secret)
    server.stop()
    text = server.log.read_text()
    assert secret.found_in(text) == []
    assert "<secret>" in text, "nothing that was sent was ever printed"
    assert "connection refused" in text and "unreadable authentication frame" in text
    assert f"/{user.workspace}/apps" in text
    if form == "json":
        objects = parsed(server)
        assert len(objects) > 100
        assert all({"timestamp", "level", "target", "fields"} <= set(line) for line in objects)
        assert {line["level"] for line in objects} <= LEVELS


async def test_json_lines_to_the_end(logging):
    server = logging("--log-format=json", "--redis-uri=x")
    server.stop()
    messages = [line["fields"].get("message") for line in parsed(server)]
    assert "ready" in messages and "stopping" in messages


async def test_a_failed_start_is_a_json_line_too(logging, tmp_path):
    server = logging("--log-format=json")
    other = Server(tmp_path / "other", tmp_path / "other.log", args=("--log-format=json",))
    other.port = server.port
    with pytest.raises(Exception):
        # It finds the port taken, and the first server's answers do not make it ready.
        other.ready = lambda: False
        other.start()
    last = parsed(other)[-1]
    assert last["level"] == "ERROR"
    assert last["fields"]["message"].startswith("cannot listen on 127.0.0.1:")


async def test_text_is_the_default(logging):
    server = logging()
    assert any(line.endswith(f'ready url="{server.url}"') for line in lines(server))


@pytest.mark.parametrize("args, env, text", [
    (("--log-format=xml",), {}, "unknown variant `xml`, expected `text` or `json`"),
    ((), {"RHIZOME_LOG_FORMAT": "xml"}, "unknown variant `xml`, expected `text` or `json`"),
    (("--log-level=rhizome=loud",), {}, 'log.level "rhizome=loud" cannot be read'),
])
async def test_wrong_settings_are_named(crashable, args, env, text):
    with pytest.raises(RuntimeError) as failed:
        crashable(args=args, env=env).start()
    assert text in str(failed.value)


async def test_libraries_are_silent_unless_they_are_named(logging):
    quiet = logging("--log-level=trace", "--log-format=json")
    quiet.stop()
    targets = {line["target"].split("::")[0] for line in parsed(quiet)}
    assert targets == {"rhizome"}


# --- the access log ------------------------------------------------------------------------

async def get(server, path, **headers):
    async with httpx.AsyncClient(base_url=server.url) as http:
        return await http.get(path, headers=headers)


def accesses(server, path):
    return [line["fields"] for line in parsed(server)
            if line["target"] == "rhizome::access" and line["fields"]["path"] == path]


async def test_requests_are_logged_when_asked_for(logging):
    server = logging("--log-format=json", env={"HYPHA_ACCESS_LOG": "true"})
    await get(server, "/some/path?token=secret", **{"X-Forwarded-For": "192.0.2.1"})
    line, = await eventually(lambda: accesses(server, "/some/path"))
    assert line["ms"] > 0
    del line["ms"]
    assert line == {"message": "request", "client": "192.0.2.1", "method": "GET",
                    "path": "/some/path", "status": 404}
    levels = {line["level"] for line in parsed(server) if line["target"] == "rhizome::access"}
    assert levels == {"DEBUG"}


async def test_requests_are_not_logged_otherwise(logging):
    server = logging("--log-format=json", "--log-level=trace")
    await get(server, "/some/path")
    server.stop()
    assert accesses(server, "/some/path") == []


# --- levels --------------------------------------------------------------------------------

async def test_mistakes_of_clients_are_no_errors(logging, connect, raw):
    """Nobody has to get up for what clients do wrong (workspace.md 8, rule 20)."""
    server = logging("--log-format=json", "--log-level=debug")
    user = User(server, "clumsy")
    for auth in ({"token": user.token(exp=1)}, {"token": "nonsense"}, {"first": "nonsense"}):
        with pytest.raises(Refused):
            await RawPeer.open(server, **auth)
    api = await connect(user, at=server)
    for call in (api.get_service("nobody"), api.parse_token("x"), api.set_env(1, 2),
                 api.create_workspace({"id": "Bad Name"})):
        await failure(call)
    peer = await raw(user, at=server)
    await peer.send({"type": "method", "to": f"{user.workspace}/gone", "method": "x"}, {"args": []})
    await peer.socket.send(b"\xff\xff\xff")
    assert await peer.alive()
    peer.socket.transport.abort()
    for path, token in (("/assets/config.json", "nonsense"), ("/nowhere", user.token(exp=1))):
        await get(server, path, Authorization=f"Bearer {token}")
    await api.disconnect()
    server.stop()
    loud = [line for line in parsed(server) if line["level"] in ("WARN", "ERROR")]
    assert loud == []
    assert any("frame dropped" in str(line) for line in parsed(server))
