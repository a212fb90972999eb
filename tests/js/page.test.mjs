// The same client in a page in Chromium, loaded from the server itself.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { source, useCalculator } from "./calculator.mjs";
import { launch } from "./chromium.mjs";
import { newUser, startServer } from "./server.mjs";

let server, browser;

before(async () => {
  server = await startServer();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

// Any page of the server's origin will do; this one has no scripts of its own.
async function blankPage() {
  const page = await (await browser.newContext()).newPage();
  await page.goto(`${server.url}/health/liveness`);
  return page;
}

test("the module build connects, serves and calls", async () => {
  const alice = newUser(server, "alice");
  const page = await blankPage();
  const answer = await page.evaluate(async ({ url, token }) => {
    const { connectToServer } = await import(`${url}/assets/hypha-rpc-websocket.mjs`);
    const provider = await connectToServer({ server_url: url, token, client_id: "page" });
    const caller = await connectToServer({ server_url: url, token });
    await provider.registerService({ id: "svc", ask: async (callback) => (await callback(20)) + 2 });
    const service = await caller.getService("page:svc");
    return { workspace: caller.config.workspace, value: await service.ask((x) => 2 * x) };
  }, { url: server.url, token: alice.token });
  assert.deepEqual(answer, { workspace: alice.workspace, value: 42 });
});

test("the classic build connects", async () => {
  const page = await blankPage();
  await page.addScriptTag({ url: `${server.url}/assets/hypha-rpc-websocket.js` });
  const answer = await page.evaluate(async (url) => {
    const api = await hyphaWebsocketClient.connectToServer({ server_url: url });
    return { anonymous: api.config.user.is_anonymous, echo: await api.echo("hello") };
  }, server.url);
  assert.deepEqual(answer, { anonymous: true, echo: "hello" });
});

test("the calculator from install to uninstall", async () => {
  const alice = newUser(server, "alice");
  const page = await blankPage();
  const result = await page.evaluate(async ({ url, token, source, use }) => {
    const { connectToServer } = await import(`${url}/assets/hypha-rpc-websocket.mjs`);
    const useCalculator = new Function(`return ${use}`)();
    return await useCalculator(connectToServer, { url, token, source });
  }, { url: server.url, token: alice.token, source, use: useCalculator.toString() });
  assert.equal(result.workspace, alice.workspace);
  assert.equal(result.sum, 8);
  assert.equal(result.echo, "Hello, World!");
  assert.deepEqual(result.running, [result.session]);
  assert.equal(result.left, 0);
});
