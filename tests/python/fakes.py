"""A worker in Python that serves an application type of its own: no browser boots for its sessions."""

import uuid

from hypha_rpc import connect_to_server


class RecordingWorker:
    """Notes what it is asked to do. Its sessions offer a `default` service while `serving` is true."""

    def __init__(self, server, serving=False):
        self.server, self.serving = server, serving
        self.kind = f"recorded-{uuid.uuid4().hex[:8]}"
        self.started, self.stopped, self.sessions, self.logs = [], [], {}, {}
        self.fails_with = None
        self.extra = {}

    async def register(self, api, visibility="public"):
        self.api = api
        info = await api.register_service({
            "id": f"worker-{self.kind}", "name": "Recording Worker", "type": "server-app-worker",
            "description": "For tests", "config": {"visibility": visibility},
            "supported_types": [self.kind], "start": self.start, "stop": self.stop,
            "get_logs": self.get_logs, "execute": self.execute})
        self.id = info["id"]
        return self

    async def start(self, config, context=None):
        self.started.append(config)
        self.logs[config["id"]] = ["started"]
        if config.get("progress_callback"):
            await config["progress_callback"]({"type": "info", "message": "the worker speaks"})
        if self.fails_with:
            raise RuntimeError(self.fails_with)
        if self.serving:
            await self.serve(config)
        return config["id"]

    async def serve(self, config):
        client = await connect_to_server({
            "server_url": config["server_url"], "client_id": config["client_id"],
            "workspace": config["workspace"], "token": config["token"], "app_id": config["app_id"]})
        self.sessions[config["id"]] = client
        await client.register_service({
            "id": "default", "name": config["app_id"], "echo": lambda x: x,
            "who": lambda: config["id"], "version": config["manifest"]["version"], **self.extra})

    async def stop(self, session_id, context=None):
        self.stopped.append(session_id)
        client = self.sessions.pop(session_id, None)
        if client:
            await client.disconnect()

    async def get_logs(self, session_id, type=None, offset=0, limit=None, context=None):
        if session_id not in self.logs:
            raise KeyError(f"Session {session_id} not found")
        items = [{"type": "info", "content": line} for line in self.logs[session_id]]
        return {"items": items[offset:], "total": len(items), "offset": offset, "limit": limit}

    async def execute(self, session_id, script, config=None, progress_callback=None, context=None):
        return {"status": "ok", "outputs": [{"type": "stream", "name": "stdout", "text": script}],
                "error": None}

    async def close(self):
        for client in list(self.sessions.values()):
            await client.disconnect()
