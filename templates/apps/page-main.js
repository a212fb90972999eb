// The page's side of the conversation with the server that opened it. `page` needs `rhizome` (api-shim.js).
const page = (() => {
  "use strict";
  const binding = globalThis.__rhizomeSignal;
  delete globalThis.__rhizomeSignal;

  let settled = false;
  const send = (message) => binding?.(JSON.stringify(message));

  function ready() {
    if (settled) return;
    settled = true;
    send({ type: "ready" });
  }

  function failed(error) {
    if (settled) return;
    settled = true;
    const message = rhizome.describe(error);
    send({ type: "failed", message });
    if (!binding) console.error(message);
  }

  // The server may live below a path of its own: what stands before the page's own address.
  const [, base = ""] = location.pathname.match(/^(.*?)\/(?:_pages|[^/]+\/artifacts)\//) ?? [];
  const server = location.origin + base;

  // What the page was compiled with, overruled by its query, overruled by what the server slipped in. The latter is
  // removed at once: the app's own code has `env` instead.
  function settings(compiled) {
    const injected = globalThis.__rhizome ?? {};
    delete globalThis.__rhizome;
    const query = Object.fromEntries(new URLSearchParams(location.search));
    const config = { server_url: server, ...compiled, ...query, ...injected };
    config.env = { ...compiled.env, ...injected.env };
    return config;
  }

  const app = JSON.parse(document.getElementById("rhizome-app").textContent);
  return {
    ready, failed, send,
    code: app.code,
    config: settings(app.config),
    client: `${server}/assets/hypha-rpc-websocket.mjs`,
  };
})();
