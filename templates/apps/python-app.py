# Runs a Python app in its worker; python-main.js calls `run`. After templates/python/showing.py and python-web.py.

import asyncio
import builtins
import contextvars
import functools
import json
import os
import re
import time
import traceback

OWN = "<rhizome>"
MOST_OUTPUT = 4 << 20
PLAIN = (bool, int, float, complex, str, bytes, bytearray, memoryview, list, tuple, set, type(None))
current = contextvars.ContextVar("cell", default=None)


def own_traceback(error):
    """Without the frames of the server's own code."""
    frames = error.__traceback__
    while frames and frames.tb_frame.f_code.co_filename == OWN:
        frames = frames.tb_next
    return traceback.format_exception(type(error), error, frames)


# --- the service of the app ----------------------------------------------------------------

def switchable(function):
    """A plain function as one that may wait for the page with `run_sync`, for which it must run in a task."""
    if not isinstance(function, (types.FunctionType, types.MethodType)) or inspect.iscoroutinefunction(function) \
            or inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return function

    @functools.wraps(function)
    async def call(*args, **options):
        return function(*args, **options)

    return call


def offered(value, seen=()):
    """What an app hands over, as the client can carry it: instances become what they can do and plain fields."""
    if isinstance(value, type):
        value = value()
    if any(value is outer for outer in seen):
        return None
    if isinstance(value, dict):
        return {name: offered(inner, (*seen, value)) for name, inner in value.items()}
    if callable(value):
        return switchable(value)
    if isinstance(value, PLAIN) or not hasattr(value, "__dict__"):
        return value
    if type(value).__module__ not in ("__main__", "builtins"):
        return value
    members = {name: getattr(value, name) for name in dir(value) if not name.startswith("_")}
    return {name: offered(inner, (*seen, value)) for name, inner in members.items()
            if callable(inner) or isinstance(inner, (*PLAIN, dict)) or type(inner).__module__ == "__main__"}


class Hasty:
    """`asyncio` for a client that connects: it sleeps for 0.1 s then, for servers that need a moment. This one says that
    it is ready when it is."""

    def __getattr__(self, name):
        return getattr(asyncio, name)

    async def sleep(self, delay, *rest):
        return await asyncio.sleep(0 if delay == 0.1 else delay, *rest)


class Api:
    """`from hypha_rpc import api`: connects when it is first wanted."""

    def __init__(self, config):
        self._config, self._server, self._connecting, self._exports = config, None, None, []

    async def _connected(self):
        if self._connecting is None:
            self._connecting = asyncio.ensure_future(self._connect())
        return await asyncio.shield(self._connecting)

    async def _connect(self):
        from hypha_rpc import connect_to_server, websocket_client

        names = ("server_url", "workspace", "client_id", "token", "app_id", "name", "method_timeout")
        config = {name: self._config[name] for name in names if self._config.get(name)}
        websocket_client.asyncio = Hasty()
        try:
            self._server = await connect_to_server(config)
        finally:
            websocket_client.asyncio = asyncio
        return self._server

    def export(self, exported, config=None, **options):
        work = asyncio.ensure_future(self._export(exported, config or {}, options))
        self._exports.append(work)
        return work

    async def _export(self, exported, config, options):
        server = await self._connected()
        if callable(exported) and not isinstance(exported, type):
            exported = {exported.__name__: exported}
        name = self._config.get("name") or self._config.get("app_id") or "default"
        service = {"id": "default", "name": name, **offered(exported)}
        service["config"] = {**(service.get("config") or {}), **config}
        info = await server.register_service(service, {"overwrite": True, **options})
        print("Application initialized successfully.")
        return info

    async def register_service(self, service, *args, **options):
        server = await self._connected()
        return await server.register_service(offered(service), *args, **options)

    async def _settled(self):
        """Once all that the script exported is known to the server, and what it exports meanwhile."""
        while self._exports:
            await self._exports.pop(0)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        if self._server is not None:
            return getattr(self._server, name)

        async def later(*args, **options):
            return await getattr(await self._connected(), name)(*args, **options)

        return later

    def __getitem__(self, name):
        return getattr(self, name)


# --- what the app needs before it runs -----------------------------------------------------

def plain_name(requirement):
    """Its canonical name, if it asks for no version and the like."""
    found = re.fullmatch(r"\s*([A-Za-z0-9][\w.-]*)\s*", requirement)
    return found and re.sub(r"[-_.]+", "-", found[1]).lower()


class Packages:
    """Packages from the runtime's own folder, and what is not there from the server's index."""

    def __init__(self, known, index, runtime):
        self.known, self.index, self.runtime, self.mute = set(known), index, runtime, js.Function.new("")

    async def load(self, names):
        import pyodide_js

        failures = []
        await pyodide_js.loadPackage(to_js(names), messageCallback=self.mute, errorCallback=failures.append)
        if failures:
            raise RuntimeError("; ".join(map(str, failures)))

    async def install(self, requirements):
        names = [plain_name(requirement) for requirement in requirements]
        await self.load([name for name in names if name in self.known])
        others = [given for given, name in zip(requirements, names) if name not in self.known]
        if not others:
            return
        import micropip

        try:
            await micropip.install(others, keep_going=True)
        except Exception as error:
            reason = await self.reason(others, error)
            raise RuntimeError(
                f"the requirements {', '.join(others)} cannot be installed for Python {sys.version.split()[0]} in "
                f"the browser ({self.runtime}): {reason}") from None

    async def reason(self, requirements, error):
        """What the index says about a package; micropip only tells that it did not get it."""
        from pyodide.http import pyfetch

        text = str(error).split("\nSee:")[0].strip()
        names = [re.split(r"[^\w.-]", given.strip())[0] for given in requirements]
        names = dict.fromkeys(names + re.findall(r"'([A-Za-z0-9][\w.-]+)[^' ]*'", text))
        for name in names:
            answer = await pyfetch(f"{self.index}/{name}/")
            if not answer.ok:
                return f"{name}: {(await answer.json()).get('detail', answer.status)}"
        return text

    async def of(self, source):
        """The packages of the runtime that a script imports."""
        import pyodide_js

        await pyodide_js.loadPackagesFromImports(source, messageCallback=self.mute, errorCallback=self.mute)

    def use_own_index(self, micropip):
        # micropip looks into the runtime's folder first exactly when it uses its default index.
        micropip.package_index.DEFAULT_INDEX_URLS[:] = [self.index]
        micropip.set_index_urls([self.index])


async def mount(paths, files, config):
    """Files of the app, put where Python finds modules (server-apps.md 5.2)."""
    for path in paths:
        target = f"/tmp/custom_modules_{path.replace('/', '_')}"
        try:
            await (fetch_folder(path, target, files) if files else fetch_artifact(path, target, config))
        except Exception as error:
            raise RuntimeError(f"Failed to download required artifact files: {path}: {error}") from error
        sys.path.insert(0, target)


async def fetch_folder(path, target, files):
    """From beside the page, where the files are of the very version that runs."""
    from pyodide.http import pyfetch

    async def fetched(name):
        response = await pyfetch(files + js.encodeURI(name))
        if not response.ok:
            raise FileNotFoundError(f"{name} ({response.status})")
        return response

    folder = path.strip("/.")
    listed = await (await fetched(f"{folder}/" if folder else "")).json()
    for name in listed or [path]:
        place = os.path.join(target, os.path.relpath(name, folder) if listed else os.path.basename(name))
        os.makedirs(os.path.dirname(place), exist_ok=True)
        content = await (await fetched(name)).bytes()
        with open(place, "wb") as file:
            file.write(content)


async def fetch_artifact(path, target, config):
    """From the artifact of the app: for somebody who opened its page."""
    from hypha_artifact import AsyncHyphaArtifact

    artifact = AsyncHyphaArtifact(config["app_id"], config["workspace"], config["token"], config["server_url"])
    await artifact.get(path, target, recursive=True)


# --- the app -------------------------------------------------------------------------------

class Stream(io.TextIOBase):
    """Standard output, of which a cell gets what it wrote itself."""

    encoding = "utf-8"

    def __init__(self, name, real):
        self.name, self.real = name, real

    def write(self, text):
        cell = current.get()
        if cell:
            cell.stream(self.name, text)
        return self.real.write(text)

    def flush(self):
        self.real.flush()

    def writable(self):
        return True


def display(*values):
    for value in values:
        cell, data = current.get(), data_of(value)
        if cell:
            cell.show("display_data", data)
        else:
            print(data["text/plain"])


class Cell:
    def __init__(self, number, script):
        self.number, self.script, self.outputs, self.room = number, script, [], MOST_OUTPUT

    def stream(self, name, text):
        if len(text) > self.room:
            text = text[:self.room] + "\n… [cut]" if self.room else ""
        self.room = max(0, self.room - len(text))
        last = self.outputs[-1] if self.outputs else {}
        if last.get("type") == "stream" and last["name"] == name:
            last["text"] += text
        elif text:
            self.outputs.append({"type": "stream", "name": name, "text": text})

    def show(self, kind, data):
        self.outputs.append({"type": kind, "data": data, "metadata": {}})

    async def run(self, namespace):
        current.set(self)
        error = None
        try:
            value = await evaluated(self.script, f"<cell {self.number}>", namespace)
            if value is not None:
                namespace["_"] = value
                self.show("execute_result", data_of(value))
            for data in figures():
                self.show("display_data", data)
        except BaseException as raised:
            error = {"ename": type(raised).__name__, "evalue": str(raised), "traceback": own_traceback(raised)}
        return {"status": "error" if error else "ok", "outputs": self.outputs, "error": error}


class App:
    def __init__(self, config, source, files, packages):
        self.config, self.source, self.files = config, source, files
        self.packages, self.api, self.cells = packages, Api(config), 0
        main = types.ModuleType("__main__")
        main.__file__ = "main.py"
        sys.modules["__main__"] = main
        self.namespace = main.__dict__

    def with_api(self, module):
        module.api = self.api

    def prepare(self):
        sys.meta_path.insert(0, Afterwards({
            "hypha_rpc": self.with_api, "httpx": with_fetch, "anyio.to_thread": without_threads,
            "hypha_artifact": with_documented_names, "micropip": self.packages.use_own_index}))
        without_ssl()
        values = self.config.get("env") or {}
        os.environ.update({name: str(value) for name, value in values.items() if value is not None})
        sys.stdout, sys.stderr = Stream("stdout", sys.stdout), Stream("stderr", sys.stderr)
        builtins.display = display

    def renew_client(self):
        """The RPC client looks for packages that it can work with when it is imported, which was before they came."""
        if any(importlib.util.find_spec(name) for name in ("numpy", "pydantic")):
            for name in [name for name in sys.modules if name.split(".")[0] == "hypha_rpc"]:
                del sys.modules[name]
            sys.meta_path.insert(0, Afterwards({"hypha_rpc": self.with_api}))

    async def start(self):
        self.prepare()
        await self.packages.of(self.source)
        paths = self.config.get("required_artifact_files") or []
        requirements = list(self.config.get("requirements") or [])
        await self.packages.install(requirements + (["hypha-artifact"] if paths and not self.files else []))
        self.renew_client()
        await mount(paths, self.files, self.config)
        source = dedented(self.source)
        linecache.cache["main.py"] = (len(source), None, source.splitlines(True), "main.py")
        await awaited(compile(source, "main.py", "exec", AWAIT), self.namespace)
        await self.api._settled()

    async def execute(self, script):
        self.cells += 1
        cell = Cell(self.cells, script)
        outcome = await asyncio.create_task(cell.run(self.namespace))
        return json.dumps(outcome, default=repr)


async def warm():
    """Imports what apps import first, before there is an app."""
    without_ssl()
    try:
        import hypha_rpc  # noqa: F401
    except ImportError:
        pass  # a runtime from elsewhere gets it together with what the app requires


async def run(config, source, files, known, index, runtime):
    """Starts an app: it, or the text of why it does not start."""
    app = App(config, source, files, Packages(known, index, runtime))
    try:
        await app.start()
    except BaseException as error:
        if isinstance(error, SystemExit) and error.code in (None, 0):
            return app
        return "".join(own_traceback(error)).strip()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return app
