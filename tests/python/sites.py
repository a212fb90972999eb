"""Web sites for pages to visit: fixed answers, and what was asked for."""

import asyncio
import base64
import ssl


class Request:
    """One request as it came: method, path with query, and headers by lower-case name."""

    def __init__(self, head):
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.path, _ = first.split(" ", 2)
        self.headers = {name.strip().lower(): value.strip()
                        for name, _, value in (line.partition(":") for line in lines if line)}


class Site:
    """A site on a port of its own. `pages` maps paths to (content type, body); `password` asks for one."""

    def __init__(self, pages, password=None, certificate=None):
        self.pages, self.password, self.certificate = dict(pages), password, certificate
        self.requests = []

    async def __aenter__(self):
        context = None
        if self.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.certificate)
        self.server = await asyncio.start_server(self.answer, "127.0.0.1", 0, ssl=context)
        self.port = self.server.sockets[0].getsockname()[1]
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_):
        self.server.close()

    async def answer(self, reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            request = Request(head[:-4])
            self.requests.append(request)
            writer.write(self.reply(request))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def reply(self, request):
        status, more = "200 OK", "access-control-allow-origin: *\r\naccess-control-allow-headers: *\r\n"
        kind, body = self.pages.get(request.path.partition("?")[0], (None, ""))
        if self.password and request.headers.get("authorization") != "Basic " + base64.b64encode(
                self.password.encode()).decode():
            status, more, kind, body = "401 Unauthorized", more + 'www-authenticate: Basic realm="x"\r\n', "text/plain", "no"
        elif kind is None:
            status, kind = "404 Not Found", "text/plain"
        data = body.encode() if isinstance(body, str) else body
        return (f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(data)}\r\n{more}"
                "connection: close\r\n\r\n").encode() + data
