"""What an app in Chromium logs, pictures of it, and scripts in its page."""

import pytest

from harness import eventually, failure_text
from sites import Site

SAYS = """
    console.log("plain", 1, { a: [1, "x"] });
    console.info("info"); console.debug("debug"); console.warn("warned"); console.error("wrong", new TypeError("bad"));
    %s
    setTimeout(() => { throw new RangeError("uncaught one"); }, %d);
    setTimeout(() => { Promise.reject(new SyntaxError("nobody cared")); }, %d);
    api.export({ ask: (url) => fetch(url).then((answer) => answer.status, (error) => String(error)) });
"""


@pytest.fixture
async def controller(controller):
    """Leaves no pages open: a server has room for some twenty."""
    yield controller
    for session in await controller.list_running():
        await controller.stop(session["id"])


async def running(controller, api, source, app_type="window", **own):
    app = await controller.install(source=source, manifest={"name": "Talks", "type": app_type, "version": "1", **own})
    session = await controller.start(app.id)
    return app, session, await api.get_service(session.worker_id)


@pytest.mark.parametrize("app_type", ["window", "web-worker"])
async def test_everything_that_is_said(controller, api, app_type):
    """Levels, objects, errors with their stack, rejections, failed requests; from the page and from workers alike."""
    async with Site({}) as site:
        app, session, worker = await running(controller, api, SAYS % ("", 1500, 1500), app_type)
        service = await api.get_service(f"default@{app.id}")
        assert await service.ask(site.url + "/missing?token=1") == 404

        # Chromium does not report failed requests of workers to their page.
        awaited = ["uncaught one", "nobody cared"] + (["404"] if app_type == "window" else [])

        async def all_there():
            logs = await worker.get_logs(session.id)
            text = str(logs)
            return logs if all(part in text for part in awaited) else None

        logs = await eventually(all_there, 15, what="everything is in the log")
        assert set(logs) >= {"items", "total", "offset", "limit"} and logs["total"] == len(logs["items"])
        console = [item["content"] for item in logs["items"] if item["type"] == "console"]
        assert '[log] plain 1 {a: [1, "x"]}' in console or "[log] plain 1 {a: Array(2)}" in console, console
        for line in ("[info] info", "[debug] debug", "[warning] warned"):
            assert line in console
        wrong = next(line for line in console if line.startswith("[error] wrong"))
        assert "TypeError: bad" in wrong and "main.js" in wrong
        if app_type == "window":
            failed = next(line for line in console if "404" in line)
            assert "/missing" in failed and "token=1" not in failed
        errors = [item["content"] for item in logs["items"] if item["type"] == "error"]
        assert any("RangeError: uncaught one" in text and "main.js:" in text for text in errors)
        assert any("SyntaxError: nobody cared" in text and "main.js:" in text for text in errors)
        only = await worker.get_logs(session.id, type="error", offset=1, limit=1)
        assert [item["content"] for item in only["items"]] == errors[1:2]


async def test_pictures(controller, api):
    _, session, worker = await running(controller, api, """
        document.body.innerHTML = `<div style="height: 3000px; background: linear-gradient(red, blue)"></div>`;
        document.body.style.margin = 0;
        api.export({});""")

    def size(png):
        assert png[:8] == b"\x89PNG\r\n\x1a\n"
        return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")

    assert size(await worker.take_screenshot(session.id)) == (1280, 720)
    assert size(await worker.take_screenshot(session.id, full_page=True)) == (1280, 3000)
    assert size(await controller.take_screenshot(session.id, full_page=True)) == (1280, 3000)
    jpeg = await worker.take_screenshot(session.id, format="jpeg")
    assert jpeg[:3] == b"\xff\xd8\xff" and len(jpeg) > 1000
    assert "Must be 'png' or 'jpeg'" in await failure_text(worker.take_screenshot(session.id, format="gif"))


async def test_scripts_give_their_result(controller, api):
    """As in the reference; whole statements work, too."""
    _, session, worker = await running(controller, api, "globalThis.n = 1; api.export({})")
    for script, result in [("n + 1", 2), ("({ a: [1, { b: null }] })", {"a": [1, {"b": None}]}), ("() => n", 1),
                           ("async () => { n = 5; return n }", 5), ("const x = await Promise.resolve(n); return x * 2", 10),
                           ("undefined", None)]:
        assert await worker.execute(session.id, script) == result
    error = await failure_text(worker.execute(session.id, "null.x"))
    assert "Failed to execute script" in error and "TypeError" in error
    assert "did not finish the script within" in await failure_text(worker.execute(session.id, "for (;;);", config={"timeout": 0.5}))
    assert await worker.execute(session.id, "n") == 5
    assert "more than the" in await failure_text(worker.execute(session.id, "'x'.repeat(20e6)"))


async def test_scripts_as_in_a_notebook(controller, api):
    _, session, worker = await running(controller, api, "globalThis.n = 1; api.export({})")

    async def run(script, **config):
        return await worker.execute(session.id, script, config={"structured": True, **config})

    done = await run("console.log('one', { two: 2 }); console.info('three'); console.error('four'); return n + 1")
    assert done == {"status": "ok", "error": None, "outputs": [
        {"type": "stream", "name": "stdout", "text": "one {two: 2}\nthree\n"},
        {"type": "stream", "name": "stderr", "text": "four\n"},
        {"type": "execute_result", "data": {"text/plain": "2", "application/json": 2}, "metadata": {}}]}
    assert await run("n = 7; undefined") == {"status": "ok", "error": None, "outputs": []}
    failed = await controller.execute(session.id, "console.log('before'); const f = () => null.x; f()",
                                      config={"structured": True})
    assert failed["status"] == "error" and failed["error"]["ename"] == "TypeError"
    assert "null" in failed["error"]["evalue"] and any("at f" in line for line in failed["error"]["traceback"])
    assert failed["outputs"] == [{"type": "stream", "name": "stdout", "text": "before\n"}]
    late = await run("console.log('waiting'); await new Promise(() => {})", timeout=0.5)
    assert late["error"]["ename"] == "TimeoutError" and late["outputs"][0]["text"] == "waiting\n"
    big = await run("for (let i = 0; i < 50; i++) console.log('x'.repeat(100000)); return 'y'.repeat(20e6)")
    assert big["error"]["ename"] == "RangeError" and len(str(big)) < 2_000_000
    logs = await worker.get_logs(session.id)
    assert "__rhizome" not in str(logs)
