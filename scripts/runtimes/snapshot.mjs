// Makes a snapshot of a Pyodide that has just started and imported what every app imports, so that pages need not:
//
//   node snapshot.mjs FOLDER LIBRARY VERSION OUTPUT
//
// LIBRARY is the file in FOLDER with the packages, VERSION the version of Python. It is made in the browser, for Python
// notes at its start what the browser can do. Nothing of any app is in it, and no file: pages add the library.
import { spawn } from "node:child_process";
import { createReadStream, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { basename, delimiter, join } from "node:path";

const [folder, library, version, output] = process.argv.slice(2);
const WITHIN = 180_000;
const TYPES = { mjs: "text/javascript", js: "text/javascript", json: "application/json", wasm: "application/wasm" };

const template = (name) => readFileSync(new URL(`../../templates/${name}`, import.meta.url), "utf8");

// Runs in a worker, as apps do.
const work = async ({ library, version, driver }) => {
  // What the RPC client and micropip import, and the client itself. A snapshot may not be restorable with all of it.
  const standard = "argparse ast asyncio base64 concurrent.futures contextvars dataclasses datetime email.message email.parser getpass gzip "
    + "hashlib http.client http.cookiejar importlib.metadata inspect io json linecache logging mimetypes netrc pathlib platform re shutil "
    + "sysconfig tempfile textwrap traceback typing urllib.request uuid zipfile zlib";
  const client = "hypha_rpc httpx anyio anyio._backends._asyncio";
  const base = `${location.origin}/`;
  const files = await (await fetch(`${base}${library}`)).arrayBuffer();

  // Compiled parts of packages do not survive in a snapshot: pages load them.
  const imports = (names) => `
import importlib, os
os.environ["MSGPACK_PUREPYTHON"] = "1"
without_ssl()
for name in ${JSON.stringify(names.split(" "))}:
    importlib.import_module(name)
del os.environ["MSGPACK_PUREPYTHON"]
`;

  async function made(names) {
    const python = await loadPyodide({ indexURL: base, _makeSnapshot: true });
    placeLibrary(python, files, version);
    const scope = python.toPy({ __name__: "rhizome" });
    python.runPython(driver, { globals: scope, filename: "<rhizome>" });
    python.runPython(imports(names), { globals: scope });
    scope.destroy();
    return python.makeMemorySnapshot();
  }

  async function restored(snapshot) {
    const python = await loadPyodide({ indexURL: base, _loadSnapshot: snapshot });
    placeLibrary(python, files, version);
    await python.runPythonAsync("import asyncio, hypha_rpc\nfrom pyodide.ffi import run_sync\nrun_sync(asyncio.sleep(0))");
  }

  const { loadPyodide } = await import(`${base}pyodide.mjs`).catch((error) => ({ loadPyodide: () => Promise.reject(error) }));
  let problem;
  for (const names of [`${standard} ${client}`, standard, "asyncio"]) {
    try {
      const snapshot = await made(names);
      await restored(snapshot);
      await fetch("/done", { method: "POST", body: snapshot });
      return;
    } catch (error) {
      problem = error;
    }
  }
  await fetch("/failed", { method: "POST", body: String(problem).slice(0, 2000) });
};

const given = { library, version, driver: template("python/showing.py") + template("apps/python-web.py") };

const PAGES = {
  "/": ["text/html", `<script>new Worker("/work.mjs", { type: "module" })</script>`],
  "/work.mjs": ["text/javascript", `${template("apps/python-library.js")}\n(${work})(${JSON.stringify(given)})`],
};

function chromium() {
  if (process.env.HYPHA_CHROMIUM_PATH) return process.env.HYPHA_CHROMIUM_PATH;
  const names = ["chromium-headless-shell", "chrome-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
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
