// Start of an app's worker; needs `rhizome` (api-shim.js), `rehearse` (rehearsal.js), `client`, the promised RPC client
// module, and `waiting`, whether the app comes later.
(() => {
  "use strict";
  // First line of this worker: by it the server knows which worker forwards its own console, and listens there only.
  console.debug("__rhizome_worker__");

  // What a rehearsal is worth is time, so it does not matter when it fails.
  const warm = async () => {
    await rehearse(await client).catch((error) => console.debug("no rehearsal:", error));
    self.postMessage({ type: "warm" });
  };
  if (waiting) warm().catch(() => {});

  self.addEventListener("message", ({ data: { name, ...data }, ports: [port] }) => {
    self.name = name;
    const levels = { log: "log", info: "info", debug: "debug", warn: "warning", error: "error", trace: "trace", dir: "dir", table: "table" };
    for (const [name, level] of Object.entries(levels)) {
      const original = console[name];
      console[name] = (...values) => {
        forward("console", level, values.map((value) => rhizome.preview(value)).join(" "));
        original.apply(console, values);
      };
    }
    const assert = console.assert;
    console.assert = (truth, ...values) => {
      if (!truth) forward("console", "error", ["Assertion failed:", ...values.map((value) => rhizome.preview(value))].join(" "));
      assert.call(console, truth, ...values);
    };

    function forward(kind, level, text) {
      port.postMessage({ type: "log", kind, level, text, ts: Date.now() / 1000 });
    }
    const uncaught = (error) => {
      const message = rhizome.describe(error);
      forward("error", "error", message);
      port.postMessage({ type: "failed", message });
    };
    self.addEventListener("error", (event) => {
      event.preventDefault();
      uncaught(event.error ?? event.message);
    });
    self.addEventListener("unhandledrejection", (event) => uncaught(event.reason));

    rhizome.launch({ client, ...data }).then(() => port.postMessage({ type: "ready" }), uncaught);
  }, { once: true });
})();
