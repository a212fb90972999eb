"""The servers under measurement: Rhizome, the reference from PyPI, and the bare relay as a ceiling."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Both servers limit what one client may do; a benchmark measures the server, not its limits.
LIFTED = "100000000"
LIMITS = {name: LIFTED for name in (
    "HYPHA_WS_MSG_RATE_LIMIT", "HYPHA_WS_MSG_BURST_LIMIT", "HYPHA_MAX_CONNECTIONS_PER_USER",
    "HYPHA_MAX_CLIENTS_PER_WORKSPACE", "HYPHA_MAX_SERVICES_PER_CLIENT", "HYPHA_HTTP_RATE_LIMIT",
    "HYPHA_HTTP_BURST_LIMIT", "HYPHA_HTTP_AUTHENTICATED_RATE_LIMIT", "HYPHA_HTTP_AUTHENTICATED_BURST_LIMIT")}
START_WITHIN = 60.0
ROOT = Path(__file__).resolve().parents[2]

# Told to end, a benchmark ends its servers first.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A server process; `start` returns the seconds until it was ready."""

    name = ""

    def __init__(self):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = Path(tempfile.mkdtemp(prefix="rhizome-bench-"))
        self.process = None

    def command(self):
        raise NotImplementedError

    def environment(self):
        """What is set besides the limits."""
        return {}

    def is_ready(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2) as probe:
                probe.sendall(b"GET /health/readiness HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                return b" 200 " in probe.recv(4096).split(b"\r\n", 1)[0]
        except OSError:
            return False

    def start(self):
        log = open(self.folder / "server.log", "ab")
        began = time.monotonic()
        self.process = subprocess.Popen(
            self.command(), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, **LIMITS, "RHIZOME_ASSETS_DIR": str(ROOT / "runtimes"), **self.environment()})
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() - began > START_WITHIN:
                self.process.kill()
                raise RuntimeError(f"{self.name} did not start\n{(self.folder / 'server.log').read_text()[-3000:]}")
            time.sleep(0.001)
        return time.monotonic() - began

    def rss_kib(self):
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1])

    def stop(self):
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        self.ready_after = self.start()
        return self

    def __exit__(self, *_):
        self.stop()


class Rhizome(Process):
    name = "Rhizome"
    binary = None

    def __init__(self):
        super().__init__()
        self.root_token = secrets.token_hex(40)

    def command(self):
        return [self.binary, "serve", "--host", "127.0.0.1", "--port", str(self.port), "--log-level", "warn",
                "--data-dir", str(self.folder / "data"), "--root-token", self.root_token]


class Reference(Process):
    name = "reference"
    python = None

    def command(self):
        return [self.python, "-m", "hypha.server", "--host", "127.0.0.1", "--port", str(self.port)]


class Ceiling(Process):
    """`hyphaload ceiling-relay`: reads the target of a frame and passes it on, nothing else."""

    name = "ceiling"
    hyphaload = None

    def command(self):
        return [self.hyphaload, "ceiling-relay", "--listen", f"127.0.0.1:{self.port}", "--lifetime", "7200"]

    def is_ready(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 2).close()
            return True
        except OSError:
            return False
