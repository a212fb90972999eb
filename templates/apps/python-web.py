# What Python lacks in a page, made of what the page has: HTTP, a stand-in for `ssl`, and no threads.
# Between templates/python/showing.py and python-app.py.

import importlib.abc
import importlib.util
import types

import js
from pyodide.ffi import JsException, to_js

# Headers that a page may not set, and those that no longer fit once it has decoded a body.
FORBIDDEN = {"accept-encoding", "connection", "content-length", "cookie", "host", "te", "transfer-encoding"}
DECODED = {"content-encoding", "content-length"}
BODYLESS = {"GET", "HEAD"}


class Afterwards(importlib.abc.MetaPathFinder):
    """Changes modules once they are imported, at once where they are: {name: what to do with the module}."""

    def __init__(self, changes):
        self.changes = {}
        for name, change in changes.items():
            if name in sys.modules:
                change(sys.modules[name])
            else:
                self.changes[name] = change

    def find_spec(self, name, path=None, target=None):
        change = self.changes.pop(name, None)
        spec = importlib.util.find_spec(name) if change else None
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            change(module)

        spec.loader.exec_module = exec_module
        return spec


def without_ssl():
    """The page encrypts. Libraries want the names for annotations and `except`."""
    if "ssl" in sys.modules or importlib.util.find_spec("_ssl"):
        return
    module = types.ModuleType("ssl", "A stand-in: in a page, the browser encrypts.")
    module.SSLObject, module.MemoryBIO, module.SSLContext = (
        type(name, (), {}) for name in ("SSLObject", "MemoryBIO", "SSLContext"))
    module.SSLError = type("SSLError", (OSError,), {})
    for name in ("CertificateError", "SSLCertVerificationError", "SSLEOFError", "SSLSyscallError", "SSLWantReadError",
                 "SSLWantWriteError", "SSLZeroReturnError"):
        setattr(module, name, type(name, (module.SSLError,), {}))
    module.create_default_context = lambda *args, **options: module.SSLContext()
    sys.modules["ssl"] = module


def without_threads(to_thread):
    """anyio runs blocking functions in threads, of which there are none."""
    async def run_sync(func, *args, **options):
        return func(*args)

    to_thread.run_sync = run_sync


def sendable(request, body):
    headers = [[name, value] for name, value in request.headers.items() if name.lower() not in FORBIDDEN]
    return headers, None if request.method in BODYLESS and not body else to_js(body)


def with_fetch(httpx):
    """Lets httpx send its requests through the page: `fetch`, and where it must not wait, XMLHttpRequest."""

    class Body(httpx.AsyncByteStream):
        def __init__(self, response):
            self.reader = response.body.getReader() if response.body else None

        async def __aiter__(self):
            while self.reader:
                piece = await self.reader.read()
                if piece.done:
                    return
                yield piece.value.to_bytes()

        async def aclose(self):
            reader, self.reader = self.reader, None
            if reader:
                await reader.cancel()

    def answer(request, status, headers, stream):
        kept = [(name, value) for name, value in headers if name.lower() not in DECODED]
        return httpx.Response(status, headers=kept, stream=stream, request=request)

    class Fetch(httpx.AsyncBaseTransport):
        def __init__(self, *args, **options):
            pass

        async def handle_async_request(self, request):
            body = b"".join([piece async for piece in request.stream])
            headers, body = sendable(request, body)
            abort = js.AbortController.new()
            limits = request.extensions.get("timeout", {})
            limit = max((limits.get(kind) or 0 for kind in ("connect", "read")), default=0)
            timer = limit and asyncio.get_running_loop().call_later(limit, abort.abort)
            options = {"method": request.method, "headers": headers, "signal": abort.signal}
            if body is not None:
                options["body"] = body
            try:
                response = await js.fetch(str(request.url), to_js(options, dict_converter=js.Object.fromEntries))
            except JsException as error:
                kind = httpx.ReadTimeout if abort.signal.aborted else httpx.ConnectError
                raise kind(f"{error.message} ({request.method} {request.url})", request=request) from None
            except asyncio.CancelledError:
                abort.abort()
                raise
            finally:
                if timer:
                    timer.cancel()
            return answer(request, response.status, [tuple(pair) for pair in response.headers], Body(response))

    class Blocking(httpx.BaseTransport):
        def __init__(self, *args, **options):
            pass

        def handle_request(self, request):
            headers, body = sendable(request, b"".join(request.stream))
            call = js.XMLHttpRequest.new()
            call.open(request.method, str(request.url), False)
            call.responseType = "arraybuffer"
            call.timeout = int((request.extensions.get("timeout", {}).get("read") or 0) * 1000)
            for name, value in headers:
                call.setRequestHeader(name, value)
            try:
                call.send(body)
            except JsException as error:
                kind = httpx.ReadTimeout if error.name == "TimeoutError" else httpx.ConnectError
                raise kind(f"{error.message} ({request.method} {request.url})", request=request) from None
            lines = call.getAllResponseHeaders().splitlines()
            pairs = [tuple(part.strip() for part in line.split(":", 1)) for line in lines if ":" in line]
            return answer(request, call.status, pairs, httpx.ByteStream(call.response.to_bytes()))

    for module in (httpx, httpx._client, httpx._transports.default):
        module.AsyncHTTPTransport, module.HTTPTransport = Fetch, Blocking


def with_documented_names(module):
    """The documentation of apps calls two methods of the artifact client by other names."""
    async def list_files(self, path="/"):
        return [name.lstrip("/") for name in await self.find(path)]

    async def get_file(self, path, **options):
        return await self.cat(path, **options)

    for method in (list_files, get_file):
        if not hasattr(module.AsyncHyphaArtifact, method.__name__):
            setattr(module.AsyncHyphaArtifact, method.__name__, method)


