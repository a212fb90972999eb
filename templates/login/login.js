"use strict";
// Proves to this server who somebody is, keeps the token for its web pages, and reports it to the
// program that waits for the login with the key in the address.

const query = new URLSearchParams(location.search);
const key = query.get("key");
const workspace = query.get("workspace");
const expiresIn = Number(query.get("expires_in")) || undefined;
// A frame may belong to anybody, who could lead clicks astray: no stored login is offered in one.
const embedded = window.parent !== window;
const service = new URL("../../services/hypha-login/", location.origin + location.pathname);
const byId = (id) => document.getElementById(id);
const TOKEN = "hypha_token";
let token = null;

// --- telling -----------------------------------------------------------------------------------

function tell(id, text) {
  for (const other of ["alert", "note"]) byId(other).hidden = true;
  byId(id).textContent = text;
  byId(id).hidden = !text;
}

function show(id, title, lead) {
  for (const section of document.querySelectorAll("section")) section.hidden = section.id !== id;
  byId("title").textContent = title;
  byId("lead").textContent = lead || "";
}

function request() {
  if (!key) return "";
  const where = workspace ? ` in the workspace ${workspace}` : "";
  return `A program asks to act for you${where}. Go on only if you started it.`;
}

// --- talking to the server ---------------------------------------------------------------------

// Errors of the server are "Class: text"; people read the text.
const readable = (detail) => String(detail).replace(/^[A-Za-z_.]+(Error|Exception): /, "");

// The cookie may hold a dead token, which the server would refuse; what is proven, is in the call.
async function talk(address, options = {}) {
  const headers = { ...options.headers };
  if (options.token) headers.Authorization = `Bearer ${options.token}`;
  let answer;
  try {
    answer = await fetch(address, { ...options, headers, credentials: "omit", cache: "no-store" });
  } catch {
    throw new Error("The server cannot be reached.");
  }
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new Error(readable(body?.detail || `The server answered ${answer.status}.`));
  return body;
}

function call(name, body, withToken) {
  const headers = { "Content-Type": "application/json" };
  return talk(new URL(name, service), { method: "POST", headers, body: JSON.stringify(body), token: withToken });
}

// The functions of accounts answer with an error instead of failing.
async function account(name, body, withToken) {
  const answer = await call(name, body, withToken);
  if (!answer.success) throw new Error(answer.error || "That did not work.");
  return answer;
}

// --- the token ---------------------------------------------------------------------------------

function claims(text) {
  try {
    const part = text.split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
    const bytes = Uint8Array.from(atob(part), (c) => c.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return {};
  }
}

function setCookie(value, life) {
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `access_token=${value}; path=/; samesite=lax${life}${secure}`;
}

function remember(text) {
  token = text;
  try { localStorage.setItem(TOKEN, text); } catch { /* storage may be forbidden here */ }
  const { exp } = claims(text);
  const life = exp ? `; max-age=${Math.max(0, Math.floor(exp - Date.now() / 1000))}` : "";
  if (/^[\w.~+/=-]+$/.test(text)) setCookie(text, life);
}

function forget() {
  token = null;
  try { localStorage.removeItem(TOKEN); } catch { /* storage may be forbidden here */ }
  setCookie("", "; max-age=0");
}

function stored() {
  let text = null;
  try { text = localStorage.getItem(TOKEN); } catch { /* storage may be forbidden here */ }
  text ||= document.cookie.split("; ").find((pair) => pair.startsWith("access_token="))?.slice(13);
  if (!text) return null;
  const { exp } = claims(text);
  if (exp && exp * 1000 <= Date.now()) {
    forget();
    return null;
  }
  return text;
}

// --- completing a login ------------------------------------------------------------------------

// Tells the window that opened this one. The key alone: the token is fetched by who has it.
function reportLoginComplete() {
  for (const target of [window.opener, embedded ? window.parent : null]) {
    try { target?.postMessage({ type: "hypha-login-complete", key }, "*"); } catch { /* it is gone */ }
  }
}

// Where to go afterwards; never to another site.
function redirect() {
  const wanted = query.get("redirect");
  if (!wanted) return null;
  try {
    const url = new URL(wanted, location.href);
    return url.origin === location.origin ? url.href : null;
  } catch {
    return null;
  }
}

async function complete(text, user = {}) {
  if (key) {
    const wish = { workspace: workspace || undefined, expires_in: expiresIn };
    await call("report", { key, token: text, ...wish, ...user });
  } else {
    // The listing of the public services is refused to bad tokens alone.
    await talk(new URL("../", service), { token: text });
  }
  remember(text);
  if (query.get("clear") === "true") forget();
  if (key) {
    reportLoginComplete();
    show("done", "You are logged in");
  }
  const next = redirect();
  if (next) location.assign(next);
  else if (key && !embedded) setTimeout(() => window.close(), 1500);
  else if (!key) showSignedIn();
}

function showSignedIn() {
  const about = claims(token);
  const [, email] = Object.entries(about).find(([name]) => name.endsWith("/email")) || [];
  byId("who").textContent = [email, about.sub || "the holder of a token"].filter(Boolean).join(" · ");
  byId("until").textContent = about.exp ? new Date(about.exp * 1000).toLocaleString() : "no end";
  byId("continue").hidden = !key;
  show("signed-in", key ? "Continue?" : "You are logged in", request());
  (key ? byId("continue") : byId("copy")).focus();
}

function showSignIn() {
  show("sign-in", "Log in", request());
  document.querySelector("#sign-in form:not([hidden]) :is(input, textarea)")?.focus();
}

// --- forms -------------------------------------------------------------------------------------

// Runs work for a button or a form, which rests meanwhile, and shows what went wrong.
async function guarded(element, work) {
  const buttons = element.tagName === "FORM" ? element.querySelectorAll("button") : [element];
  for (const button of buttons) button.disabled = true;
  tell("note", "");
  try {
    await work();
  } catch (error) {
    tell("alert", error.message);
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

function onSubmit(id, work) {
  const form = byId(id);
  form?.addEventListener("submit", (event) => {
    event.preventDefault();
    const fields = Object.fromEntries(new FormData(form));
    guarded(form, () => work(fields, form));
  });
}

function onClick(id, work) {
  byId(id)?.addEventListener("click", (event) => guarded(event.currentTarget, work));
}

onSubmit("token", async (fields) => {
  await complete(fields.token.trim().replace(/^Bearer\s+/i, ""));
});

onSubmit("password", async (fields, form) => {
  const answer = await account("login", fields);
  form.reset();
  await complete(answer.token, { user_id: answer.user_id, email: answer.email });
});

let pending = null;

function showCode(answer) {
  pending = answer.email;
  byId("sent-to").textContent = pending;
  selectTab(null);
  byId("verify").hidden = false;
  const code = byId("verify").elements.code;
  code.value = answer.dev_code || "";
  code.focus();
  if (answer.dev_code) tell("note", "This server sends no mail, so the code is filled in.");
}

onSubmit("sign-up", async (fields, form) => {
  if (fields.password !== fields.again) throw new Error("The passwords are not the same.");
  const { name, email, password } = fields;
  const answer = await account("signup", { name, email, password });
  form.reset();
  showCode(answer);
});

onSubmit("verify", async (fields, form) => {
  await account("verify_email", { email: pending, code: fields.code });
  form.reset();
  form.hidden = true;
  selectTab("password");
  byId("password").elements.email.value = pending;
  byId("password").elements.password.focus();
  tell("note", "Your account is made. You can log in.");
});

onClick("resend", async () => {
  showCode(await account("resend_code", { email: pending }));
  tell("note", "A new code is on its way.");
});

onClick("back", async () => {
  byId("verify").hidden = true;
  selectTab("sign-up");
});

onSubmit("update", async (fields, form) => {
  const changed = Object.fromEntries(Object.entries(fields).filter(([, value]) => value));
  if (!changed.name && !changed.new_password) throw new Error("There is nothing to change.");
  await account("update_profile", changed, token);
  form.reset();
  tell("note", "Saved.");
});

onClick("continue", () => complete(token));
onClick("copy", async () => {
  await navigator.clipboard.writeText(token);
  tell("note", "The token is in the clipboard. Whoever has it, can act as you.");
});
onClick("other", async () => showSignIn());
onClick("log-out", async () => {
  forget();
  showSignIn();
  tell("note", "You are logged out.");
});

// --- tabs --------------------------------------------------------------------------------------

const tabs = [...document.querySelectorAll('[role="tab"]')];

function selectTab(panel) {
  for (const tab of tabs) {
    const chosen = tab.getAttribute("aria-controls") === panel;
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
    byId(tab.getAttribute("aria-controls")).hidden = !chosen;
  }
}

for (const [at, tab] of tabs.entries()) {
  tab.addEventListener("click", () => {
    byId("verify").hidden = true;
    tell("note", "");
    selectTab(tab.getAttribute("aria-controls"));
  });
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(at + step + tabs.length) % tabs.length];
    next.click();
    next.focus();
  });
}

// --- the beginning -----------------------------------------------------------------------------

if (query.get("logout") === "true") {
  forget();
  showSignIn();
  tell("note", "You are logged out.");
  const next = redirect();
  if (next) location.assign(next);
  else if (query.get("close") === "true") window.close();
} else {
  token = embedded ? null : stored();
  if (token) showSignedIn();
  else showSignIn();
}
