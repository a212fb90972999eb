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

  // What the page was compiled with, overruled by its query, overruled by what the server slipped in.
  function settings(compiled, search, injected) {
    const query = Object.fromEntries(new URLSearchParams(search));
    const config = { server_url: server, ...compiled, ...query, ...injected };
    config.env = { ...compiled.env, ...injected.env };
    return config;
  }

  // Removed at once: the app's own code has `env` instead.
  const injected = globalThis.__rhizome ?? {};
  delete globalThis.__rhizome;

  const compiled = JSON.parse(document.getElementById("rhizome-app").textContent);

  // Calls `start` with the app. A page that was made in advance belongs to no app yet; the server hands it one, with
  // the address and title that the app's own page would have. They come last, since the app is in a hurry.
  function run(start) {
    if (compiled) {
      const config = settings(compiled.config, location.search, injected);
      return start({ name: document.title, address: location.href, config, code: compiled.code });
    }
    const claim = ({ app, config, address, title }) => {
      delete globalThis.__rhizomeClaim;
      const { origin, search } = new URL(address);
      if (origin !== location.origin) throw new Error(`${address} is not an address of this server`);
      start({ name: title, address, config: settings(app.config, search, config), code: app.code });
      history.replaceState(null, "", address);
      document.title = title;
    };
    Object.defineProperty(globalThis, "__rhizomeClaim", { value: claim, configurable: true, enumerable: false });
  }

  return {
    ready, failed, send, run,
    waiting: !compiled,
    // What the worker of a page made in advance says: that it waits for nothing but its app, or that it cannot.
    warmed: ({ data }) => {
      if (data?.type === "warm") send(data);
      else if (data?.type === "failed") failed(data.message);
    },
    client: `${server}/assets/hypha-rpc-websocket.min.mjs`,
    library: `${server}/assets/hypha-rpc-websocket.min.js`,
    socket: `${server.replace(/^http/, "ws")}/ws`,
  };
})();
