// Makes a snapshot of a Pyodide that has just started, so that pages need not start it from nothing:
//
//   node snapshot.mjs FOLDER OUTPUT
//
// It is made in the browser, for Python notes at its start what the browser can do. Only Python itself is in it, and
// what its standard library is usually wanted for: no package, no file, no token.
import { spawn } from "node:child_process";
import { createReadStream, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { basename, delimiter, join } from "node:path";

const [folder, output] = process.argv.slice(2);
const WITHIN = 180_000;
const TYPES = { mjs: "text/javascript", js: "text/javascript", json: "application/json", wasm: "application/wasm" };

// Runs in a worker, as apps do.
const work = async () => {
  // What the RPC client and micropip import. A snapshot may not be restorable with it, then it is left out.
  const modules = "argparse ast asyncio base64 concurrent.futures contextvars dataclasses datetime email.message email.parser getpass gzip "
    + "hashlib http.client http.cookiejar importlib.metadata inspect io json linecache logging mimetypes netrc pathlib platform re shutil "
    + "sysconfig tempfile textwrap traceback typing urllib.request uuid zipfile zlib";
  const base = `${location.origin}/`;
  try {
    const { loadPyodide } = await import(`${base}pyodide.mjs`);
    for (const names of [modules, "asyncio"]) {
      const first = await loadPyodide({ indexURL: base, _makeSnapshot: true });
      first.runPython(`import importlib\nfor name in ${JSON.stringify(names.split(" "))}: importlib.import_module(name)\ndel importlib, name`);
      const snapshot = first.makeMemorySnapshot();
      try {
        const second = await loadPyodide({ indexURL: base, _loadSnapshot: snapshot });
        await second.runPythonAsync("import asyncio\nfrom pyodide.ffi import run_sync\nrun_sync(asyncio.sleep(0))");
      } catch (error) {
        console.log(error);
        continue;
      }
      await fetch("/done", { method: "POST", body: snapshot });
      return;
    }
    throw new Error("no snapshot can be restored");
  } catch (error) {
    await fetch("/failed", { method: "POST", body: String(error).slice(0, 2000) });
  }
};

const PAGES = {
  "/": ["text/html", `<script>new Worker("/work.mjs", { type: "module" })</script>`],
  "/work.mjs": ["text/javascript", `(${work})()`],
};

function chromium() {
  if (process.env.HYPHA_CHROMIUM_PATH) return process.env.HYPHA_CHROMIUM_PATH;
  const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
  const places = names.flatMap((name) => process.env.PATH.split(delimiter).map((place) => join(place, name)));
  return places.find(existsSync);
}

const program = chromium();
if (!program) fail("there is no Chromium");
const profile = mkdtempSync(join(tmpdir(), "rhizome-snapshot-"));
let browser;

function end(code) {
  process.on("exit", () => rmSync(profile, { recursive: true, force: true, maxRetries: 5 }));
  browser?.once("exit", () => process.exit(code));
  browser ? browser.kill("SIGKILL") : process.exit(code);
}

function fail(reason) {
  console.error(`no snapshot: ${reason}`);
  if (!browser) process.exit(1);
  end(1);
}

const server = createServer(async (request, response) => {
  const path = new URL(request.url, "http://localhost").pathname;
  if (request.method === "POST") {
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    response.end();
    if (path !== "/done") return fail(Buffer.concat(pieces).toString());
    writeFileSync(output, Buffer.concat(pieces));
    return end(0);
  }
  const [type, text] = PAGES[path] ?? [TYPES[path.split(".").pop()] ?? "application/octet-stream"];
  const file = join(folder, basename(path));
  if (!text && !existsSync(file)) return response.writeHead(404).end();
  response.writeHead(200, { "Content-Type": type });
  if (text) response.end(text);
  else createReadStream(file).pipe(response);
});

server.listen(0, "127.0.0.1", () => {
  const options = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", `--user-data-dir=${profile}`];
  if (process.getuid?.() === 0) options.push("--no-sandbox");
  browser = spawn(program, [...options, `http://127.0.0.1:${server.address().port}/`], { stdio: "ignore" });
  browser.once("error", (error) => fail(error.message));
  setTimeout(() => fail(`not within ${WITHIN / 1000} s`), WITHIN).unref();
});
