// A first run of the RPC client in a page that waits for its app: against a server that is made of the client as well,
// so that the browser has compiled by then what the real connection needs. Nothing leaves the page.
// Needs `rhizome` (api-shim.js).
rhizome.warm = async (loading) => {
  "use strict";
  const client = await loading;
  // What a rehearsal is worth is time, so it does not matter when it fails.
  await rehearse(client).catch((error) => console.debug("no rehearsal:", error));
};

const rehearse = async (client) => {
  const quiet = { debug() {}, info() {}, log() {}, warn() {}, error() {} };
  let socket, receive;
  class Socket {
    constructor() {
      socket = this;
      this.readyState = WebSocket.OPEN;
      setTimeout(() => this.onopen());
    }

    send(data) {
      if (typeof data !== "string") return receive(data);
      const info = { type: "connection_info", workspace: "rehearsal", manager_id: "stage", public_base_url: location.origin };
      setTimeout(() => this.onmessage({ data: JSON.stringify(info) }));
    }

    close() {
      this.readyState = WebSocket.CLOSED;
    }
  }

  const stage = new client.RPC({
    manager_id: null,
    emit_message: async (data) => socket.onmessage({ data: data.slice().buffer }),
    on_message: (handler) => (receive = handler),
    on_connected() {},
    on_disconnected() {},
    disconnect() {},
  }, { client_id: "stage", workspace: "*", silent: true, logger: quiet });
  const described = (name) => ({
    name,
    description: name,
    parameters: { type: "object", properties: { service: { type: "object", description: name } }, required: ["service"] },
  });
  const manager = { id: "default", config: { visibility: "public" } };
  for (const name of ["echo", "get_service", "register_service", "subscribe", "unsubscribe"]) {
    manager[name] = client.schemaFunction(async () => ({ id: "rehearsal/client:default" }), described(name));
  }
  stage.add_service(manager, true);
  const server = await rhizome.connect(client, {
    server_url: location.origin, workspace: "rehearsal", client_id: "client", token: "", WebSocketClass: Socket, logger: quiet,
    token_refresh_interval: 0, ping_interval: 0, method_timeout: 5,
  });
  await rhizome.face(server, new Set()).export({ echo: (value) => value });
  await server.disconnect();
  stage.close();
};
