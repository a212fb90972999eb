"""The Server Apps guide, steps 1 to 4 and 3.6, as printed there; only the token is given, not asked for.

The bodies between the two ruler comments are the guide's own text. `server` stands for `api` in
step 3.6 of the guide, as there.
"""

import re

import pytest

from hypha_rpc import connect_to_server


@pytest.fixture
def printed(capsys):
    """What a snippet printed."""
    return lambda: capsys.readouterr().out


async def test_steps_1_to_4(server, alice, printed):
    SERVER_URL, token = server.url, alice.token()
    # ------------------------------------------------------------------------------- the guide
    # Connect to the server
    api = await connect_to_server({"server_url": SERVER_URL, "token": token})

    # Get the server apps controller
    controller = await api.get_service("public/server-apps")

    # Define a simple web worker app
    app_source = '''
api.export({
    async setup(){
        console.log("App initialized");
    },
    async add(a, b){
        return a + b;
    },
    async echo(message){
        return message;
    }
})
'''

    # install with a custom app_id
    app_info = await controller.install(
        source=app_source,
        # app_id="my-calculator-app",  # Custom app identifier if needed
        manifest={
            "name": "My Calculator",
            "type": "web-worker",
            "version": "1.0.0"
        },
        overwrite=True,  # Required if app_id already exists
    )

    print(f"App installed with custom ID: {app_info.id}")

    # Start the app
    started_app = await controller.start(
        app_info.id,
        wait_for_service="default",  # Wait for the default service to be available
        timeout=30
    )

    print(f"App started with session ID: {started_app.id}")
    print(f"Using worker: {started_app.worker_id}")

    # Get the app service and use it
    app_service = await api.get_service(f"default@{app_info.id}")
    result = await app_service.add(5, 3)
    print(f"5 + 3 = {result}")

    echo_result = await app_service.echo("Hello, World!")
    print(f"Echo result: {echo_result}")

    # List all installed apps
    apps = await controller.list_apps()
    print(f"Total apps: {len(apps)}")

    # List running apps
    running_apps = await controller.list_running()
    print(f"Running apps: {len(running_apps)}")

    # Stop the app
    await controller.stop(started_app.id)

    # Uninstall the app
    await controller.uninstall(app_info.id)
    # ------------------------------------------------------------------------- end of the guide
    out = printed()
    assert f"App installed with custom ID: {app_info.id}\n" in out
    assert re.search(rf"App started with session ID: {alice.workspace}/\S+\n", out)
    assert re.search(r"Using worker: [^/\s]+/[^:\s]+:\S+\n", out)
    assert "5 + 3 = 8\n" in out and "Echo result: Hello, World!\n" in out
    assert "Total apps: 1\n" in out and "Running apps: 1\n" in out
    assert await controller.list_apps() == [] and await controller.list_running() == []
    await api.disconnect()


@pytest.mark.ours
async def test_step_3_6(api):
    """Talking to the worker that runs the session: it belongs to the server, its sessions to users."""
    controller = await api.get_service("public/server-apps")
    app_info = await controller.install(
        source='api.export({setup(){ console.log("App initialized"); }, add: (a, b) => a + b})',
        manifest={"name": "My Calculator", "type": "web-worker", "version": "1.0.0"})
    server = api
    # ------------------------------------------------------------------------------- the guide
    # Start an app session
    started_app = await controller.start(app_info.id, wait_for_service="default")

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
    # ------------------------------------------------------------------------- end of the guide
    assert set(logs) >= {"items", "total", "offset", "limit"}
    assert logs["total"] == len(logs["items"]) and logs["offset"] == 0 and logs["limit"] is None
    assert any("App initialized" in item["content"] for item in logs["items"])
    assert all({"type", "content"} <= set(item) for item in logs["items"])
    if hasattr(worker, 'execute'):
        assert await worker.execute(started_app.id, "1 + 2") == 3
        assert await worker.execute(started_app.id, "const x = await Promise.resolve(4); return x + 1") == 5
    await controller.stop(started_app.id)


@pytest.mark.ours
async def test_the_data_processor(api):
    """A method that calls another one through `this`."""
    controller = await api.get_service("public/server-apps")
    # ------------------------------------------------------------------------------- the guide
    web_worker_source = '''
    api.export({
        async processData(data) {
            // CPU-intensive processing
            return data.map(x => x * 2);
        },
        async fibonacci(n) {
            if (n <= 1) return n;
            return await this.fibonacci(n - 1) + await this.fibonacci(n - 2);
        }
    });
    '''

    app_info = await controller.install(
        source=web_worker_source,
        app_id="data-processor",  # Custom app ID
        manifest={
            "name": "Data Processor",
            "type": "web-worker",
            "version": "1.0.0"
        },
        overwrite=True
    )
    # ------------------------------------------------------------------------- end of the guide
    service = await api.get_service(f"default@{app_info.id}")
    assert await service.processData([1, 2, 3]) == [2, 4, 6]
    assert await service.fibonacci(10) == 55


@pytest.mark.ours
async def test_a_service_registered_in_snake_case(api):
    """The functions example: registered at top level, nothing exported, nobody waits for a name."""
    controller = await api.get_service("public/server-apps")
    app_info = await controller.install(
        # --------------------------------------------------------------------------- the guide
        source='''
        api.register_service({
            "id": "user-api",
            "type": "functions",
            "users": {
                "list": async (event) => ({ users: ["alice", "bob"] }),
                "create": async (event) => ({ message: "User created" })
            },
            "health": async (event) => ({ status: "ok" }),
            "default": async (event) => ({ 
                path: event.function_path,
                message: "Endpoint not found" 
            })
        });
        ''',
        # --------------------------------------------------------------------- end of the guide
        manifest={"type": "web-worker", "name": "User REST API", "version": "1.0.0"},
        overwrite=True)
    service = await api.get_service(f"user-api@{app_info.id}")
    assert await service.health({}) == {"status": "ok"}
    assert await service.users.list({}) == {"users": ["alice", "bob"]}
