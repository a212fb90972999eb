// The unmodified npm client survives restarts of the server, and the server keeps nothing of clients that
// come and go. Small sizes; scripts/storm runs the same with RHIZOME_STORM=long.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connectToServer } from "hypha-rpc";

import { newUser, startServer } from "./server.mjs";

const LONG = process.env.RHIZOME_STORM === "long";
const [RESTARTS, CYCLES] = LONG ? [100, 1000] : [5, 30];
const SETTLES_MS = 800;
// The subscriptions of clients that left are remembered for two minutes.
const REMEMBERED = ["departed", "subscribers_stored"];

let server;

before(async () => { server = await startServer({ own: true, env: { RHIZOME_BROWSER: "false" } }); });
after(async () => { await server?.stop(); });

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

function within(ms, promise) {
  let timer;
  const late = new Promise((_, fail) => { timer = setTimeout(() => fail(new Error(`not within ${ms} ms`)), ms); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// Polls until `condition` holds; a client between two connections may throw meanwhile.
async function eventually(condition, ms, what) {
  const deadline = Date.now() + ms;
  let last;
  for (;;) {
    try {
      if (await condition()) return;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`not within ${ms} ms: ${what} (${last})`);
    await pause(50);
  }
}

async function counts() {
  const answer = await fetch(`${server.url}/admin/counts`, { headers: { Authorization: `Bearer ${server.rootToken}` } });
  const all = await answer.json();
  for (const key of REMEMBERED) delete all[key];
  return all;
}

test("a Node client survives restarts", async (t) => {
  const alice = newUser(server, "alice");
  const config = { server_url: server.url, token: alice.token, logger: null };
  const provider = await connectToServer({ ...config, client_id: "provider" });
  const caller = await connectToServer({ ...config, client_id: "caller" });
  const seen = [];
  await provider.registerService({ id: "svc", echo: (x) => x });
  provider.on("storm", (event) => { seen.push(event.data); });
  await provider.subscribe("storm");
  const services = async () => (await within(3000, caller.listServices())).map((service) => service.id).sort();
  const expected = await services();
  const times = [];
  for (let number = 0; number < RESTARTS; number++) {
    // The client calls itself reconnected half a second after it is, and begins anew then.
    await pause(SETTLES_MS);
    const began = Date.now();
    await server.restart(number % 2 ? "SIGKILL" : "SIGTERM");
    await eventually(async () => {
      const service = await within(3000, caller.getService("provider:svc"));
      return (await within(3000, service.echo(number))) === number;
    }, 90_000, `the provider answers after restart ${number}`);
    await eventually(async () => {
      await within(3000, caller.emit({ type: "storm", to: "*", data: number }));
      await pause(20);
      return seen.includes(number);
    }, 30_000, `an event arrives after restart ${number}`);
    await eventually(async () => JSON.stringify(await services()) === JSON.stringify(expected), 20_000,
      "the services of before, once each");
    await eventually(async () => {
      const now = await counts();
      return now.connections === 2 && now.clients_alive === 2;
    }, 20_000, "two connections and no more");
    times.push(Date.now() - began);
  }
  assert.deepEqual([...new Set(seen)], [...Array(RESTARTS).keys()]);
  await pause(SETTLES_MS);
  await provider.disconnect();
  await caller.disconnect();
  times.sort((a, b) => a - b);
  t.diagnostic(`${RESTARTS} restarts: back after ${times[times.length >> 1]} ms in the median, ${times.at(-1)} at most`);
});

test("clients that come and go leave nothing behind", async (t) => {
  const alice = newUser(server, "alice");
  const cycle = async () => {
    const api = await connectToServer({
      server_url: server.url, token: alice.token, client_id: "cycle", logger: null });
    await api.registerService({ id: "svc", echo: (x) => x });
    await api.disconnect();
  };
  await cycle();
  await eventually(async () => (await counts()).connection_actors === 0, 10_000, "all connections are gone");
  const before = await counts();
  const began = Date.now();
  for (let number = 0; number < CYCLES; number++) await cycle();
  t.diagnostic(`${CYCLES} cycles: ${Math.round((Date.now() - began) / CYCLES)} ms each`);
  let now;
  await eventually(async () => {
    now = await counts();
    return JSON.stringify(now) === JSON.stringify(before);
  }, 15_000, "the counts are as before").catch(() => assert.deepEqual(now, before));
});
