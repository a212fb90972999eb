// How a worker gets the RPC client: from its page, which fetches the text while the worker comes up. Needs `rhizome`
// (api-shim.js) and `rhizomeStart`, the addresses of the client and of the server's socket, and whether the app comes later.
const { waiting } = rhizomeStart;
const client = new Promise((resolve, reject) => {
  "use strict";
  const take = (event) => {
    if (event.data?.library === undefined) return;
    event.stopImmediatePropagation();
    self.removeEventListener("message", take);
    try {
      // By this name the client's frames are known from others.
      (0, eval)(`${event.data.library}\n//# sourceURL=${rhizomeStart.client}`);
      resolve(self.hyphaWebsocketClient);
    } catch (error) {
      reject(error);
    }
  };
  self.addEventListener("message", take);
});
// The connection opens meanwhile.
if (!waiting) rhizome.dial(rhizomeStart.socket);
