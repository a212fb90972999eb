"""Python apps and terminals: sessions that are processes of the server's machine."""

import asyncio
import os
import sys
import time

import httpx
import pytest

from harness import User, alive, bearer, descendants, eventually, failure_text

pytestmark = pytest.mark.ours
ENV = {"RHIZOME_PYTHON": sys.executable, "RHIZOME_BROWSER": "false"}
# A pure package of a few kilobytes without dependencies.
PACKAGE = "shortuuid==1.0.13"


@pytest.fixture
def node(crashable):
    """A server of the test's own, up, with these settings."""

    def start(**env):
        server = crashable(env={**ENV, **env})
        server.start()
        return server

    return start


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    from harness import Server

    folder = tmp_path_factory.mktemp("processes")
    server = Server(folder / "data", folder / "server.log", env=ENV)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def apps(shared, connect):
    """The controller of a fresh user, who is known as `apps.user`."""
    return await controller_of(shared, connect)


async def controller_of(server, connect):
    user = User(server, "alice")
    api = await connect(user, at=server)
    controller = await api.get_service("public/server-apps")
    controller.api, controller.user, controller.server = api, user, server
    return controller


async def install(controller, source, kind="python-eval", files=(), **more):
    manifest = {"name": "An App", "type": kind, "version": "1.0.0", "entry_point": "main.py",
                **more.pop("manifest", {})}
    options = {"timeout": 60, **more}
    return await controller.install(source=source, manifest=manifest, files=list(files), **options)


async def text_of(controller, session, kind=None):
    logs = await controller.get_logs(session, type=kind)
    return "\n".join(item["content"] for item in logs["items"])


def processes(server, word=".driver.py"):
    return [pid for pid, command in descendants(server.pid) if word in command]


SERVICE = """
    import asyncio, os
    from hypha_rpc import connect_to_server

    async def main():
        server = await connect_to_server({
            "server_url": os.environ["HYPHA_SERVER_URL"], "client_id": os.environ["HYPHA_CLIENT_ID"],
            "workspace": os.environ["HYPHA_WORKSPACE"], "token": os.environ["HYPHA_TOKEN"],
            "app_id": os.environ["HYPHA_APP_ID"]})
        await server.register_service({
            "id": "default", "add": lambda a, b: a + b, "pid": os.getpid, "die": lambda code: os._exit(code)})
        print("serving")
        await asyncio.Event().wait()

    asyncio.run(main())
"""


# --- scripts -------------------------------------------------------------------------------

async def test_a_script_runs_to_its_end(apps):
    app = await install(apps, """
        import os, sys
        print("to stdout", os.environ["HYPHA_APP_ID"], os.environ["HYPHA_WORKSPACE"])
        print("to stderr", file=sys.stderr)
        assert __name__ == "__main__" and sys.argv[0].endswith("main.py")
    """)
    session = await apps.start(app.id)
    assert (await apps.get_session_info(session.id))["status"] == "completed"
    logs = await apps.get_logs(session.id)
    assert logs["total"] == len(logs["items"]) == 3
    assert await text_of(apps, session.id, "stdout") == f"to stdout {app.id} {apps.user.workspace}"
    assert await text_of(apps, session.id, "stderr") == "to stderr"
    assert await text_of(apps, session.id, "info") == "Python code executed with return code: 0"
    second = await apps.get_logs(session.id, offset=1, limit=1)
    assert second["total"] == 3 and second["items"] == logs["items"][1:2]


async def test_a_failing_script_tells_why(apps):
    text = await failure_text(install(apps, "def f():\n    return 1 / 0\n\nf()\n"))
    assert "ZeroDivisionError: division by zero" in text and "main.py\", line 2, in f" in text
    assert ".driver.py" not in text
    text = await failure_text(install(apps, "import sys\nsys.exit('on purpose')"))
    assert "exit code 1: on purpose" in text
    text = await failure_text(install(apps, "x = ("))
    assert "SyntaxError" in text


async def test_secrets_of_the_server_are_not_in_the_environment(apps):
    app = await install(apps, "import os\nprint(sorted(os.environ))", manifest={"env": {"MINE": "1"}})
    session = await apps.start(app.id, additional_kwargs={"env": {"THEIRS": "2"}})
    text = await text_of(apps, session.id, "stdout")
    assert "'MINE'" in text and "'THEIRS'" in text and "'HYPHA_TOKEN'" in text
    assert "SECRET" not in text and "ROOT_TOKEN" not in text


async def test_files_of_the_app_are_there(apps):
    app = await install(apps, "import json, helper.words\nprint(helper.words.WORD, json.load(open('data.json'))['x'])",
                        files=[{"path": "helper/words.py", "content": "WORD = 'found'", "format": "text"},
                               {"path": "data.json", "content": {"x": 7}, "format": "json"}])
    session = await apps.start(app.id)
    assert await text_of(apps, session.id, "stdout") == "found 7"


# --- services ------------------------------------------------------------------------------

async def test_a_script_that_offers_a_service(apps):
    app = await install(apps, SERVICE)
    service = await apps.api.get_service(f"default@{app.id}")
    assert await service.add(2, 3) == 5
    [running] = [s for s in await apps.list_running() if s["app_id"] == app.id]
    pid = await service.pid()
    await apps.stop(running["id"])
    assert not alive(pid)


async def test_export_and_top_level_await(apps):
    app = await install(apps, """
        import asyncio
        from hypha_rpc import api

        await asyncio.sleep(0)
        seen = []

        class Counter:
            def __init__(self):
                self.count = 0
            def setup(self):
                seen.append("setup")
            def increment(self):
                self.count += 1
                return self.count
            async def seen(self):
                return seen

        api.export(Counter())
    """)
    service = await apps.api.get_service(f"default@{app.id}")
    assert [await service.increment(), await service.increment()] == [1, 2]
    assert await service.seen() == ["setup"]


async def test_a_service_of_a_script_with_top_level_await_stays(apps):
    source = SERVICE.replace("await asyncio.Event().wait()", "return server").replace("asyncio.run(main())", "server = await main()")
    app = await install(apps, source)
    service = await apps.api.get_service(f"default@{app.id}")
    await asyncio.sleep(1)
    assert await service.add(1, 1) == 2


async def test_a_crash_is_restarted_and_its_cause_is_told(apps):
    app = await install(apps, SERVICE)
    session = await apps.start(app.id)
    service = await apps.api.get_service(f"default@{app.id}")
    first = await service.pid()
    os.kill(first, 9)

    async def back():
        try:
            return await (await apps.api.get_service(f"default@{app.id}")).pid() != first
        except Exception:
            return False

    await eventually(back, 30, every=0.2)
    info = await apps.get_session_info(session.id)
    assert info["restarts"] == 1 and "killed by signal 9" in info["history"][0]["cause"]
    await apps.stop(session.id)


async def test_a_loop_of_crashes_ends(apps):
    app = await install(apps, SERVICE)
    session = await apps.start(app.id)
    # From now on each life ends at once; the file is the session's own copy, so the app is edited.
    await apps.stop(session.id)
    dying = await install(apps, "import os, sys, time\n" + "from hypha_rpc import api\n"
                          "api.export({'die': lambda: os._exit(3)})")
    session = await apps.start(dying.id)
    for _ in range(2):
        service = await apps.api.get_service(f"default@{dying.id}")
        try:
            await asyncio.wait_for(service.die(), 5)
        except Exception:
            pass
        before = (await apps.get_session_info(session.id))["restarts"]

        async def restarted():
            info = await apps.get_session_info(session.id)
            return info["status"] == "running" and info["restarts"] >= max(1, before)

        await eventually(restarted, 30, every=0.2)
    info = await apps.get_session_info(session.id)
    assert info["restarts"] >= 2 and all("exit code 3" in crash["cause"] for crash in info["history"])
    await apps.stop(session.id)


# --- executing code ------------------------------------------------------------------------

async def run(controller, session, script, **config):
    return await controller.execute(session, script, config=config or None)


def stdout(result):
    return "".join(o["text"] for o in result["outputs"] if o.get("name") == "stdout")


async def test_code_runs_on_top_of_the_script(apps):
    app = await install(apps, "x = 41")
    session = await apps.start(app.id)
    result = await run(apps, session.id, "print('hi')\nx += 1\nx")
    assert result["status"] == "ok" and result["error"] is None
    assert result["outputs"][0] == {"type": "stream", "name": "stdout", "text": "hi\n"}
    assert result["outputs"][1]["type"] == "execute_result"
    assert result["outputs"][1]["data"] == {"text/plain": "42"}
    result = await run(apps, session.id, "import asyncio\nawait asyncio.sleep(0.01)\nx")
    assert result["outputs"][-1]["data"]["text/plain"] == "42"
    result = await run(apps, session.id, "class H:\n    def _repr_html_(self): return '<b>h</b>'\ndisplay(H())\nNone")
    assert result["outputs"][0]["type"] == "display_data"
    assert result["outputs"][0]["data"]["text/html"] == "<b>h</b>"
    assert "hi" in await text_of(apps, session.id, "stdout")
    await apps.stop(session.id)


async def test_errors_of_code_come_with_a_traceback(apps):
    app = await install(apps, "pass")
    session = await apps.start(app.id)
    result = await run(apps, session.id, "print('before')\n{}['missing']")
    assert result["status"] == "error" and stdout(result) == "before\n"
    assert result["error"]["ename"] == "KeyError" and result["error"]["evalue"] == "'missing'"
    assert "{}['missing']" in "".join(result["error"]["traceback"])
    assert (await run(apps, session.id, "y ="))["error"]["ename"] == "SyntaxError"
    result = await run(apps, session.id, "'\\ud800'")  # what JSON cannot say must not hang anybody
    assert result["status"] == "ok"
    result = await run(apps, session.id, "import os; os._exit(5)")
    assert result["error"]["ename"] == "DeadKernelError" and "exit code 5" in result["error"]["evalue"]
    assert "has ended" in (await run(apps, session.id, "1"))["error"]["evalue"]


@pytest.mark.parametrize("script", ["while True: pass", "import time\nfor _ in range(1000): time.sleep(0.1)",
                                    "import asyncio\nawait asyncio.sleep(100)"])
async def test_code_that_takes_too_long_is_interrupted(apps, script):
    app = await install(apps, "kept = 'still here'")
    session = await apps.start(app.id)
    began = time.monotonic()
    result = await run(apps, session.id, script, timeout=1)
    assert result["error"]["ename"] == "TimeoutError" and time.monotonic() - began < 5
    result = await run(apps, session.id, "kept")
    assert result["outputs"][0]["data"]["text/plain"] == "'still here'"
    await apps.stop(session.id)


async def test_code_beside_a_script_that_goes_on(apps):
    app = await install(apps, SERVICE)
    session = await apps.start(app.id)
    result = await run(apps, session.id, "counter = 1\nprint(main.__name__)\ncounter + 1")
    assert stdout(result) == "main\n" and result["outputs"][-1]["data"]["text/plain"] == "2"
    result = await run(apps, session.id, "while True: pass", timeout=0.5)
    assert result["error"]["ename"] == "TimeoutError"
    service = await apps.api.get_service(f"default@{app.id}")
    assert await service.add(1, 2) == 3
    await apps.stop(session.id)


async def test_execute_reports_progress_and_counts_as_the_callers_right(apps, shared, connect):
    app = await install(apps, "secret = 1")
    session = await apps.start(app.id)
    told = []
    await apps.execute(session.id, "1", progress_callback=lambda message: told.append(message["type"]))
    await eventually(lambda: "success" in told)
    worker = await apps.api.get_service(session.worker_id)
    result = await worker.execute(session.id, "print('directly')", config={"timeout": 30.0})
    assert stdout(result) == "directly\n"
    assert (await worker.get_logs(session.id))["total"] >= 1
    bob = await (await connect(User(shared, "bob"), at=shared)).get_service(session.worker_id)
    for call in (bob.execute(session.id, "secret"), bob.get_logs(session.id), bob.stop(session.id)):
        assert "Permission denied" in await failure_text(call)
    await apps.stop(session.id)


async def test_much_output_is_bounded(apps):
    app = await install(apps, "pass")
    session = await apps.start(app.id)
    result = await run(apps, session.id, "for _ in range(3000): print('x' * 2000)\n'end'")
    assert 4_000_000 < len(stdout(result)) < 4_500_000 and "[cut]" in stdout(result)
    assert result["outputs"][-1]["data"]["text/plain"] == "'end'"
    result = await run(apps, session.id, "print('y' * 10_000_000, end='')\n1")
    assert result["status"] == "ok"
    await apps.stop(session.id)


# --- limits and lives ----------------------------------------------------------------------

async def test_memory_and_processor_time_are_limited(apps):
    text = await failure_text(install(apps, "block = bytearray(2 << 30)", manifest={"memory_limit_mb": 1024}))
    assert "MemoryError" in text
    text = await failure_text(install(apps, "while True: pass", manifest={"cpu_limit_s": 1}, timeout=30))
    assert "killed by signal" in text


async def test_a_script_that_hangs_runs_into_the_deadline_and_is_ended(apps, shared):
    before = set(processes(shared))
    text = await failure_text(install(apps, "import time\nprint('begun')\ntime.sleep(1000)", timeout=2))
    assert "timed out" in text and "begun" in text
    await eventually(lambda: set(processes(shared)) <= before)


async def test_a_detached_script_goes_on_until_it_is_stopped(apps, shared):
    app = await install(apps, "import subprocess\nsubprocess.run(['sleep', '4243'])", wait_for_service=False)
    session = await apps.start(app.id, wait_for_service=False)
    await eventually(lambda: processes(shared, "sleep 4243"))
    pids = processes(shared, "sleep 4243")
    tree = httpx.get(f"{shared.url}/admin/tree", headers=bearer(shared.root_token)).text
    assert f"-{session.id}" in tree
    await apps.stop(session.id)
    await eventually(lambda: not any(map(alive, pids)))


async def test_no_process_outlives_the_server(node, connect):
    server = node()
    controller = await controller_of(server, connect)
    app = await install(controller, "import subprocess\nsubprocess.run(['sleep', '4244'])", wait_for_service=False)
    stubborn = await install(controller, "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
                             "while True: time.sleep(1)", wait_for_service=False)
    for one in (app, stubborn):
        await controller.start(one.id, wait_for_service=False)
    await eventually(lambda: processes(server, "sleep 4244") and len(processes(server)) == 2)
    pids = [pid for pid, _ in descendants(server.pid)]
    assert server.stop() == 0
    assert not any(map(alive, pids))

    server.start()
    controller = await (await connect(controller.user, at=server)).get_service("public/server-apps")
    for one in (app, stubborn):
        await controller.start(one.id, wait_for_service=False)
    await eventually(lambda: processes(server, "sleep 4244") and len(processes(server)) == 2)
    hosts, pids = processes(server), [pid for pid, _ in descendants(server.pid)]
    server.kill()
    await eventually(lambda: not any(map(alive, hosts)), 5)
    server.start()  # it ends what the processes had started in their turn
    assert not any(map(alive, pids))
    assert not list((server.data_dir / "work").glob("*"))


async def test_interpreters_make_room_and_leave(node, connect):
    server = node(RHIZOME_MAX_PROCESS_SESSIONS="2", RHIZOME_PROCESS_LINGER="3")
    controller = await controller_of(server, connect)
    for _ in range(4):  # the idle ones give way
        await controller.start((await install(controller, "pass")).id)
    assert 0 < len(processes(server)) <= 2
    await eventually(lambda: not processes(server), 10)
    endless = await install(controller, "import time\nwhile True: time.sleep(1)", wait_for_service=False)
    slow = await install(controller, SERVICE)
    await controller.start(endless.id, wait_for_service=False)
    await controller.start(slow.id)
    assert "Maximum concurrent sessions (2) reached" in await failure_text(install(controller, "pass"))


async def test_the_workers_can_be_switched_off(node, connect):
    server = node(RHIZOME_PROCESS_WORKERS="false")
    controller = await controller_of(server, connect)
    assert "No server app worker found" in await failure_text(install(controller, "pass"))
    types = {kind for worker in await controller.list_workers() for kind in worker["supported_types"]}
    assert not types & {"python-eval", "python", "conda", "terminal"}


# --- environments --------------------------------------------------------------------------

async def test_requirements_make_an_environment(node, connect):
    server = node()
    controller = await controller_of(server, connect)
    source = "import shortuuid, hypha_rpc, sys\nprint(len(shortuuid.uuid()), sys.prefix)"
    made = [install(controller, source, "python", manifest={"requirements": [PACKAGE]}, app_id=f"app-{n}", timeout=300)
            for n in range(2)]
    first, second = await asyncio.gather(*made)  # one builds, the other waits
    environments = list((server.data_dir / "environments").iterdir())
    assert len(environments) == 1
    began = time.monotonic()
    session = await controller.start(first.id)
    assert time.monotonic() - began < 10
    assert await text_of(controller, session.id, "stdout") == f"22 {environments[0]}"
    session = await controller.start(second.id)
    result = await controller.execute(session.id, "shortuuid.__name__")
    assert result["outputs"][0]["data"]["text/plain"] == "'shortuuid'"


async def test_requirements_that_cannot_be_had_are_told(apps, shared):
    text = await failure_text(install(apps, "pass", "python", timeout=300,
                                      manifest={"requirements": ["shortuuid==999.0"]}))
    assert "Worker compilation failed" in text and "No matching distribution" in text
    assert not any(apps_folder.name for apps_folder in (shared.data_dir / "environments").glob("*"))
    text = await failure_text(install(apps, "pass", "python", manifest={"requirements": ["--index-url=http://x"]}))
    assert "options are not allowed" in text


async def test_python_without_requirements_needs_no_environment(apps):
    app = await install(apps, "from hypha_rpc import api\napi.export({'hello': lambda: 'from python'})", "python")
    assert await (await apps.api.get_service(f"default@{app.id}")).hello() == "from python"


async def test_conda_apps_say_what_is_missing(node, connect, tmp_path):
    server = node(PATH="/usr/bin:/bin")
    controller = await controller_of(server, connect)
    text = await failure_text(install(controller, "pass", "conda", manifest={"dependencies": ["numpy"]}))
    assert "need mamba, micromamba or conda" in text


async def test_conda_makes_the_environment_where_it_is(node, connect, tmp_path):
    """A stand-in that notes how it was called and makes an environment as conda would."""
    tools = tmp_path / "tools"
    tools.mkdir()
    fake = tools / "mamba"
    fake.write_text(f"""#!/bin/sh
echo "$@" >> {tmp_path}/calls
while [ "$1" != --prefix ]; do shift; done
{sys.executable} -m venv --without-pip "$2" && ln -s {sys.prefix}/lib/python3*/site-packages/* "$2"/lib/python3*/site-packages/
""")
    fake.chmod(0o755)
    server = node(PATH=f"{tools}:{os.environ['PATH']}")
    controller = await controller_of(server, connect)
    app = await install(controller, "import sys\nprint(sys.prefix)", "conda-jupyter-kernel", timeout=120, manifest={
        "dependencies": ["numpy=2", {"pip": ["hypha-rpc"]}], "channels": ["conda-forge"]})
    session = await controller.start(app.id)
    assert "environments" in await text_of(controller, session.id, "stdout")
    [call] = (tmp_path / "calls").read_text().splitlines()
    assert call.startswith("create --yes") and call.endswith("--channel conda-forge python pip numpy=2")


# --- terminals -----------------------------------------------------------------------------

async def test_a_terminal_runs_a_shell_and_its_script(apps):
    app = await install(apps, "#!/bin/bash\necho started in $(basename $PWD)\necho $TEST_VAR\n", "terminal",
                        manifest={"entry_point": "run.sh"}, wait_for_service=False)
    session = await apps.start(app.id, wait_for_service=False, additional_kwargs={"env": {"TEST_VAR": "Hello from env"}})
    worker = await apps.api.get_service(session.worker_id)
    assert "Terminal session started" in await text_of(apps, session.id)

    async def shown():
        return "Hello from env" in await worker.get_logs(session.id, type="screen")

    await eventually(shown)
    result = await worker.execute(session.id, "echo $((40 + 2)) words")
    assert result["status"] == "ok" and result["outputs"][0]["text"] == "42 words"
    result = await worker.execute(session.id, "echo raw; sleep 0.5; echo later", config={"raw_output": True})
    text = result["outputs"][0]["text"]
    assert text.startswith("echo raw") and text.count("later") == 2
    assert "\x1b" not in await worker.get_logs(session.id, type="screen")
    await apps.stop(session.id)


async def test_a_terminal_runs_another_program(apps):
    app = await install(apps, "# nothing", "terminal", wait_for_service=False,
                        manifest={"entry_point": "x.sh", "startup_command": f"{sys.executable} -i -q"})
    session = await apps.start(app.id, wait_for_service=False)
    worker = await apps.api.get_service(session.worker_id)

    async def asks():
        return ">>>" in (await worker.get_screen_content(session.id))["content"]

    await eventually(asks, 30, what="the program asks for input")
    result = await apps.execute(session.id, "print(f'Hello {101}')")
    assert result["outputs"][0]["text"] == "Hello 101"
    result = await apps.execute(session.id, "2 + 3422")
    assert result["outputs"][0]["text"] == "3424"
    await apps.stop(session.id)


async def test_the_keyboard_and_the_screen_of_a_terminal(apps, shared, connect):
    app = await install(apps, "", "terminal", wait_for_service=False)
    session = await apps.start(app.id, wait_for_service=False)
    worker = await apps.api.get_service(session.worker_id)
    assert await worker.resize_terminal(session.id, 30, 100) == {"success": True}
    assert (await worker.write_terminal(session.id, "stty size\n"))["bytes_written"] == 10

    async def shown():
        return "30 100" in (await worker.get_screen_content(session.id))["content"]

    await eventually(shown)
    assert "30 100" in (await worker.read_terminal(session.id))["output"]
    assert await worker.read_terminal(session.id) == {"success": True, "output": ""}
    [listed] = (await worker.list_sessions())["sessions"]
    assert listed["session_id"] == session.id and listed["is_alive"]
    bob = await (await connect(User(shared, "bob"), at=shared)).get_service(session.worker_id)
    assert (await bob.list_sessions())["sessions"] == []
    assert "Permission denied" in await failure_text(bob.write_terminal(session.id, "x"))
    assert "positive" in await failure_text(worker.resize_terminal(session.id, 0, 1))
    await worker.write_terminal(session.id, "sleep 4245\n")
    await eventually(lambda: processes(shared, "sleep 4245"))
    pids = processes(shared, "sleep 4245")
    await apps.stop(session.id)
    await eventually(lambda: not any(map(alive, pids)))
    assert "not alive" in await failure_text(worker.execute(session.id, "echo x"))


async def test_a_terminal_whose_program_ends(apps):
    app = await install(apps, "", "terminal", wait_for_service=False)
    session = await apps.start(app.id, wait_for_service=False)
    await apps.execute(session.id, "exit", config={"timeout": 1})

    async def completed():
        return (await apps.get_session_info(session.id))["status"] == "completed"

    await eventually(completed)
