"""Runs one startup function in a process of its own, beside the server (src/startup).

Descriptor 3 is the line to the server: the first line from it is the order, each line to it tells
how things went. The token of the order is good for one connection soon after it was made.
"""

import asyncio
import importlib
import importlib.util
import inspect
import json
import os
import re
import signal
import socket
import sys
import threading
import traceback

line = socket.socket(fileno=3)
os.set_inheritable(3, False)
incoming = line.makefile("r", encoding="utf-8")
AUTH_SERVICE = "startup-auth"
NO_STORE = (
    "server.store is not available: startup functions run in a process of their own, beside the "
    "server. Use the functions of `server` instead."
)


def tell(**message):
    line.sendall((json.dumps(message) + "\n").encode())


def watch_server():
    """Ends this process when the server is gone, whatever the function is doing."""
    incoming.read()
    os._exit(0)


def load(target, name):
    # As for `python -m`: what lies in the working directory can be imported.
    sys.path.insert(0, os.getcwd())
    if not target.endswith(".py"):
        return getattr(importlib.import_module(target), name)
    if not os.path.exists(target):
        raise FileNotFoundError(f"Module {target} does not exist")
    sys.path.append(os.path.dirname(os.path.abspath(target)))
    module_name = re.sub(r"\W", "_", os.path.basename(target)[:-3])
    spec = importlib.util.spec_from_file_location(module_name, target)
    module = importlib.util.module_from_spec(spec)
    if module_name not in sys.modules:
        sys.modules[module_name] = module
    spec.loader.exec_module(module)
    return getattr(module, name)


def plain(value):
    """A pydantic model or another object as what can be sent."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if hasattr(value, "toDict"):
        return value.toDict()
    return value


async def settled(value):
    return await value if inspect.isawaitable(value) else value


def passed_on(function):
    """A function of another client as one of our own, which alone can be offered."""
    async def passed(*args, **kwargs):
        return await function(*args, **kwargs)

    return passed


class Pending:
    """A call that runs whether or not it is awaited."""

    def __init__(self, coroutine):
        self.task = asyncio.ensure_future(coroutine)
        self.awaited = False

    def __await__(self):
        self.awaited = True
        return self.task.__await__()


class Host:
    """What the function is given beside the API of the workspace manager."""

    def __init__(self, api, proxy):
        self.api, self.proxy = api, proxy
        self.pending, self.auth, self.taken = [], {}, set()

    def later(self, coroutine):
        pending = Pending(coroutine)
        self.pending.append(pending)
        return pending

    async def finish(self):
        """Waits for what the function started and did not wait for."""
        for pending in self.pending:
            if not pending.awaited:
                await pending
        self.pending.clear()

    def register_service(self, service, config=None, **options):
        if isinstance(service, dict) and not service.get("id"):
            service["id"] = self.free_id(service)
        return self.later(self.api.register_service(service, config, **options)
                          if config is not None else self.api.register_service(service, **options))

    def free_id(self, service):
        words = str(service.get("name") or service.get("type") or "service").lower()
        stem = re.sub(r"[^a-z0-9]+", "-", words).strip("-") or "service"
        number, found = 1, stem
        while found in self.taken:
            number += 1
            found = f"{stem}-{number}"
        self.taken.add(found)
        return found

    # --- who users are ---------------------------------------------------------------------

    async def use_auth(self, **functions):
        self.auth.update({name: given for name, given in functions.items() if given})
        if not self.auth:
            return
        offered = {name: getattr(self, name) for name in self.auth}
        self.api.rpc.add_service({
            "id": AUTH_SERVICE, "type": "startup-auth",
            "config": {"visibility": "protected", "_local_only": True}, **offered}, overwrite=True)
        tell(event="auth", functions=sorted(self.auth))

    async def parse_token(self, token):
        return plain(await settled(self.auth["parse_token"](token)))

    async def generate_token(self, user, expires_in):
        return await settled(self.auth["generate_token"](self.as_user(user), expires_in))

    async def get_token(self, scope):
        return await settled(self.auth["get_token"](plain(scope)))

    def as_user(self, user):
        """The reference's own class where that is installed, which such functions are written for."""
        user = plain(user)
        try:
            from hypha.core import UserInfo
        except ImportError:
            return self.proxy.fromDict(user)
        known = getattr(UserInfo, "model_fields", user)
        return UserInfo.model_validate({key: value for key, value in user.items() if key in known})

    def register_auth_service(self, parse_token=None, generate_token=None, get_token=None,
                              login_service=None, index_handler=None, start_handler=None,
                              check_handler=None, report_handler=None, **extra):
        return self.later(self.set_up_auth(
            parse_token, generate_token, get_token, login_service,
            {"index": index_handler, "start": start_handler, "check": check_handler,
             "report": report_handler}, extra))

    async def set_up_auth(self, parse_token, generate_token, get_token, login, handlers, extra):
        await self.use_auth(parse_token=parse_token, generate_token=generate_token,
                            get_token=get_token)
        given = {name: handler for name, handler in handlers.items() if handler}
        if not login and not given:
            return
        service = {"id": "hypha-login", "name": "Hypha Login", "type": "functions",
                   "description": "Custom authentication service for Hypha"}
        if login:
            service.update(login)
        else:
            missing = [name for name in handlers if name not in given]
            if missing:
                # What the server itself offers for them; it makes room for this service later.
                own = await self.api.get_service(f"public/{self.order['server_id']}:hypha-login")
                service.update({name: passed_on(own[name]) for name in missing})
        service.update(given)
        service.update(extra)
        service["config"] = {**(service.get("config") or {}), "visibility": "public"}
        service["config"].pop("workspace", None)
        await self.api.register_service(service, {"overwrite": True})

    # --- more of the reference's server object ---------------------------------------------

    async def get_root_user(self):
        return self.proxy.fromDict(plain(self.api.config.user))

    def get_workspace_interface(self, user_info=None, workspace=None, client_id=None, **_):
        """Another workspace's API, for `async with`."""
        from hypha_rpc import connect_to_server

        host = self

        class Interface:
            async def __aenter__(self):
                target = workspace or host.api.config.workspace
                token = await host.api.generate_token(
                    {"workspace": target, "permission": "admin", "expires_in": 60})
                options = {"server_url": host.order["server_url"], "workspace": target, "token": token}
                if client_id:
                    options["client_id"] = client_id
                self.api = await connect_to_server(options)
                return self.api

            async def __aexit__(self, *_):
                await self.api.disconnect()

            def __await__(self):
                return self.__aenter__().__await__()

        return Interface()

    def server(self):
        """The object that the function gets."""
        host = self

        class Server(self.proxy):
            def __getattribute__(self, name):
                if name == "store":
                    raise NotImplementedError(NO_STORE)
                return super().__getattribute__(name)

            def __getitem__(self, name):
                if name == "store":
                    raise NotImplementedError(NO_STORE)
                return super().__getitem__(name)

            def get(self, name, default=None):
                return self[name] if name in self or name == "store" else default

        def setter(name):
            async def set_function(function):
                await host.use_auth(**{name: function})

            return set_function

        server = Server()
        dict.update(server, self.api)
        dict.update(server, {
            "register_service": self.register_service,
            "register_auth_service": self.register_auth_service,
            "set_parse_token_function": setter("parse_token"),
            "set_generate_token_function": setter("generate_token"),
            "set_get_token_function": setter("get_token"),
            "get_root_user": self.get_root_user,
            "get_workspace_interface": self.get_workspace_interface,
        })
        return server


async def run(order):
    from hypha_rpc import connect_to_server
    from hypha_rpc.utils import ObjectProxy

    # The function first: a mistake in it needs no connection to show.
    function = load(order["target"], order["function"])
    if not inspect.iscoroutinefunction(function):
        raise TypeError(f"Entrypoint {order['function']} is not a coroutine")
    api = await connect_to_server({
        "server_url": order["server_url"], "token": order.pop("token"), "workspace": "public",
        "client_id": order["client_id"], "name": order["name"]})
    host = Host(api, ObjectProxy)
    host.order = order
    await function(host.server())
    await host.finish()
    tell(event="ready")
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, os._exit, 0)
    await asyncio.Event().wait()


def main():
    order = json.loads(incoming.readline())
    threading.Thread(target=watch_server, daemon=True).start()
    try:
        asyncio.run(run(order))
    except BaseException as error:
        text = "".join(traceback.format_exception(error))
        tell(event="failed", error=f"{type(error).__name__}: {error}", traceback=text)
        sys.stdout.flush()
        os._exit(1)


if __name__ == "__main__":
    main()
