"""Startup functions: the boot waits for them, they are supervised, they may decide who users are."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap

import httpx
import pytest
from hypha_rpc import connect_to_server

from harness import ROOT, alive, bearer, binary, descendants, eventually, failure_text, free_port

pytestmark = pytest.mark.ours
PYTHON = {"RHIZOME_PYTHON": sys.executable, "RHIZOME_ASSETS_DIR": str(ROOT / "runtimes")}


def write(folder, name, text):
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


@pytest.fixture
def startup(crashable, tmp_path):
    """A server that is up with these startup functions: `startup("code…", …)`."""

    def start(*sources, env=None, functions=(), **options):
        entries = [f"{write(tmp_path, f'start_{n}.py', source)}:hypha_startup"
                   for n, source in enumerate(sources)]
        server = crashable(args=["--enable-server-apps", "--startup-functions", *entries, *functions],
                           env={**PYTHON, "RHIZOME_BROWSER": "false", **(env or {})}, **options)
        server.start()
        return server

    return start


def try_to_start(tmp_path, *functions, env=None, within=30):
    """Runs a server whose boot must fail; its exit code and output."""
    command = binary() + ["serve", "--port", str(free_port()), "--data-dir", str(tmp_path / "data"),
                          "--startup-functions", *functions]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **PYTHON, **(env or {})}, timeout=within,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout.decode(errors="replace")


def hosts(server):
    return [pid for pid, command in descendants(server.pid) if "host." in command]


ECHO = """
    async def hypha_startup(server):
        assert server.register_codec and server.rpc and server.disconnect
        assert server.config.workspace == "public" and server.config.user["id"] == "root"
        await server.register_service({
            "id": "startup-echo", "config": {"visibility": "public", "require_context": False},
            "test": lambda x: x + 99})
        print("said by the startup function")
"""


async def test_services_are_there_when_the_server_is_ready(startup, connect, user):
    server = startup(ECHO, """
        async def hypha_startup(server):
            echo = await server.get_service("public/startup-echo")  # the first has run already
            assert await echo.test(1) == 100
            server.register_service({"name": "Not Awaited!", "config": {"visibility": "public"},
                                     "who": lambda: "me"})
    """)
    api = await connect(user("alice", server), at=server)
    assert await (await api.get_service("public/startup-echo")).test(1) == 100
    assert await (await api.get_service("public/not-awaited")).who() == "me"
    assert "said by the startup function" in server.log.read_text()
    tree = httpx.get(f"{server.url}/admin/tree", headers=bearer(server.root_token)).text
    assert "startup-1-start_0" in tree.replace("start-0", "start_0") and "startup function" in tree


async def test_the_token_is_in_no_argument_and_no_environment(startup):
    server = startup(ECHO)
    [pid] = hosts(server)
    for part in ("cmdline", "environ"):
        text = open(f"/proc/{pid}/{part}", "rb").read()
        assert b"eyJ" not in text, part


async def test_a_module_and_the_environment_name_functions(crashable, tmp_path, connect, user):
    write(tmp_path, "my_module_of_startup.py", ECHO)
    server = crashable(env={**PYTHON, "PYTHONPATH": str(tmp_path), "RHIZOME_BROWSER": "false",
                            "HYPHA_STARTUP_FUNCTIONS": "my_module_of_startup:hypha_startup "
                                                       "hypha.workers.python_eval:hypha_startup"})
    server.start()
    api = await connect(user("alice", server), at=server)
    assert await (await api.get_service("public/startup-echo")).test(1) == 100


@pytest.mark.parametrize("source, entry, complaint", [
    (None, "./not-there.py:hypha_startup", "Module ./not-there.py does not exist"),
    (None, "no_such_module_at_all:f", "No module named 'no_such_module_at_all'"),
    (None, "no_function", "Entrypoint is required for no_function"),
    ("x = 1", ":hypha_startup", "has no attribute 'hypha_startup'"),
    ("def hypha_startup(server): pass", ":hypha_startup", "Entrypoint hypha_startup is not a coroutine"),
    ("async def hypha_startup(server):\n    await server.not_a_function()", ":hypha_startup", "not_a_function"),
    ("async def hypha_startup(server):\n    raise ValueError('on purpose')", ":hypha_startup",
     "ValueError: on purpose"),
    ("async def hypha_startup(server):\n    server.store", ":hypha_startup", "server.store is not available"),
    ("async def hypha_startup(server):\n    server.register_service({'id': 'a', 'config': {'visibility': 'no'}})",
     ":hypha_startup", "AssertionError"),
    ("import os\nos._exit(7)", ":hypha_startup", "exit code 7"),
])
def test_a_failure_stops_the_boot(tmp_path, source, entry, complaint):
    if source:
        entry = f"{write(tmp_path, 'failing.py', source)}{entry}"
    code, output = try_to_start(tmp_path, entry)
    assert code == 1 and complaint in output, output
    if source and "raise" in source:
        assert "Traceback" in output and "failing.py" in output


def test_without_the_client_library_it_says_what_to_install(tmp_path):
    bare = write(tmp_path, "python", f"#!/bin/sh\nexec {sys.executable} -I -S \"$@\"\n")
    bare.chmod(0o755)
    path = write(tmp_path, "f.py", ECHO)
    code, output = try_to_start(tmp_path, f"{path}:hypha_startup", env={"RHIZOME_PYTHON": str(bare)})
    assert code == 1 and "-m pip install hypha-rpc" in output, output


async def test_readiness_waits_for_the_functions(crashable, tmp_path):
    gate = tmp_path / "gate"
    path = write(tmp_path, "slow.py", f"""
        import asyncio, os
        async def hypha_startup(server):
            while not os.path.exists({str(gate)!r}):
                await asyncio.sleep(0.05)
    """)
    server = crashable(args=["--startup-functions", f"{path}:hypha_startup"],
                       env={**PYTHON, "RHIZOME_BROWSER": "false"})
    starting = asyncio.get_running_loop().run_in_executor(None, server.start)

    async def health(kind):
        async with httpx.AsyncClient() as client:
            try:
                return (await client.get(f"{server.url}/health/{kind}")).status_code
            except httpx.HTTPError:
                return None

    async def live():
        return await health("liveness") == 200

    await eventually(live)
    await eventually(lambda: server.process and hosts(server))
    assert await health("readiness") == 503
    gate.write_text("")
    await starting
    assert await health("readiness") == 200


async def test_a_stop_during_the_start_ends_everything(crashable, tmp_path):
    path = write(tmp_path, "endless.py", """
        import asyncio
        async def hypha_startup(server):
            await asyncio.sleep(3600)
    """)
    server = crashable(args=["--startup-functions", f"{path}:hypha_startup"], env=PYTHON)
    starting = asyncio.get_running_loop().run_in_executor(None, server.start)
    await eventually(lambda: server.process and hosts(server))
    pids = hosts(server)
    server.process.send_signal(signal.SIGTERM)
    with pytest.raises(RuntimeError, match="exited with 0"):
        await starting
    assert not any(map(alive, pids))


async def test_a_crash_is_followed_by_a_restart(startup, connect, user):
    server = startup(ECHO)
    api = await connect(user("alice", server), at=server)
    [pid] = hosts(server)
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: hosts(server) not in ([], [pid]), 20)

    async def answers():
        try:
            return await (await api.get_service("public/startup-echo")).test(2) == 101
        except Exception:
            return False

    await eventually(answers, 20, every=0.2)


async def test_no_process_outlives_the_server(startup):
    stubborn = """
        import signal, subprocess, sys
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        async def hypha_startup(server):
            subprocess.Popen(["sleep", "4242"])
    """
    server = startup(stubborn)
    pids = [pid for pid, _ in descendants(server.pid)]
    assert len(pids) == 2
    assert server.stop() == 0
    assert not any(map(alive, pids))

    server.start()
    pids = [pid for pid, _ in descendants(server.pid)]
    server.kill()
    [host] = [pid for pid in pids if pid in pids[:1]]
    await eventually(lambda: not alive(host), 5)
    server.start()  # what the host had started is ended by the next server
    await eventually(lambda: not any(map(alive, pids)), 5)


async def test_a_function_in_node(startup, connect, user, tmp_path):
    path = write(tmp_path, "start.mjs", """
        export async function hypha_startup(server) {
          const info = await server.register_service({
            name: "From Node", config: { visibility: "public" }, double: (x) => 2 * x });
          console.log(`registered ${info.id}`);
        }
    """)
    server = startup(functions=[str(path)])
    api = await connect(user("alice", server), at=server)
    assert await (await api.get_service("public/from-node")).double(21) == 42
    assert "registered public/" in server.log.read_text()


def test_a_failing_function_in_node(tmp_path):
    path = write(tmp_path, "bad.mjs", "export async function go() { throw new Error('in node'); }")
    code, output = try_to_start(tmp_path, f"{path}:go")
    assert code == 1 and "Error: in node" in output and "bad.mjs" in output, output
    code, output = try_to_start(tmp_path, f"{path}:nothing")
    assert code == 1 and "has no function nothing" in output, output


async def test_other_workspaces_and_root(startup, connect, user):
    server = startup("""
        async def hypha_startup(server):
            assert (await server.get_root_user()).id == "root"
            await server.create_workspace({"name": "made-at-boot", "persistent": True})
            async with server.get_workspace_interface(None, "made-at-boot") as api:
                assert api.config.workspace == "made-at-boot"
            token = await server.generate_token({"workspace": "made-at-boot", "expires_in": 60})
            assert token
    """)
    api = await connect(at=server, token=server.root_token)
    assert "made-at-boot" in [space["name"] for space in await api.list_workspaces()]


# --- authentication ------------------------------------------------------------------------

AUTH = """
    import time
    calls = []
    slow = []

    async def parse_token(token):
        calls.append(token)
        if not token.startswith("CUSTOM:"):
            raise ValueError("not one of mine")
        if token == "CUSTOM:slow:w":
            import asyncio
            await asyncio.sleep(60)
        _, user, workspace = token.split(":")[:3]
        return {"id": user, "roles": [], "email": f"{user}@example.com", "is_anonymous": False,
                "scope": {"workspaces": {workspace: "a"}, "current_workspace": workspace}}

    def generate_token(user, expires_in):
        assert user.scope.current_workspace and expires_in > 0
        return f"CUSTOM:{user.id}:{user.scope.current_workspace}:{expires_in}"

    def get_token(scope):
        for name, value in scope.get("headers", []):
            if name.lower() == "x-my-token":
                return value

    async def whoami(event):
        return {"status": 200, "body": event["user"]["id"]}

    async def index(event):
        return {"status": 200, "headers": {"Content-Type": "text/html"}, "body": "<h1>my login</h1>"}

    async def start(workspace=None, expires_in=None):
        return {"key": "k"}

    async def check(key, timeout=180, profile=False):
        return "CUSTOM:checked:ws-user-checked"

    async def report(key, **kwargs):
        return {"success": True}

    async def hypha_startup(server):
        await server.register_auth_service(
            parse_token=parse_token, generate_token=generate_token, get_token=get_token,
            index_handler=index, start_handler=start, check_handler=check, report_handler=report,
            whoami=whoami)
        await server.register_service({"id": "calls", "config": {"visibility": "public"},
                                       "count": lambda: len(calls)})
"""


async def test_own_tokens_and_ours_side_by_side(startup, connect, user):
    server = startup(AUTH)
    mine = await connect(at=server, token="CUSTOM:carol:ws-user-carol")
    assert mine.config.workspace == "ws-user-carol" and mine.config.user["email"] == "carol@example.com"
    await mine.register_service({"id": "svc", "echo": lambda x: x})
    ours = await connect(user("alice", server), at=server)
    assert ours.config.user["id"].startswith("alice")
    assert (await connect(at=server, token=server.root_token)).config.user["id"] == "root"
    made = await ours.generate_token()
    assert made.startswith("CUSTOM:") and ours.config.workspace in made
    again = await connect(at=server, token=made)
    assert again.config.workspace == ours.config.workspace
    assert (await mine.parse_token("CUSTOM:dora:w"))["id"] == "dora"
    assert "not one of mine" in await failure_text(connect(at=server, token="nonsense"))


async def test_own_tokens_over_http(startup, connect):
    server = startup(AUTH)
    mine = await connect(at=server, token="CUSTOM:carol:ws-user-carol")
    await mine.register_service({"id": "svc", "echo": lambda x: x})
    url = f"{server.url}/ws-user-carol/services/svc/echo?x=5"
    async with httpx.AsyncClient() as client:
        assert (await client.get(url)).status_code in (401, 403)
        for headers in (bearer("CUSTOM:carol:ws-user-carol"), {"X-My-Token": "CUSTOM:carol:ws-user-carol"},
                        {"X-My-Token": "CUSTOM:carol:ws-user-carol", **bearer("nonsense")}):
            answer = await client.get(url, headers=headers)
            assert (answer.status_code, answer.json()) == (200, 5), headers
        assert (await client.get(url, headers=bearer("nonsense"))).status_code == 401
        who = f"{server.url}/public/apps/hypha-login/whoami"
        assert (await client.get(who, headers={"X-My-Token": "CUSTOM:erin:w"})).text == "erin"
        assert "anonymouz" in (await client.get(who)).text


async def test_answers_are_remembered_for_a_moment(startup, connect):
    server = startup(AUTH)
    api = await connect(at=server, token="CUSTOM:carol:ws-user-carol")
    calls = await api.get_service("public/calls")
    before = await calls.count()
    async with httpx.AsyncClient() as client:
        for _ in range(20):
            assert (await client.get(f"{server.url}/public/services/", headers=bearer("CUSTOM:frank:w"))).status_code == 200
    assert await calls.count() - before < 5


async def test_a_function_that_does_not_answer_holds_nobody_for_long(startup, connect):
    server = startup(AUTH)
    began = asyncio.get_running_loop().time()
    async with httpx.AsyncClient(timeout=20) as client:
        answer = await client.get(f"{server.url}/public/services/", headers=bearer("CUSTOM:slow:w"))
    assert answer.status_code == 401 and asyncio.get_running_loop().time() - began < 8


async def test_own_authentication_comes_back_after_a_crash(startup, connect):
    server = startup(AUTH)
    [pid] = hosts(server)
    os.kill(pid, signal.SIGKILL)

    async def connects():
        try:
            return await connect_to_server({"server_url": server.url, "token": "CUSTOM:carol:ws-user-carol"})
        except Exception:
            return None

    api = await eventually(connects, 30, every=0.3)
    await api.disconnect()


async def test_the_legacy_setters(startup, connect):
    server = startup("""
        async def parse(token):
            return {"id": "legacy", "roles": [], "scope": {"current_workspace": "ws-user-legacy",
                                                            "workspaces": {"ws-user-legacy": "a"}}}
        async def hypha_startup(server):
            await server.set_parse_token_function(parse)
            await server["set_generate_token_function"](lambda user, expires_in: "LEGACY")
    """)
    api = await connect(at=server, token="anything")
    assert api.config.user["id"] == "legacy"
    assert await api.generate_token() == "LEGACY"


async def test_handlers_that_are_not_given_are_the_servers_own(startup, connect):
    server = startup("""
        async def start(workspace=None, expires_in=None):
            return {"key": "mine"}
        async def hypha_startup(server):
            await server.register_auth_service(start_handler=start)
    """)
    api = await connect(at=server)
    login = await api.get_service("public/hypha-login")
    assert await login.start() == {"key": "mine"}
    assert "key" in (await failure_text(login.check("no-such-key", timeout=0))).lower()
