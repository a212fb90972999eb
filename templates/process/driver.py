"""Runs one Python app in a process of its own, and code on top of it (src/workers/process).

Descriptor 3 is the line to the server. The first line from it is the order; later ones are cells
to execute. Each line to it is an event: finished, output, done. templates/python/showing.py stands before it.
"""

import asyncio
import builtins
import contextvars
import ctypes
import inspect
import io
import json
import os
import queue
import signal
import socket
import sys
import threading
import time
import traceback
import types

MOST_OUTPUT = 4 << 20

line = socket.socket(fileno=3)
os.set_inheritable(3, False)
incoming = line.makefile("r", encoding="utf-8")
telling = threading.Lock()
current = contextvars.ContextVar("cell", default=None)


def tell(**message):
    text = json.dumps(message, ensure_ascii=False, default=repr)
    with telling:
        line.sendall((text + "\n").encode("utf-8", "replace"))


# --- what cells show -----------------------------------------------------------------------

class Stream(io.TextIOBase):
    """Standard output, of which a cell gets what it wrote itself."""

    def __init__(self, name, real):
        self.name, self.real = name, real

    encoding = "utf-8"

    def write(self, text):
        cell = current.get()
        if cell:
            cell.stream(self.name, text)
        self.real.write(text)
        return len(text)

    def flush(self):
        self.real.flush()

    def fileno(self):
        return self.real.fileno()

    def isatty(self):
        return False

    def writable(self):
        return True

    @property
    def buffer(self):
        return self.real.buffer


def display(*values):
    for value in values:
        cell = current.get()
        data = data_of(value)
        if cell:
            cell.show("display_data", data)
        else:
            print(data["text/plain"])


def own_traceback(error):
    """Without the frames of this file."""
    frames = error.__traceback__
    while frames and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    return traceback.format_exception(type(error), error, frames)


class Cell:
    def __init__(self, number, script):
        self.number, self.script = number, script
        self.room, self.open, self.task, self.thread = MOST_OUTPUT, True, None, None
        self.interrupted = False

    def output(self, **output):
        if self.open:
            tell(event="output", cell=self.number, output=output)

    def stream(self, name, text):
        if len(text) > self.room:
            text = text[:self.room] + "\n… [cut]" if self.room else ""
        self.room = max(0, self.room - len(text))
        if text:
            self.output(type="stream", name=name, text=text)

    def show(self, kind, data):
        self.output(type=kind, data=data, metadata={})

    async def run(self, namespace):
        token = current.set(self)
        error = None
        try:
            await self.evaluate(namespace)
            for data in figures():
                self.show("display_data", data)
        except BaseException as raised:
            if self.interrupted:
                raised = TimeoutError("the execution took too long and was interrupted")
                lines = [f"TimeoutError: {raised}"]
            else:
                lines = own_traceback(raised)
            error = {"ename": type(raised).__name__, "evalue": str(raised), "traceback": lines}
        finally:
            current.reset(token)
            self.open = False
        tell(event="done", cell=self.number, error=error)

    async def evaluate(self, namespace):
        value = await evaluated(self.script, f"<cell {self.number}>", namespace)
        if value is not None:
            namespace["_"] = value
            self.show("execute_result", data_of(value))


# --- the app -------------------------------------------------------------------------------

class Api:
    """`from hypha_rpc import api`, as in apps that run in a page."""

    def __init__(self):
        self.exported, self.server = None, None

    def export(self, exported, config=None):
        if not isinstance(exported, dict):
            exported = {name: getattr(exported, name) for name in dir(exported) if not name.startswith("_")}
        self.exported = (exported, config or {})
        driver.wake()

    def __getattr__(self, name):
        if self.server is None:
            raise RuntimeError(f"api.{name} can be used once api.export() has connected, e.g. in setup()")
        return getattr(self.server, name)

    async def connect(self):
        from hypha_rpc import connect_to_server

        exported, config = self.exported
        self.server = await connect_to_server({
            "server_url": os.environ["HYPHA_SERVER_URL"], "workspace": os.environ["HYPHA_WORKSPACE"],
            "client_id": os.environ["HYPHA_CLIENT_ID"], "token": os.environ["HYPHA_TOKEN"],
            "app_id": os.environ["HYPHA_APP_ID"], "name": driver.order["name"]})
        service = {"id": "default", "name": driver.order["name"], **exported}
        service["config"] = {**(service.get("config") or {}), **config}
        await self.server.register_service(service, {"overwrite": True})
        print("Application initialized successfully.")


class Finder:
    """Puts `api` into hypha_rpc when the app imports it."""

    def find_spec(self, name, path=None, target=None):
        if name != "hypha_rpc":
            return None
        sys.meta_path.remove(self)
        import importlib.util

        spec = importlib.util.find_spec(name)
        if spec and spec.loader:
            run = spec.loader.exec_module

            def exec_module(module):
                run(module)
                module.api = api

            spec.loader.exec_module = exec_module
        return spec


class Driver:
    def __init__(self):
        self.order, self.namespace = None, None
        self.loop = asyncio.new_event_loop()
        self.cells, self.threaded, self.seen = {}, queue.Queue(), time.monotonic()
        # The main thread takes cells once it runs the loop.
        self.looping, self.finished, self.failed = False, False, None

    def listen(self):
        """In a thread of its own: what the server wants."""
        for text in incoming:
            message = json.loads(text)
            self.seen = time.monotonic()
            if message["do"] == "execute":
                cell = self.cells[message["cell"]] = Cell(message["cell"], message["script"])
                if self.looping:
                    self.loop.call_soon_threadsafe(self.begin, cell)
                else:
                    self.threaded.put(cell)
            elif message["do"] == "interrupt":
                self.interrupt(self.cells.get(message["cell"]))
        os._exit(0)  # the server is gone

    def begin(self, cell):
        cell.task = self.loop.create_task(self.whole(cell))

    async def whole(self, cell):
        try:
            await cell.run(self.namespace)
        finally:
            self.cells.pop(cell.number, None)
            self.seen = time.monotonic()

    def beside(self):
        """Executes cells while the app keeps the main thread to itself."""
        while True:
            cell = self.threaded.get()
            cell.thread = threading.get_ident()
            try:
                asyncio.run(self.whole(cell))
            except BaseException:
                traceback.print_exc()

    def interrupt(self, cell):
        if cell is None or not cell.open:
            return
        cell.interrupted = True
        if cell.thread:
            target = ctypes.c_ulong(cell.thread)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(target, ctypes.py_object(KeyboardInterrupt))
        elif cell.task:
            self.loop.call_soon_threadsafe(cell.task.cancel)
            # When the cell computes, only a signal gets through to it.
            threading.Timer(0.2, lambda: cell.open and signal.pthread_kill(
                threading.main_thread().ident, signal.SIGINT)).start()

    def wake(self):
        if self.looping:
            self.loop.call_soon_threadsafe(lambda: None)

    def run(self):
        self.order = json.loads(incoming.readline())
        entry = self.order["entry"]
        module = types.ModuleType("__main__")
        module.__file__, module.__builtins__ = entry, builtins
        sys.modules["__main__"] = module
        self.namespace = module.__dict__
        sys.argv, sys.path[0] = [entry], os.path.dirname(os.path.abspath(entry))
        sys.stdout, sys.stderr = Stream("stdout", sys.stdout), Stream("stderr", sys.stderr)
        builtins.display = display
        sys.meta_path.insert(0, Finder())
        asyncio.set_event_loop(self.loop)
        for work in (self.listen, self.beside):
            threading.Thread(target=work, daemon=True).start()
        self.script(entry)
        # As at the end of any program: threads that are no daemons come first.
        for thread in threading.enumerate():
            if thread is not threading.main_thread() and not thread.daemon:
                thread.join()
        self.serve()

    def script(self, entry):
        with open(entry, encoding="utf-8-sig") as file:
            source = dedented(file.read())
        try:
            code = compile(source, entry, "exec", AWAIT)
            if code.co_flags & inspect.CO_COROUTINE:
                self.looping = True
                self.loop.run_until_complete(awaited(code, self.namespace))
            else:
                exec(code, self.namespace)
        except SystemExit as end:
            if end.code not in (None, 0):
                if not isinstance(end.code, int):
                    print(end.code, file=sys.stderr)
                self.leave(end.code if isinstance(end.code, int) else 1)
        except BaseException as error:
            print("".join(own_traceback(error)), end="", file=sys.stderr)
            self.leave(1)

    def leave(self, code):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code & 0xFF)

    def serve(self):
        """The main thread after the script: what it has begun, and cells."""
        watch = self.loop.create_task(self.watch())
        self.looping = True
        while not watch.done():
            try:
                self.loop.run_until_complete(watch)
            except KeyboardInterrupt:
                pass  # it came too late for its cell
            except BaseException as error:
                print("".join(own_traceback(error)), end="", file=sys.stderr)
                self.leave(1)
        self.leave(0)

    async def watch(self):
        """Tells when nothing of the app is left, and ends the process when nobody uses it any more."""
        own, connected = asyncio.current_task(), False
        while True:
            if api.exported and not connected:
                connected = True
                await api.connect()
            cells = {cell.task for cell in list(self.cells.values())}
            begun = [task for task in asyncio.all_tasks() if task is not own and task not in cells]
            if not self.finished and not begun and not connected:
                self.finished = True
                tell(event="finished")
            idle = time.monotonic() - self.seen
            if self.finished and not self.cells and not begun and idle > self.order["linger"]:
                return
            while not self.threaded.empty():
                self.begin(self.threaded.get())
            await asyncio.sleep(0.05 if idle < 5 else 0.5)


api, driver = Api(), Driver()

if __name__ == "__main__":
    driver.run()
