// The unmodified npm client in Node.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connectToServer } from "hypha-rpc";

import { source, useCalculator } from "./calculator.mjs";
import { newUser, startServer } from "./server.mjs";

let server;
const open = [];

before(async () => { server = await startServer(); });
after(async () => {
  for (const api of open) await leave(api).catch(() => {});
  await server?.stop();
});

// Without a refresh of its token: over http, its timer outlives the client and keeps the process from ending.
async function connect(who, more = {}) {
  const refresh = more.transport === "http" ? { token_refresh_interval: -1 } : {};
  const api = await connectToServer({ server_url: server.url, token: who?.token, ...refresh, ...more });
  open.push(api);
  return api;
}

// Over http, the client's own disconnect leaves a rejected promise behind unless its stream has ended before.
async function leave(api) {
  await api.rpc._connection._reader?.cancel();
  await api.disconnect();
}

test("an anonymous client gets a workspace of its own", async () => {
  const api = await connect();
  assert.match(api.config.workspace, /^ws-user-anonymouz-/);
  assert.equal(await api.echo("hello"), "hello");
});

test("a token leads to its user's workspace", async () => {
  const alice = newUser(server, "alice");
  const api = await connect(alice);
  assert.equal(api.config.workspace, alice.workspace);
  assert.equal(api.config.user.id, alice.id);
});

test("a bad token is refused with the reason", async () => {
  await assert.rejects(connect({ token: "nonsense" }), /Error decoding token headers/);
});

test("services, callbacks and errors between two clients", async () => {
  const alice = newUser(server, "alice");
  const provider = await connect(alice, { client_id: "provider" });
  const caller = await connect(alice);
  const info = await provider.registerService({
    id: "svc",
    config: { visibility: "protected" },
    add: (a, b) => a + b,
    each: async (items, callback) => { for (const item of items) await callback(item); return items.length; },
    ask: async (callback) => (await callback(20)) + 2,
    fail: () => { throw new Error("no good"); },
    nested: { twice: (x) => 2 * x },
  });
  assert.equal(info.id, `${alice.workspace}/provider:svc`);
  const service = await caller.getService("provider:svc");
  assert.equal(await service.add(5, 3), 8);
  assert.equal(await service.nested.twice(4), 8);
  const seen = [];
  assert.equal(await service.each([1, "two", null], (item) => { seen.push(item); }), 3);
  assert.deepEqual(seen, [1, "two", null]);
  assert.equal(await service.ask((x) => 2 * x), 42);
  await assert.rejects(service.fail(), /no good/);
  await provider.unregisterService("svc");
  await assert.rejects(caller.getService("provider:svc"), /Service not found/);
});

test("large binary data in both directions", async () => {
  const alice = newUser(server, "alice");
  const provider = await connect(alice, { client_id: "provider" });
  const caller = await connect(alice);
  await provider.registerService({ id: "svc", echo: (x) => x });
  const service = await caller.getService("provider:svc");
  const data = new Uint8Array(5_000_000).map((_, i) => (i * 7) % 251);
  const back = await service.echo(data);
  assert.equal(Buffer.compare(Buffer.from(back), Buffer.from(data)), 0);
  const throughManager = await caller.echo(data.slice(0, 1_000_000));
  assert.equal(throughManager.byteLength, 1_000_000);
});

for (const [provides, calls] of [["http", "websocket"], ["websocket", "http"], ["http", "http"]]) {
  test(`services over ${provides}, called over ${calls}`, async () => {
    const alice = newUser(server, "alice");
    const provider = await connect(alice, { client_id: "provider", transport: provides });
    const caller = await connect(alice, { client_id: "caller", transport: calls });
    await provider.registerService({
      id: "svc",
      config: { visibility: "protected" },
      add: (a, b) => a + b,
      each: async (items, callback) => { for (const item of items) await callback(item); return items.length; },
      count: async function* (n) { for (let i = 0; i < n; i++) yield i; },
      fail: () => { throw new Error("no good"); },
      echo: (x) => x,
    });
    const service = await caller.getService("provider:svc");
    assert.equal(await service.add(5, 3), 8);
    const seen = [];
    assert.equal(await service.each([1, "two", null], (item) => { seen.push(item); }), 3);
    assert.deepEqual(seen, [1, "two", null]);
    const counted = [];
    for await (const i of await service.count(5)) counted.push(i);
    assert.deepEqual(counted, [0, 1, 2, 3, 4]);
    await assert.rejects(service.fail(), /no good/);
    const data = new Uint8Array(5_000_000).map((_, i) => (i * 7) % 251);
    const back = await service.echo(data);
    assert.equal(Buffer.compare(Buffer.from(back), Buffer.from(data)), 0);
  });
}

test("an anonymous client over http", async () => {
  const api = await connect(undefined, { transport: "http" });
  assert.match(api.config.workspace, /^ws-user-anonymouz-/);
  assert.equal(await api.echo("hello"), "hello");
});

test("a public service is open to other users, a protected one is not", async () => {
  const alice = newUser(server, "alice");
  const bob = newUser(server, "bob");
  const provider = await connect(alice, { client_id: "provider" });
  const stranger = await connect(bob);
  await provider.registerService({
    id: "who", config: { visibility: "public", require_context: true }, ask: (context) => context.user.id });
  await provider.registerService({ id: "mine", ask: () => 1 });
  const service = await stranger.getService(`${alice.workspace}/provider:who`);
  assert.equal(await service.ask(), bob.id);
  await assert.rejects(stranger.getService(`${alice.workspace}/provider:mine`), /Permission denied/);
});

test("the calculator from install to uninstall", async () => {
  const alice = newUser(server, "alice");
  const result = await useCalculator(connectToServer, { url: server.url, token: alice.token, source });
  assert.equal(result.workspace, alice.workspace);
  assert.equal(result.sum, 8);
  assert.equal(result.echo, "Hello, World!");
  assert.equal(result.apps, 1);
  assert.deepEqual(result.running, [result.session]);
  assert.equal(result.left, 0);
  assert.match(result.messages[0], /^Parsing app manifest/);
  assert.equal(result.messages.at(-1), "Installation complete!");
});
