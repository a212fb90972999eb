"""`rhizome app`: the command line for developers of apps, as a process of its own."""

import asyncio
import json
import os

import pytest

from harness import binary, eventually


@pytest.fixture
def cli(server, alice, tmp_path):
    """Runs `rhizome app …` as alice; gives standard output, or fails with what it printed."""
    env = {**os.environ, "HYPHA_SERVER_URL": server.url, "HYPHA_TOKEN": alice.token(),
           "XDG_CONFIG_HOME": str(tmp_path / "config")}

    async def start(*args, stdin=None, **extra):
        return await asyncio.create_subprocess_exec(
            *binary(), "app", *args, env={**env, **extra}, stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)

    async def run(*args, stdin=b"", fails=False, **extra):
        process = await start(*args, **extra)
        out, err = await asyncio.wait_for(process.communicate(stdin), 60)
        assert (process.returncode != 0) == fails, (out, err)
        return (err if fails else out).decode()

    run.start, run.env = start, env
    return run


@pytest.fixture
def folder(tmp_path, serving_worker):
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "manifest.yaml").write_text(
        f"name: Command\ntype: {serving_worker.kind}\nversion: 1.0.0\nentry_point: main.txt\n")
    (folder / "main.txt").write_text("first")
    (folder / "data.bin").write_bytes(b"\x00\xff")
    (folder / ".hidden").write_text("not sent")
    return folder


async def test_the_life_of_an_app(cli, folder, controller, serving_worker):
    shown = await cli("install", str(folder), "--id", "command-app")
    assert "command-app" in shown and "1.0.0" in shown
    names = {f["name"] for f in await controller.list_files("command-app")}
    assert {"main.txt", "data.bin"} <= names and ".hidden" not in names
    assert "command-app" in await cli("list")
    assert "no session is running" in await cli("list", "--running")
    session = json.loads(await cli("--json", "start", "command-app"))["id"]
    assert session in await cli("list", "--running")
    assert await cli("call", "default@command-app", "echo", '{"a": 1}') == '{\n  "a": 1\n}\n'
    assert await cli("call", "default@command-app", "echo", "text") == "text\n"
    assert "echo" in (await cli("call", "default@command-app")).splitlines()
    assert await cli("logs", "command-app") == "started\n"
    serving_worker.logs[session] = [f"line {n}" for n in range(700)]
    assert (await cli("logs", session)).splitlines()[-1] == "line 699"
    assert (await cli("logs", session, "-n", "2")).splitlines() == ["line 698", "line 699"]
    executed = json.loads(await cli("exec", "command-app", "-", stdin=b"print(1)"))
    assert executed["outputs"][0]["text"] == "print(1)"
    assert json.loads(await cli("info", session))["app_id"] == "command-app"
    assert session in await cli("stop", "command-app")
    assert "nothing was running" in await cli("stop", "command-app")
    await cli("uninstall", "command-app")
    assert "command-app" not in await cli("list")


async def test_following_logs(cli, folder, serving_worker):
    await cli("install", str(folder), "--id", "followed")
    session = json.loads(await cli("--json", "start", "followed"))["id"]
    process = await cli.start("logs", "-f", session)
    assert await asyncio.wait_for(process.stdout.readline(), 10) == b"started\n"
    serving_worker.logs[session].append("later")
    assert await asyncio.wait_for(process.stdout.readline(), 10) == b"later\n"
    process.terminate()
    await process.wait()


async def test_developing(cli, folder, controller, serving_worker):
    """Each change of a file is a new installation and a new session."""
    process = await cli.start("dev", str(folder), "--id", "developed")
    lines = []

    async def collect():
        async for line in process.stdout:
            lines.append(line.decode())

    reading = asyncio.create_task(collect())
    await eventually(lambda: any("developed runs as" in line for line in lines), timeout=20)
    await eventually(lambda: "started\n" in lines, timeout=10)
    (folder / "main.txt").write_text("second")

    async def renewed():
        return await controller.read_file("developed", "main.txt") == "second"

    await eventually(renewed, timeout=20)
    await eventually(lambda: sum("runs as" in line for line in lines) == 2, timeout=20)
    process.terminate()
    await process.wait()
    reading.cancel()


async def test_what_goes_wrong_is_said(cli, tmp_path, folder):
    assert "No such file" in await cli("install", str(tmp_path / "none"), fails=True)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "manifest.yaml" in await cli("install", str(empty), fails=True)
    assert "does not exist" in await cli("start", "no-such-app", fails=True)
    assert "no session" in await cli("logs", "no-such-app", fails=True)
    assert "cannot connect" in await cli("list", "--server", "http://127.0.0.1:9", fails=True)
    refused = await cli("list", fails=True, HYPHA_TOKEN="nonsense")
    assert "refused" in refused and "nonsense" not in refused
    assert "has no function nope" in await cli("call", "public/server-apps", "nope", fails=True)


async def test_the_profile_names_server_and_token(cli, alice, server, tmp_path):
    profile = tmp_path / "config" / "rhizome" / "client.toml"
    profile.parent.mkdir(parents=True)
    profile.write_text(f'server = "{server.url}"\ntoken = "{alice.token()}"\n')
    shown = await cli("list", HYPHA_SERVER_URL="", HYPHA_TOKEN="")
    assert "no app is installed" in shown
    profile.write_text("sever = 1")
    assert "client.toml" in await cli("list", fails=True)


async def test_completions(cli):
    process = await asyncio.create_subprocess_exec(
        *binary(), "completions", "bash", stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0 and b"uninstall" in out
