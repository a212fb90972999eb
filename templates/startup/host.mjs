// Runs one startup function in a Node process of its own, beside the server (src/startup).
//
// Descriptor 3 is the line to the server: the first line from it is the order, each line to it
// tells how things went. The token of the order is good for one connection soon after it was made.
import { existsSync } from "node:fs";
import { Socket } from "node:net";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const line = new Socket({ fd: 3 });
const tell = (message) => new Promise((done) => line.write(`${JSON.stringify(message)}\n`, done));
const incoming = createInterface({ input: line });

// A client library written for browsers looks at these.
globalThis.self ??= globalThis;

function idOf(service, taken) {
  const words = String(service.name ?? service.type ?? "service").toLowerCase();
  const stem = words.replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "") || "service";
  let found = stem;
  for (let number = 2; taken.has(found); number += 1) found = `${stem}-${number}`;
  taken.add(found);
  return found;
}

async function load(order) {
  const path = resolve(order.target);
  if (!existsSync(path)) throw new Error(`Module ${order.target} does not exist`);
  const loaded = await import(pathToFileURL(path).href);
  const found = loaded[order.function] ?? loaded.default?.[order.function];
  const main = order.function === "hypha_startup" ? loaded.default : undefined;
  const chosen = found ?? main;
  if (typeof chosen !== "function") {
    throw new Error(`${order.target} has no function ${order.function}`);
  }
  return chosen;
}

async function run(order) {
  const startup = await load(order);
  const { connectToServer } = await import(pathToFileURL(order.client_module).href);
  const api = await connectToServer({
    server_url: order.server_url, token: order.token, workspace: "public",
    client_id: order.client_id, name: order.name,
  });
  const taken = new Set();
  const pending = [];
  const register = (service, ...rest) => {
    const named = service.id ? service : { ...service, id: idOf(service, taken) };
    const registered = api.registerService(named, ...rest);
    pending.push(registered);
    return registered;
  };
  const refuse = (name) => () => {
    throw new Error(`${name} is offered to Python startup functions only`);
  };
  const server = {
    ...api,
    registerService: register,
    register_service: register,
    registerAuthService: refuse("register_auth_service"),
    register_auth_service: refuse("register_auth_service"),
  };
  // Both spellings of every function, as in the Python client.
  for (const [name, value] of Object.entries(api)) {
    const snake = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    if (typeof value === "function") server[snake] ??= value;
  }
  await startup(server);
  await Promise.all(pending);
  await tell({ event: "ready" });
}

incoming.once("line", async (text) => {
  const order = JSON.parse(text);
  // The server is gone: so is this process, whatever the function does.
  line.on("close", () => process.exit(0));
  process.on("SIGTERM", () => process.exit(0));
  try {
    await run(order);
  } catch (error) {
    const shown = error instanceof Error ? error : new Error(String(error));
    await tell({ event: "failed", error: String(shown), traceback: shown.stack ?? String(shown) });
    process.exit(1);
  }
});
