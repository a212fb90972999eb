"""Processes that a fault run kills, and how they are found."""

import asyncio
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

from harness import descendants

SCRIPT = Path(__file__).with_name("fault_worker.py")


class WorkerProcess:
    """`fault_worker.py` as a child of the test."""

    def __init__(self, process, client_id):
        self.process, self.client_id = process, client_id

    @classmethod
    async def start(cls, server, user, type_name):
        client_id = f"worker-{uuid.uuid4().hex[:8]}"
        while True:
            with open(log_of(server), "ab") as log:
                process = subprocess.Popen(
                    [sys.executable, str(SCRIPT), server.url, user.token(), type_name, client_id], text=True,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
            worker = cls(process, client_id)
            if await worker.said() == "ready":
                return worker
            worker.kill()  # the server was not there
            await asyncio.sleep(0.3)

    async def said(self):
        return (await asyncio.to_thread(self.process.stdout.readline)).strip()

    def tell(self, command):
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()

    async def sessions(self):
        self.tell("sessions")
        return json.loads(await asyncio.wait_for(self.said(), 10))

    def kill(self):
        self.process.kill()
        self.end()

    def end(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(10)


def log_of(server):
    """Where workers write what their client library says."""
    return server.log.with_name("workers.log")


def startup_hosts(server):
    """The processes that run startup functions."""
    return [pid for pid, command in descendants(server.pid) if "/host." in command]


def processes_of(server):
    """All processes whose command line or environment names the server's data folder."""
    needle, found = str(server.data_dir).encode(), []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
        except OSError:
            continue  # it ended, or is another user's
        if needle in command or needle in environment:
            found.append((int(entry.name), command.replace(b"\0", b" ").decode(errors="replace")[:150]))
    return found


def orphans(server):
    """The processes of a server that it did not start, nor share the profile folder of one that it did start.

    Chromium's crash handlers have left the family; they end with the Chromium whose folder they are in.
    """
    ours = {server.pid, *(pid for pid, _ in descendants(server.pid))}
    folders = {folder_of(pid) for pid in ours} - {folder_of(server.pid)}
    return [(pid, command) for pid, command in processes_of(server)
            if pid not in ours and folder_of(pid) not in folders]


def folder_of(pid):
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return None
