// The login page in Chromium, and the npm client's login() with it.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { connectToServer, login, logout } from "hypha-rpc";

import { launch } from "./chromium.mjs";
import { newUser, startServer } from "./server.mjs";

const quiet = { log() {}, warn() {}, error() {}, info() {}, debug() {} };
let server, browser;

before(async () => {
  server = await startServer({ own: true, env: { HYPHA_ENABLE_LOCAL_AUTH: "true", RESEND_API_KEY: "" } });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

// A fresh browser profile; a message on its console or an error in a page fails the test.
async function visitor() {
  const context = await browser.newContext();
  context.setDefaultTimeout(10_000);
  const complaints = [];
  context.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  context.on("weberror", (error) => complaints.push(String(error.error())));
  return { context, complaints, page: await context.newPage() };
}

const pageUrl = (query = "") => `${server.url}/public/apps/hypha-login/${query}`;
const stored = (page) => page.evaluate(() => localStorage.getItem("hypha_token"));
const title = (page) => page.locator("#title").textContent();

async function fill(page, form, fields) {
  for (const [name, value] of Object.entries(fields)) {
    await page.fill(`#${form} [name=${name}]`, value);
  }
  await page.locator(`#${form} button.primary`).click();
}

async function pasteToken(page, token) {
  await page.click("#tab-token");
  await fill(page, "token", { token });
}

test("the client's login with a pasted token, for a workspace", async () => {
  const alice = newUser(server, "alice");
  const { context, page, complaints } = await visitor();
  const user = await login({
    server_url: server.url, workspace: alice.workspace, expires_in: 90, profile: true, logger: quiet,
    login_callback: async ({ login_url }) => {
      await page.goto(login_url);
      assert.match(await page.locator("#lead").textContent(), new RegExp(alice.workspace));
      await pasteToken(page, alice.token);
      await page.locator("#done").waitFor();
    },
  });
  assert.equal(user.workspace, alice.workspace);
  assert.equal(user.user_id, alice.id);
  const api = await connectToServer({ server_url: server.url, token: user.token, logger: quiet });
  assert.equal(api.config.workspace, alice.workspace);
  await api.disconnect();
  assert.equal(await stored(page), alice.token);
  const [cookie] = await context.cookies();
  assert.deepEqual([cookie.name, cookie.value, cookie.sameSite], ["access_token", alice.token, "Lax"]);
  assert.deepEqual(complaints, []);
  await context.close();
});

test("signing up and logging in by keyboard", async () => {
  const { context, page, complaints } = await visitor();
  const email = `ann-${Date.now()}@lab.org`;
  const token = await login({
    server_url: server.url, logger: quiet,
    login_callback: async ({ login_url }) => {
      await page.goto(login_url);
      await page.focus("#tab-password");
      await page.keyboard.press("ArrowRight");
      await fill(page, "sign-up", { name: "Ann", email, password: "correct horse", again: "correct hearse" });
      await page.getByRole("alert").getByText("not the same").waitFor();
      await page.fill("#sign-up [name=again]", "correct horse");
      await page.keyboard.press("Enter");
      await page.locator("#verify").waitFor();
      await page.keyboard.press("Enter");
      await page.getByRole("status").getByText("Your account is made").waitFor();
      await page.keyboard.type("wrong password");
      await page.keyboard.press("Enter");
      await page.getByRole("alert").getByText("Invalid email or password").waitFor();
      await page.fill("#password [name=password]", "correct horse");
      await page.keyboard.press("Enter");
      await page.locator("#done").waitFor();
    },
  });
  assert.equal(typeof token, "string");
  await page.goto(pageUrl());
  assert.equal(await title(page), "You are logged in");
  await page.click("summary");
  await fill(page, "update", { name: "Ann B." });
  await page.getByRole("status").getByText("Saved").waitFor();
  assert.deepEqual(complaints, []);
  await context.close();
});

test("a stored login is handed over only when its owner says so", async () => {
  const alice = newUser(server, "alice");
  const { context, page } = await visitor();
  await page.goto(pageUrl());
  await pasteToken(page, alice.token);
  await page.locator("#signed-in").waitFor();
  const token = await login({
    server_url: server.url, logger: quiet,
    login_callback: async ({ login_url, check_url, key }) => {
      await page.goto(login_url);
      assert.equal(await title(page), "Continue?");
      const answer = await fetch(`${check_url}?key=${key}&timeout=0`);
      assert.equal(await answer.json(), null);
      await page.keyboard.press("Enter");
      await page.locator("#done").waitFor();
    },
  });
  assert.equal(token, alice.token);
  await context.close();
});

test("bad tokens and dead keys are told, and nothing is kept", async () => {
  const alice = newUser(server, "alice");
  const { context, page } = await visitor();
  const forged = alice.token.slice(0, -4) + "AAAA";
  await page.goto(pageUrl());
  await pasteToken(page, forged);
  await page.getByRole("alert").getByText("Signature verification failed").waitFor();
  await page.goto(pageUrl("?key=nonsense"));
  await pasteToken(page, alice.token);
  await page.getByRole("alert").getByText("Invalid key").waitFor();
  assert.equal(await stored(page), null);
  assert.deepEqual(await context.cookies(), []);
  await context.close();
});

test("in a frame no stored login is offered, and the parent is told the key alone", async () => {
  const alice = newUser(server, "alice");
  const { context, page } = await visitor();
  await page.goto(pageUrl());
  await pasteToken(page, alice.token);
  await page.locator("#signed-in").waitFor();
  const { login_url, key, check_url } = await (await fetch(`${server.url}/public/services/hypha-login/start`)).json();
  await page.goto(`${server.url}/health/liveness`);
  await page.evaluate((url) => {
    window.told = [];
    window.addEventListener("message", ({ data }) => window.told.push(data));
    const frame = document.createElement("iframe");
    frame.src = url;
    document.body.append(frame);
  }, login_url);
  const frame = page.frameLocator("iframe");
  await frame.locator("#tab-token").click();
  assert.equal(await frame.locator("#signed-in").isVisible(), false);
  await frame.locator("#token [name=token]").fill(alice.token);
  await frame.locator("#token button").click();
  await frame.locator("#done").waitFor();
  await page.waitForFunction(() => window.told.length > 0);
  assert.deepEqual(await page.evaluate(() => window.told), [{ type: "hypha-login-complete", key }]);
  assert.equal(await (await fetch(`${check_url}?key=${key}`)).json(), alice.token);
  await context.close();
});

test("logging out clears the browser, and redirections stay on the server", async () => {
  const alice = newUser(server, "alice");
  const { context, page } = await visitor();
  await page.goto(pageUrl("?redirect=https://example.org/"));
  await pasteToken(page, alice.token);
  await page.locator("#signed-in").waitFor();
  assert.ok(page.url().startsWith(server.url));
  await logout({
    server_url: server.url, logger: quiet,
    logout_callback: async ({ logout_url }) => {
      await page.goto(logout_url.replace("&close=true", ""));
      await page.getByRole("status").getByText("You are logged out").waitFor();
    },
  });
  assert.equal(await stored(page), null);
  assert.deepEqual(await context.cookies(), []);
  await page.goto(pageUrl("?redirect=/health/liveness"));
  await pasteToken(page, alice.token);
  await page.waitForURL(`${server.url}/health/liveness`);
  await context.close();
});

test("the window closes after its program was told to log out", async () => {
  const { context, page } = await visitor();
  await page.goto(`${server.url}/health/liveness`);
  const popup = context.waitForEvent("page");
  await page.evaluate((url) => { window.open(url); }, pageUrl("?logout=true&close=true"));
  const opened = await popup;
  if (!opened.isClosed()) await opened.waitForEvent("close");
  await context.close();
});
