"""What the suites share: the server under test, users with tokens, raw peers, waiting."""

import asyncio
import base64
import hashlib
import hmac
import inspect
import json
import os
import secrets
import shlex
import signal
import socket
import subprocess
import time
import uuid
from pathlib import Path

import httpx
import msgpack
import pytest
import websockets

ROOT = Path(__file__).resolve().parents[2]
READY_WITHIN = 20.0


# --- waiting -------------------------------------------------------------------------------

async def eventually(condition, timeout=10.0, every=0.05, what=None):
    """Polls `condition` (plain or async) until it is true, and returns its value."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not true within {timeout} s: {what or condition}")
        await asyncio.sleep(every)


async def failure_text(awaitable):
    """Awaits what must fail; returns the whole text of its error."""
    with pytest.raises(Exception) as raised:
        await awaitable
    return str(raised.value)


async def failure(awaitable):
    """Awaits what must fail; returns the last line of its error, `Class: message`."""
    lines = (await failure_text(awaitable)).strip().splitlines()
    return lines[-1].removeprefix("RemoteError:").strip()


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


# --- the server ----------------------------------------------------------------------------

def binary():
    """RHIZOME_BIN, else what a dev build leaves behind."""
    if os.environ.get("RHIZOME_BIN"):
        return shlex.split(os.environ["RHIZOME_BIN"])
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    return [str(target / "debug" / "rhizome")]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One server process on a data directory that may outlive it."""

    def __init__(self, data_dir, log, args=("--enable-server-apps", "--enable-mcp"), env=None):
        self.data_dir, self.log, self.args = Path(data_dir), Path(log), list(args)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.jwt_secret = secrets.token_urlsafe(32)
        self.root_token = secrets.token_hex(40)
        self.env = env or {}
        self.process = None

    @property
    def pid(self):
        return self.process.pid

    def start(self):
        """Returns the seconds until /health/readiness answered 200."""
        command = binary() + ["serve", "--host", "127.0.0.1", "--port", str(self.port),
                              "--data-dir", str(self.data_dir), *self.args]
        env = {**os.environ, "HYPHA_JWT_SECRET": self.jwt_secret,
               "HYPHA_ROOT_TOKEN": self.root_token,
               "RHIZOME_ASSETS_DIR": str(ROOT / "runtimes"), **self.env}
        started = time.monotonic()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, env=env, cwd=ROOT, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True)
        while not self.ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"the server exited with {self.process.returncode}\n{self.tail()}")
            if time.monotonic() - started > READY_WITHIN:
                self.kill()
                raise RuntimeError(f"the server was not ready in {READY_WITHIN} s\n{self.tail()}")
            time.sleep(0.01)
        return time.monotonic() - started

    def ready(self):
        try:
            return httpx.get(f"{self.url}/health/readiness", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def kill(self):
        """kill -9 of the server alone, as a crash would do it."""
        self.process.kill()
        self.process.wait()

    def stop(self, within=20):
        """An orderly stop; whatever the server leaves behind in its session is ended after it."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(within)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        return self.process.returncode

    def tail(self, lines=60):
        text = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return f"--- last lines of {self.log.name}\n" + "\n".join(text[-lines:])


class RunningServer:
    """A server that somebody else started: RHIZOME_URL, RHIZOME_JWT_SECRET, RHIZOME_ROOT_TOKEN."""

    def __init__(self, url):
        self.url = url.rstrip("/")
        self.jwt_secret = os.environ["RHIZOME_JWT_SECRET"]
        self.root_token = os.environ["RHIZOME_ROOT_TOKEN"]
        self.pid = None

    def start(self):
        assert httpx.get(f"{self.url}/health/readiness", timeout=5).status_code == 200

    def stop(self):
        pass

    def tail(self):
        return ""


def descendants(pid):
    """Process ids and command lines of all that `pid` started, itself left out."""
    children = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (OSError, IndexError):
            continue  # it ended meanwhile
        children.setdefault(parent, []).append((int(entry.name), command))
    found, todo = [], [pid]
    while todo:
        for child in children.get(todo.pop(), []):
            found.append(child)
            todo.append(child[0])
    return found


def chromium(server, kind):
    """The process ids of Chromium's processes of one kind; "" is the browser itself."""
    found = []
    for pid, command in descendants(server.pid):
        program, _, arguments = command.partition(" ")
        if "chrom" in program and "crashpad" not in program:
            given = next((a for a in arguments.split() if a.startswith("--type=")), "--type=")
            if given == f"--type={kind}":
                found.append(pid)
    return found


def alive(pid):
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


# --- users ---------------------------------------------------------------------------------

ISSUER, AUDIENCE = "https://amun.ai/", "https://amun-ai.eu.auth0.com/api/v2/"


def jwt(secret, claims, header=None):
    """An HS256 token of exactly these claims."""
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    encoded = [part(json.dumps(x, separators=(",", ":")).encode())
               for x in (header or {"alg": "HS256", "typ": "JWT"}, claims)]
    signed = b".".join(encoded)
    signature = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    return (signed + b"." + part(signature)).decode()


def claims(user_id, scope, roles=(), email=None, parent=None, expires_in=3600, **changed):
    now = int(time.time())
    out = {"iss": ISSUER, "sub": user_id, "aud": AUDIENCE, "iat": now, "exp": now + expires_in,
           "scope": scope, "gty": "client-credentials",
           "https://amun.ai/roles": list(roles), "https://amun.ai/email": email}
    if parent:
        out["https://amun.ai/parent"] = parent
    return {**out, **changed}


class User:
    """A registered user with a workspace of their own."""

    def __init__(self, server, name):
        self.server = server
        self.id = f"{name}-{uuid.uuid4().hex[:8]}"
        self.workspace = f"ws-user-{self.id}"

    def token(self, permission="a", workspace=None, client_id=None, extra=(), secret=None, **claim):
        workspace = workspace or self.workspace
        scope = [f"ws:{workspace}#{permission}"]
        scope += [f"cid:{client_id}"] if client_id else []
        scope += [f"wid:{workspace}", *extra]
        return jwt(secret or self.server.jwt_secret, claims(self.id, " ".join(scope), **claim))


# --- raw peers -----------------------------------------------------------------------------

class Refused(Exception):
    """The server's no to a handshake: its error text (None if it sent none) and how it closed."""

    def __init__(self, message, code, reason):
        super().__init__(f"{message!r}, close {code} {reason!r}")
        self.message, self.code, self.reason = message, code, reason


def ws_url(server):
    return server.url.replace("http", "ws", 1) + "/ws"


class RawPeer:
    """A client that speaks the wire protocol by hand and sends whatever a test wants to send."""

    def __init__(self, socket):
        self.socket, self.info = socket, None

    @classmethod
    async def open(cls, server, first=None, query="", **auth):
        """Handshakes with `auth`, or sends `first` (text or bytes) in its place."""
        socket = await websockets.connect(ws_url(server) + query, max_size=None, compression=None)
        peer = cls(socket)
        if first is None and not query:
            fields = dict.fromkeys(("client_id", "workspace", "token", "reconnection_token"))
            first = json.dumps({**fields, "client_id": f"raw-{uuid.uuid4().hex[:8]}", **auth})
        error = None
        try:
            if first is not None:
                await socket.send(first)
            reply = json.loads(await asyncio.wait_for(socket.recv(), 15))
            if reply["type"] == "connection_info":
                peer.info = reply
                return peer
            error = reply["message"]
            await asyncio.wait_for(socket.recv(), 15)
        except websockets.ConnectionClosed:
            pass
        raise Refused(error, socket.close_code, socket.close_reason)

    @property
    def address(self):
        return f"{self.info['workspace']}/{self.info['client_id']}"

    @property
    def manager(self):
        return f"*/{self.info['manager_id']}"

    async def text(self, message):
        await self.socket.send(message if isinstance(message, str) else json.dumps(message))

    async def next_text(self, timeout=10):
        while True:
            frame = await asyncio.wait_for(self.socket.recv(), timeout)
            if isinstance(frame, str):
                return json.loads(frame)

    async def send(self, header, body=None):
        frame = msgpack.packb(header)
        await self.socket.send(frame if body is None else frame + msgpack.packb(body))

    async def next_frame(self, wanted=lambda header: True, timeout=10):
        """The next binary frame whose header is `wanted`, as (header, body)."""
        deadline = time.monotonic() + timeout
        while True:
            frame = await asyncio.wait_for(self.socket.recv(), deadline - time.monotonic())
            if isinstance(frame, str):
                continue
            unpacker = msgpack.Unpacker(max_buffer_size=0)
            unpacker.feed(frame)
            header, *rest = list(unpacker)
            if wanted(header):
                return header, (rest[0] if rest else None)

    async def call(self, method, *args, to=None, service="services.default", timeout=10):
        """Calls with a promise; returns ("resolve" | "reject", value)."""
        session = uuid.uuid4().hex
        header = {"type": "method", "from": self.address, "to": to or self.manager,
                  "method": f"{service}.{method}", "session": session}
        await self.send(header, {"args": list(args), "promise": "*", "t": 15.0})
        answers = (f"{session}.resolve", f"{session}.reject")
        reply, body = await self.next_frame(lambda h: h.get("method") in answers, timeout)
        return reply["method"].rsplit(".", 1)[1], body["args"][0]

    async def register_built_in(self):
        """The presence record that a real client registers before any other service."""
        name = f"{self.address}:built-in"
        config = {"visibility": "public", "require_context": True, "api_version": 3}
        return await self.call("register_service", {
            "id": name, "name": name, "type": "built-in", "config": config, "app_id": "*"})

    async def alive(self):
        """True if the connection still answers on both levels."""
        await self.text({"type": "ping"})
        pong = (await self.next_text())["type"] == "pong"
        return pong and (await self.call("echo", "still here")) == ("resolve", "still here")

    async def close(self):
        await self.socket.close()


class StreamPeer:
    """The same over HTTP: a stream to read, and a request for each message it sends."""

    def __init__(self, server, http, token, auth):
        self.server, self.http, self.token, self.auth = server, http, token, auth
        self.response = self.info = None
        self.buffer = b""

    @classmethod
    async def open(cls, server, token=None, http=None, **auth):
        """Opens a stream with `auth` as its query; `info` is None if it was refused."""
        http = http or httpx.AsyncClient(base_url=server.url, timeout=60)
        auth.setdefault("client_id", f"raw-{uuid.uuid4().hex[:8]}")
        peer = cls(server, http, token, {k: v for k, v in auth.items() if v is not None})
        request = http.build_request("GET", "/rpc", params=peer.auth, headers=peer.headers())
        peer.response = await http.send(request, stream=True)
        if peer.response.status_code == 200:
            peer.pieces = peer.response.aiter_raw()
            peer.info = (await peer.next_message())[0]
        else:
            await peer.response.aread()
        return peer

    def headers(self):
        return bearer(self.token) if self.token else {}

    @property
    def address(self):
        return f"{self.info['workspace']}/{self.info['client_id']}"

    async def _exactly(self, count):
        while len(self.buffer) < count:
            self.buffer += await anext(self.pieces)
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    async def _message(self):
        length = int.from_bytes(await self._exactly(4), "big")
        unpacker = msgpack.Unpacker(max_buffer_size=0)
        unpacker.feed(await self._exactly(length))
        return list(unpacker)

    async def next_message(self, wanted=lambda header: True, timeout=15):
        """The next message whose header is `wanted`, as its maps. StopAsyncIteration at the end."""
        deadline = time.monotonic() + timeout
        while True:
            message = await asyncio.wait_for(self._message(), deadline - time.monotonic())
            if wanted(message[0]):
                return message

    async def ended(self, timeout=15):
        """Waits for the end of the stream: "clean", or how it broke."""
        try:
            await self.next_message(lambda _: False, timeout)
        except StopAsyncIteration:
            return "clean"
        except httpx.TransportError as error:
            return type(error).__name__

    async def post(self, header, body=None, token=None, **query):
        """Sends a message, with another token or none ("") if one is given; returns the response."""
        frame = header if isinstance(header, bytes) else msgpack.packb(header)
        query = {"client_id": self.info["client_id"], "workspace": self.info["workspace"], **query}
        headers = self.headers() if token is None else bearer(token) if token else {}
        return await self.http.post(
            "/rpc", params={k: v for k, v in query.items() if v is not None}, headers=headers,
            content=frame if body is None else frame + msgpack.packb(body))

    async def call(self, method, *args, to=None, timeout=10):
        """Calls the manager, or `to`; returns ("resolve" | "reject", value)."""
        session = uuid.uuid4().hex
        header = {"type": "method", "to": to or f"*/{self.info['manager_id']}", "session": session,
                  "method": f"services.default.{method}"}
        response = await self.post(header, {"args": list(args), "promise": "*", "t": 15.0})
        assert response.status_code == 200, response.text
        answers = (f"{session}.resolve", f"{session}.reject")
        reply, body = await self.next_message(lambda h: h.get("method") in answers, timeout)
        return reply["method"].rsplit(".", 1)[1], body["args"][0]

    async def close(self):
        await self.response.aclose()
        await self.http.aclose()


class Wire:
    """A TCP line to the server that a test can cut, or let go dead without a sign."""

    def __init__(self, server):
        self.server, self.dead, self.lines = server, False, []

    async def start(self):
        self.listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.listener.sockets[0].getsockname()[1]}"
        return self

    async def _accept(self, reader, writer):
        port = int(self.server.url.rsplit(":", 1)[1])
        upstream, down = await asyncio.open_connection("127.0.0.1", port)
        self.lines += [writer, down]
        await asyncio.gather(self._carry(reader, down), self._carry(upstream, writer))

    async def _carry(self, source, sink):
        try:
            while data := await source.read(65536):
                if not self.dead:
                    sink.write(data)
                    await sink.drain()
        except OSError:
            pass
        if not self.dead:
            sink.close()

    def cut(self):
        """Ends all connections of the line at once; new ones are possible."""
        for line in self.lines:
            line.transport.abort()
        self.lines = []

    def stop(self):
        self.dead = True
        self.cut()
        self.listener.close()


async def leave_waiting(raw, who, api, service, method, args, names=None):
    """Calls a method of a service of the server that waits, and leaves before it answers.

    With `names` the arguments go by name.

    Returns when the server has noticed; `api` is another client in the workspace of `who`.
    """
    address, service_id = service["id"].split(":")
    peer = await raw(who)
    await peer.send({"type": "method", "from": peer.address, "to": address, "session": uuid.uuid4().hex,
                     "method": f"services.{service_id}.{method}"},
                    {"args": [dict(zip(names, args))] if names else args, "with_kwargs": bool(names),
                     "promise": "*", "t": 15.0})
    # Messages of one connection are taken in order, so the call has begun when this is answered.
    assert await peer.call("echo", 1) == ("resolve", 1)
    client = peer.info["client_id"]
    await peer.close()

    async def gone():
        return all(client not in str(entry) for entry in await api.list_clients())

    await eventually(gone)
