// The server under test: RHIZOME_URL if somebody runs one (with RHIZOME_JWT_SECRET), else one of our own.
import { spawn } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const READY_WITHIN_MS = 20_000;

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function freePort() {
  const probe = createServer();
  await new Promise((done) => probe.listen(0, "127.0.0.1", done));
  const { port } = probe.address();
  await new Promise((done) => probe.close(done));
  return port;
}

async function ready(url) {
  try {
    return (await fetch(`${url}/health/readiness`)).ok;
  } catch {
    return false;
  }
}

// Options: `env` for the server; needed to restart it: a server of its own, not that of RHIZOME_URL.
export async function startServer({ env = {}, own = false } = {}) {
  if (process.env.RHIZOME_URL && !own) {
    return { url: process.env.RHIZOME_URL, secret: process.env.RHIZOME_JWT_SECRET, stop: async () => {} };
  }
  const target = process.env.CARGO_TARGET_DIR ?? join(ROOT, "target");
  const [program, ...first] = (process.env.RHIZOME_BIN ?? join(target, "debug", "rhizome")).split(" ");
  const folder = mkdtempSync(join(tmpdir(), "rhizome-js-"));
  const log = join(folder, "server.log");
  const secret = randomBytes(32).toString("hex");
  const rootToken = randomBytes(40).toString("hex");
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const args = [...first, "serve", "--host", "127.0.0.1", "--port", `${port}`,
    "--data-dir", join(folder, "data"), "--enable-server-apps"];
  const output = openSync(log, "a");
  const complain = (what) => new Error(`the server ${what}\n${readFileSync(log, "utf8").slice(-6000)}`);
  let child, ended;

  async function start() {
    ended = null;
    child = spawn(program, args, {
      cwd: ROOT,
      stdio: ["ignore", output, output],
      env: { ...process.env, HYPHA_JWT_SECRET: secret, HYPHA_ROOT_TOKEN: rootToken,
        RHIZOME_ASSETS_DIR: join(ROOT, "runtimes"), ...env },
    });
    child.on("error", (error) => { ended = `could not be started: ${error.message}`; });
    child.on("exit", (code, signal) => { ended ??= `ended with ${code ?? signal}`; });
    const deadline = Date.now() + READY_WITHIN_MS;
    while (!(await ready(url))) {
      if (ended) throw complain(ended);
      if (Date.now() > deadline) {
        child.kill("SIGKILL");
        throw complain(`was not ready in ${READY_WITHIN_MS} ms`);
      }
      await pause(20);
    }
  }

  async function end(signal) {
    if (ended) return;
    const exited = new Promise((done) => child.once("exit", done));
    child.kill(signal);
    const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
    await exited;
    clearTimeout(timer);
  }

  await start();
  return {
    url,
    secret,
    rootToken,
    // Ends the process with a signal and starts another on the same port and data.
    async restart(signal) {
      await end(signal);
      await start();
    },
    async stop() {
      await end("SIGTERM");
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

// A user with a workspace of their own; the token has the form that the server itself issues.
export function newUser(server, name) {
  const id = `${name}-${randomBytes(4).toString("hex")}`;
  const workspace = `ws-user-${id}`;
  const now = Math.floor(Date.now() / 1000);
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = [
    { alg: "HS256", typ: "JWT" },
    {
      iss: "https://amun.ai/", sub: id, aud: "https://amun-ai.eu.auth0.com/api/v2/", iat: now, exp: now + 3600,
      scope: `ws:${workspace}#a wid:${workspace}`, gty: "client-credentials",
      "https://amun.ai/roles": [], "https://amun.ai/email": null,
    },
  ].map(part).join(".");
  const signature = createHmac("sha256", server.secret).update(signed).digest("base64url");
  return { id, workspace, token: `${signed}.${signature}` };
}
