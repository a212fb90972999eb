"""What pages see of the world: the Playwright settings, from variables, the config file and manifests."""

import asyncio
import json
import os
import subprocess

import pytest

from harness import binary, failure_text
from sites import Site

# What a page and a worker of it say about the world.
REPORT = """async () => {
    const media = (query) => matchMedia(query).matches;
    const state = async (name) => (await navigator.permissions.query({ name })).state;
    const place = await new Promise((resolve) => navigator.geolocation.getCurrentPosition(
        ({ coords }) => resolve([coords.latitude, coords.longitude, coords.accuracy]), (error) => resolve(error.code)));
    const inWorker = () => {
        const answer = () => postMessage({ agent: navigator.userAgent, zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
            number: (1234.5).toLocaleString(), fetched: null });
        const worker = new Worker(URL.createObjectURL(new Blob([`(${answer})()`])));
        return new Promise((resolve) => worker.onmessage = ({ data }) => resolve(data));
    };
    return {
        size: [innerWidth, innerHeight], screen: [screen.width, screen.height], scale: devicePixelRatio,
        coarse: media("(pointer: coarse)"), touches: navigator.maxTouchPoints, touch: "ontouchstart" in window,
        agent: navigator.userAgent, language: navigator.language, languages: [...navigator.languages],
        zone: Intl.DateTimeFormat().resolvedOptions().timeZone, number: (1234.5).toLocaleString(),
        dark: media("(prefers-color-scheme: dark)"), still: media("(prefers-reduced-motion: reduce)"),
        geolocation: await state("geolocation"), camera: await state("camera"), notifications: await state("notifications"),
        clipboard: await state("clipboard-read"), place, online: navigator.onLine, worker: await inWorker(),
    };
}"""

PAGE = '<!doctype html><meta name="viewport" content="width=device-width, initial-scale=1"><title>plain</title>'

PHONE = {
    "BYPASS_CSP": "true", "IGNORE_HTTPS_ERRORS": "1", "ACCEPT_DOWNLOADS": "yes",
    "PERMISSIONS": "geolocation, camera,clipboard-read", "VIEWPORT_WIDTH": "375", "VIEWPORT_HEIGHT": "812",
    "IS_MOBILE": "true", "HAS_TOUCH": "true", "DEVICE_SCALE_FACTOR": "2", "LOCALE": "fr-FR",
    "TIMEZONE_ID": "America/New_York", "COLOR_SCHEME": "dark", "REDUCED_MOTION": "reduce",
    "USER_AGENT": "Custom Agent/1.0", "GEOLOCATION_LATITUDE": "37.7749", "GEOLOCATION_LONGITUDE": "-122.4194",
    "GEOLOCATION_ACCURACY": "10",
}


def check_phone(seen):
    assert seen["size"] == [375, 812] and seen["screen"] == [375, 812] and seen["scale"] == 2
    assert seen["coarse"] and seen["touches"] > 0 and seen["touch"]
    assert seen["agent"] == seen["worker"]["agent"] == "Custom Agent/1.0"
    assert seen["language"] == "fr-FR" and seen["languages"] == ["fr-FR"]
    assert seen["zone"] == seen["worker"]["zone"] == "America/New_York"
    assert seen["number"] == seen["worker"]["number"] == "1\u202f234,5"
    assert seen["dark"] and seen["still"]
    assert (seen["geolocation"], seen["camera"], seen["notifications"]) == ("granted", "granted", "denied")
    assert seen["place"] == [37.7749, -122.4194, 10]


async def install(controller, manifest=None, page=PAGE, app_type="custom-html", **more):
    base = {"name": "Plain", "type": app_type, "version": "1", "entry_point": "index.html"}
    return await controller.install(source=page, manifest={**base, **(manifest or {})}, **more)


async def opened(controller, api, app):
    session = await controller.start(app.id)
    worker = await api.get_service(session.worker_id)
    return session, lambda script: worker.execute(session.id, script)


@pytest.fixture
async def controller(controller):
    """Leaves no pages open: a server has room for some twenty."""
    yield controller
    for session in await controller.list_running():
        await controller.stop(session["id"])


@pytest.fixture
def with_settings(crashable, connect, user):
    """A server of its own with these variables; gives the API and the controller."""
    async def start(args=(), **env):
        server = crashable(env=env) if not args else crashable(args=["--enable-server-apps", *args], env=env)
        server.start()
        api = await connect(user("alice", server), at=server)
        return api, await api.get_service("public/server-apps")
    return start


async def test_without_settings(controller, api):
    _, run = await opened(controller, api, await install(controller))
    seen = await run(REPORT)
    assert seen["size"] == [1280, 720] and seen["scale"] == 1 and not seen["coarse"] and not seen["touch"]
    assert "Chrome" in seen["agent"] and seen["language"] == "en-US" and seen["number"] == "1,234.5"
    assert not seen["dark"] and not seen["still"] and seen["online"]
    assert seen["geolocation"] != "granted" and seen["place"] == 1


async def test_the_variables(with_settings):
    """Every variable of the guide that a page can see, together; then pages of the other kinds."""
    api, controller = await with_settings(**{f"PLAYWRIGHT_{name}": value for name, value in PHONE.items()})
    _, run = await opened(controller, api, await install(controller))
    seen = await run(REPORT)
    check_phone(seen)
    assert seen["clipboard"] == "granted"
    window = await controller.install(
        source="api.export({ size: () => [innerWidth, innerHeight, devicePixelRatio], zone: () => new Date(0).getHours() })",
        manifest={"name": "Window", "type": "window", "version": "1"})
    service = await api.get_service(f"default@{window.id}")
    assert await service.size() == [375, 812, 2] and await service.zone() == 19
    worker = await controller.install(
        source="api.export({ seen: () => [navigator.userAgent, new Date(0).getHours()] })",
        manifest={"name": "Worker", "type": "web-worker", "version": "1"})
    service = await api.get_service(f"default@{worker.id}")
    assert await service.seen() == ["Custom Agent/1.0", 19]


async def test_the_config_file(with_settings, tmp_path):
    file = tmp_path / "rhizome.toml"
    file.write_text("""[browser]
viewport_width = 375
viewport_height = 812
is_mobile = true
has_touch = true
device_scale_factor = 2
locale = "fr-FR"
timezone_id = "America/New_York"
color_scheme = "dark"
reduced_motion = "reduce"
user_agent = "Custom Agent/1.0"
permissions = ["geolocation", "camera"]
geolocation_latitude = 37.7749
geolocation_longitude = -122.4194
geolocation_accuracy = 10
extra_http_headers = { "X-API-Version" = "v2" }
""")
    api, controller = await with_settings(args=["--config", str(file)])
    _, run = await opened(controller, api, await install(controller))
    check_phone(await run(REPORT))


async def test_a_manifest(controller, api):
    """What an app asks for itself, beside one that asks for nothing."""
    own = {name.lower(): value for name, value in PHONE.items() if name not in ("ACCEPT_DOWNLOADS", "PERMISSIONS")}
    own = {**own, "bypass_csp": True, "ignore_https_errors": True, "is_mobile": True, "has_touch": True,
           "viewport_width": 375, "viewport_height": 812, "device_scale_factor": 2, "permissions": ["geolocation", "camera"]}
    _, run = await opened(controller, api, await install(controller, {"browser": own}))
    check_phone(await run(REPORT))
    _, other = await opened(controller, api, await install(controller))
    assert (await other("[innerWidth, devicePixelRatio, navigator.userAgent.includes('Chrome')]")) == [1280, 1, True]


async def test_content_security_policies(controller, api):
    page = ('<!doctype html><meta http-equiv="Content-Security-Policy" content="script-src \'none\'">'
            "<title>strict</title><script>document.title = 'ran'</script>")
    _, strict = await opened(controller, api, await install(controller, page=page))
    assert await strict("document.title") == "strict"
    _, loose = await opened(controller, api, await install(controller, {"bypass_csp": True}, page=page))
    assert await loose("document.title") == "ran"


async def test_bad_certificates(controller, api, tmp_path):
    files = str(tmp_path / "c.pem"), str(tmp_path / "k.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
    async with Site({"/": ("text/html", "<title>secure</title>")}, certificate=files) as site:
        at = {"entry_point": site.url + "/"}
        assert "ERR_CERT" in await failure_text(install(controller, at, "", "web-app", timeout=15))
        _, run = await opened(controller, api, await install(controller, {**at, "ignore_https_errors": True}, "", "web-app"))
        assert await run("document.title") == "secure"


ASK = """async (url) => {
    const answer = await fetch(url).then((a) => a.status, (error) => String(error));
    const inWorker = (url) => fetch(url).then((a) => postMessage(a.status), (error) => postMessage(String(error)));
    const worker = new Worker(URL.createObjectURL(new Blob([`(${inWorker})("${url}")`])));
    return [answer, await new Promise((resolve) => worker.onmessage = ({ data }) => resolve(data))];
}"""


def ask(url):
    return f"({ASK})({json.dumps(url)})"


async def test_extra_headers(with_settings):
    """On requests of the page and of its workers; the server's beat the app's."""
    api, controller = await with_settings(PLAYWRIGHT_EXTRA_HTTP_HEADERS='{"X-API-Key": "secret", "X-Who": "server"}')
    async with Site({"/data": ("text/plain", "x"), "/": ("text/html", "<title>site</title>")}) as site:
        app = await install(controller, {"extra_http_headers": {"X-Who": "app", "X-App": "1"}})
        _, run = await opened(controller, api, app)
        assert await run(ask(site.url + "/data")) == [200, 200]
        requests = [request for request in site.requests if request.method == "GET"]
        assert len(requests) == 2
        for request in requests:
            assert [request.headers.get(name) for name in ("x-api-key", "x-who", "x-app")] == ["secret", "server", "1"]
        await opened(controller, api, await install(controller, {"entry_point": site.url + "/"}, "", "web-app"))
        assert site.requests[-1].headers["x-api-key"] == "secret"


async def test_base_url_and_password(with_settings):
    async with Site({"/v1/page": ("text/html", "<title>inside</title>"), "/data": ("text/plain", "x")},
                    password="testuser:testpass") as site, Site({"/": ("text/plain", "x")}) as stranger:
        api, controller = await with_settings(PLAYWRIGHT_BASE_URL=site.url + "/v1/", PLAYWRIGHT_HTTP_USERNAME="testuser",
                                              PLAYWRIGHT_HTTP_PASSWORD="testpass")
        _, run = await opened(controller, api, await install(controller, {"entry_point": "page"}, "", "web-app"))
        assert await run("document.title") == "inside"
        _, run = await opened(controller, api, await install(controller))
        assert await run(ask(site.url + "/data")) == [200, 200]
        assert await run(ask(stranger.url + "/")) == [200, 200]
        assert stranger.requests and all("authorization" not in request.headers for request in stranger.requests)


async def test_no_scripts(controller, api):
    page = "<!doctype html><title>quiet</title><script>document.title = 'ran'</script><noscript>none</noscript>"
    session, _ = await opened(controller, api, await install(controller, {"browser": {"javascript_enabled": False}}, page=page))
    picture = await controller.take_screenshot(session.id)
    assert picture[:4] == b"\x89PNG"
    logs = await controller.get_logs(session.id)
    assert logs["items"] == []


async def test_offline(controller, api):
    """Nothing but this server, which apps live on."""
    async with Site({"/": ("text/plain", "x")}) as site:
        app = await controller.install(
            source=f"""api.export({{ ask: () => fetch("{site.url}/").then((a) => a.status, (e) => "failed"),
                                     online: () => navigator.onLine }})""",
            manifest={"name": "Offline", "type": "window", "version": "1", "browser": {"offline": True}})
        service = await api.get_service(f"default@{app.id}")
        assert await service.ask() == "failed" and await service.online() is False
        assert site.requests == []


async def test_switches_of_the_browser(with_settings):
    api, controller = await with_settings(RHIZOME_BROWSER_ARGS="--js-flags=--stack-size=200 --disable-webgl",
                                          PLAYWRIGHT_DISABLE_WEB_SECURITY="true")
    async with Site({"/": ("text/plain", "read me")}) as site:
        site.reply = lambda request: (b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 7\r\n"
                                      b"connection: close\r\n\r\nread me")
        _, run = await opened(controller, api, await install(controller))
        assert await run(f"fetch('{site.url}/').then((answer) => answer.text())") == "read me"
        assert await run("document.createElement('canvas').getContext('webgl')") is None


async def test_downloads(with_settings, tmp_path):
    """Refused unless the server allows them; then the file lies in Chromium's profile."""
    download = """async () => {
        const link = document.createElement("a");
        link.href = URL.createObjectURL(new Blob(["hello download"]));
        link.download = "file.txt";
        link.click();
    }"""
    api, controller = await with_settings(PLAYWRIGHT_ACCEPT_DOWNLOADS="true")
    _, run = await opened(controller, api, await install(controller))
    await run(download)
    for _ in range(200):
        texts = [path.read_text() for path in (tmp_path / "data" / "browser").glob("*/downloads/*")]
        if texts == ["hello download"]:
            break
        await asyncio.sleep(0.05)
    assert texts == ["hello download"]


@pytest.mark.parametrize("name, value, text", [
    ("VIEWPORT_WIDTH", "wide", "browser.viewport_width must be a whole number, got \"wide\""),
    ("VIEWPORT_HEIGHT", "0", "browser.viewport_height must be from 1 to"),
    ("IS_MOBILE", "perhaps", "browser.is_mobile must be true or false"),
    ("PERMISSIONS", "camera,telepathy", "browser.permissions does not know 'telepathy'"),
    ("TIMEZONE_ID", "Mars/Base", "browser.timezone_id must be a time zone"),
    ("LOCALE", "f r", "browser.locale must be a language tag"),
    ("COLOR_SCHEME", "pink", "browser.color_scheme must be one of dark, light"),
    ("GEOLOCATION_LATITUDE", "north", "must be a number"),
    ("GEOLOCATION_LATITUDE", "5", "browser.geolocation_longitude is missing"),
    ("HTTP_USERNAME", "me", "browser.http_password is missing"),
    ("EXTRA_HTTP_HEADERS", "X-Key: 1", "must be an object of header names"),
    ("BASE_URL", "example.org", "browser.base_url must be an http or https URL"),
])
def test_a_bad_variable_stops_the_server(name, value, text):
    """At once, with the name of what is wrong."""
    env = {**os.environ, f"PLAYWRIGHT_{name}": value}
    done = subprocess.run([*binary(), "serve", "--port", "0"], env=env, capture_output=True, text=True, timeout=20)
    assert done.returncode != 0 and text in done.stderr, done.stderr


@pytest.mark.parametrize("own, text", [
    ({"viewport_width": "wide"}, "browser.viewport_width cannot be"),
    ({"timezone_id": "Mars/Base"}, "browser.timezone_id must be a time zone"),
    ({"launch_args": ["--no-sandbox"]}, "launch_args"),
    ({"accept_downloads": True}, "accept_downloads"),
    ({"permissions": ["clipboard-read"]}, "the clipboard belongs to all apps"),
    ({"allowed_hosts": "example.org"}, "browser.allowed_hosts cannot be"),
])
async def test_a_bad_manifest_is_not_installed(controller, own, text):
    assert text in await failure_text(install(controller, {"browser": own}))
    assert await controller.list_apps() == []
