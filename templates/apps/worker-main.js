// Start of an app's worker; needs `rhizome` (api-shim.js) with its `warm` (rehearsal.js), `client`, the promised RPC client
// module, and `waiting`, whether the app comes later.
(() => {
  "use strict";
  // First line of this worker: by it the server knows which worker forwards its own console, and listens there only.
  console.debug("__rhizome_worker__");

  // A page that waits for its app tells when it has done all that can be done without.
  if (waiting) {
    rhizome.warm(client).then(
      () => self.postMessage({ type: "warm" }),
      (error) => self.postMessage({ type: "failed", message: rhizome.describe(error) }),
    );
  }

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

    // Called where what was made in advance does not fit the app: the page starts anew.
    const unfit = () => {
      port.postMessage({ type: "unfit" });
      return new Promise(() => {});
    };
    rhizome.launch({ client, unfit, ...data }).then(() => port.postMessage({ type: "ready" }), uncaught);
  }, { once: true });
})();
