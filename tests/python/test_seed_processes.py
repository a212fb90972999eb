"""The parts of the Server Apps guide about startup functions and python-eval, as printed there.

The bodies between the ruler comments are the guide's own text.
"""

import sys

import pytest
from hypha_rpc import connect_to_server

import seed_worker
from harness import ROOT

ENV = {"RHIZOME_PYTHON": sys.executable, "RHIZOME_BROWSER": "false"}


@pytest.fixture
async def node(crashable):
    """A server with the guide's custom worker as its startup function."""
    server = crashable(args=["--enable-server-apps",
                             f"--startup-functions={ROOT}/tests/python/seed_worker.py:hypha_startup"], env=ENV)
    server.start()
    return server


@pytest.mark.ours
async def test_the_worker_of_a_startup_function(node, connect, user):
    api = await connect(user("alice", node), at=node)
    controller = await api.get_service("public/server-apps")
    [worker] = [w for w in await controller.list_workers() if w["name"] == "Custom Worker"]
    assert worker["supported_types"] == ["my-custom-type", "another-type"]
    your_custom_source = "anything"
    # --------------------------------------------------------------------------- the guide
    # Install app with custom type
    app_info = await controller.install(
        source=your_custom_source,
        manifest={
            "name": "My Custom App",
            "type": "my-custom-type",  # Must match worker's supported_types
            "version": "1.0.0",
            "entry_point": "main.ext"
        }
    )

    # Start the app - will automatically use your custom worker
    session = await controller.start(app_info.id)
    # --------------------------------------------------------------------- end of the guide
    assert session.worker_id == worker["id"]
    result = await controller.execute(session.id, "print('x')")
    assert result["status"] == "ok" and "Executed script" in result["outputs"][0]["text"]
    await controller.stop(session.id)
    # What the function printed is in the server's log.
    text = node.log.read_text()
    assert "Custom worker registered: public/" in text and "Starting custom session" in text


@pytest.mark.ours
async def test_the_same_worker_registered_by_a_client(crashable, user):
    node = crashable(env=ENV)
    node.start()

    class CustomWorker:
        def get_service(self):
            return {
                "id": "custom-worker", "name": "Custom Worker", "type": "server-app-worker",
                "config": {"visibility": "protected", "run_in_executor": True},
                "supported_types": ["my-custom-type"],
                "start": seed_worker.start, "stop": seed_worker.stop, "get_logs": seed_worker.get_logs,
                "execute": seed_worker.execute,
            }

    alice = user("alice", node)
    # --------------------------------------------------------------- the guide, with a token
    server = await connect_to_server({
        "server_url": node.url, "token": alice.token(),
    })
    custom_worker = CustomWorker()
    await server.register_service(custom_worker.get_service())
    # --------------------------------------------------------------------- end of the guide
    controller = await server.get_service("public/server-apps")
    app = await controller.install(source="anything", manifest={
        "name": "My Custom App", "type": "my-custom-type", "version": "1.0.0", "entry_point": "main.ext"})
    session = await controller.start(app.id)
    assert session.worker_id.endswith(":custom-worker")
    await controller.stop(session.id)
    await server.disconnect()


@pytest.mark.ours
def test_a_startup_function_of_a_module_of_the_reference(crashable):
    node = crashable(args=["--startup-functions=hypha.workers.python_eval:hypha_startup",
                           "--startup-functions=hypha.workers.terminal:hypha_startup",
                           "--startup-functions=hypha.workers.conda:hypha_startup"], env=ENV)
    node.start()
    text = node.log.read_text()
    assert text.count("served by the built-in worker") == 3


@pytest.mark.ours
async def test_the_calculation_script(crashable, user):
    node = crashable(env=ENV)
    node.start()
    alice = user("alice", node)
    api = await connect_to_server({"server_url": node.url, "token": alice.token()})
    controller = await api.get_service("public/server-apps")
    # --------------------------------------------------------------------------- the guide
    # This would work with a custom worker that supports "python-eval" type
    app_info = await controller.install(
        source='''
    import os
    import time
    
    print(f"Hello from Python eval at {time.strftime('%Y-%m-%d %H:%M:%S')}")
    print(f"Workspace: {os.environ.get('HYPHA_WORKSPACE', 'unknown')}")
    print(f"App ID: {os.environ.get('HYPHA_APP_ID', 'unknown')}")
    
    # This is a simple Python script that runs and exits
    result = 42 * 2
    print(f"Calculation result: {result}")
    ''',
        app_id="python-calculation-script",  # Custom app ID
        manifest={
            "name": "Python Eval Example",
            "type": "python-eval",  # Custom type supported by python-eval worker
            "version": "1.0.0",
            "entry_point": "main.py"
        },
        overwrite=True
    )
    # --------------------------------------------------------------------- end of the guide
    started_app = await controller.start(app_info.id)
    server = api
    # --------------------------------------------------------------------- step 3.6 of the guide
    # Get the worker service directly using the worker_id
    worker = await server.get_service(started_app.worker_id)

    # Now you can interact with the worker directly
    # For example, get logs from the worker
    logs = await worker.get_logs(started_app.id)
    # Logs are returned in the format:
    # {
    #   "items": [{"type": "info", "content": "..."}, ...],
    #   "total": 10,
    #   "offset": 0,
    #   "limit": None
    # }

    # Or execute code in the session (for workers that support it)
    if hasattr(worker, 'execute'):
        result = await worker.execute(
            started_app.id,
            "print('Executing directly on the worker!')",
            config={"timeout": 30.0}
        )
    # --------------------------------------------------------------------- end of the guide
    text = "\n".join(item["content"] for item in logs["items"])
    assert f"Workspace: {alice.workspace}" in text
    assert "App ID: python-calculation-script" in text and "Calculation result: 84" in text
    assert result["outputs"][0]["text"] == "Executing directly on the worker!\n"
    await api.disconnect()
