// Shared by the app pages and their workers: the friendlier face of the RPC client that apps program against.
// It must stay free of imports and of closing script tags, because it is inlined.
const rhizome = (() => {
  "use strict";

  // Names under which a merged configuration may reach the RPC client.
  const CONNECTION_KEYS = [
    "server_url", "workspace", "client_id", "token", "reconnection_token", "app_id", "name", "description",
    "method_timeout", "ping_interval", "token_refresh_interval", "webrtc", "webrtc_config",
  ];

  const camel = (name) => name.replace(/([a-z0-9])_+([a-z0-9])/gi, (_, before, after) => before + after.toUpperCase());

  const isNative = (prototype) => {
    const constructor = Object.prototype.hasOwnProperty.call(prototype, "constructor") && prototype.constructor;
    return typeof constructor === "function" && Function.prototype.toString.call(constructor).includes("[native code]");
  };

  // The prototypes an app itself wrote, nearest first; null when the object is at heart a built-in one (Array, Blob, ...).
  function ownClasses(object) {
    const classes = [];
    // Iterators and generators have prototypes without a constructor; the client streams them.
    if (typeof object.next === "function" && (object[Symbol.iterator] || object[Symbol.asyncIterator])) return null;
    for (let at = Object.getPrototypeOf(object); at && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
      if (typeof EventTarget === "function" && at === EventTarget.prototype) break;
      if (isNative(at)) return null;
      classes.push(at);
    }
    return classes;
  }

  function bind(method, self) {
    if (method.__rpc_object__) return method;
    const bound = method.bind(self);
    Object.defineProperty(bound, "name", { value: method.name, configurable: true });
    // The client reads the names of parameters from the source, to place keyword arguments.
    const source = Function.prototype.toString.call(method);
    Object.defineProperty(bound, "toString", { value: () => source });
    return Object.assign(bound, method);
  }

  // What the client can carry; other values in the fields of an instance (elements, sockets, timers) stay private to it.
  function portable(value) {
    if (typeof value === "symbol") return false;
    if (typeof value !== "object" || value === null || ownClasses(value)) return true;
    const kinds = ["Array", "ArrayBuffer", "Blob", "Map", "Set", "Date", "Error", "ReadableStream"];
    return ArrayBuffer.isView(value) || kinds.some((kind) => globalThis[kind] && value instanceof globalThis[kind]);
  }

  // A copy of what an app hands over, in plain objects, whose functions keep the original object as `this`.
  function prepare(value, owner, seen = new Map()) {
    if (typeof value === "function") return owner === undefined ? value : bind(value, owner);
    if (typeof value !== "object" || value === null || value.__rpc_object__ || value._rtype) return value;
    if (Array.isArray(value)) return value;
    const classes = ownClasses(value);
    if (classes === null) return value;
    if (seen.has(value)) return seen.get(value);
    seen.set(value, undefined);
    const copy = {};
    for (const prototype of classes) {
      for (const name of Object.getOwnPropertyNames(prototype)) {
        const method = Object.getOwnPropertyDescriptor(prototype, name).value;
        if (name === "constructor" || name.startsWith("_") || name in copy || typeof method !== "function") continue;
        copy[name] = bind(method, value);
      }
    }
    for (const name of Object.keys(value)) {
      const field = value[name];
      if (classes.length && !portable(field)) continue;
      const inner = prepare(field, value, seen);
      // A cycle ends here: the client could not encode it.
      if (inner !== undefined || field === undefined) copy[name] = inner;
    }
    seen.set(value, copy);
    return copy;
  }

  // The `api` object of an app: the client's server object with snake_case names and prepared arguments.
  function face(server, running) {
    const follow = (call) => async (service, ...rest) => {
      const work = Promise.resolve(call(prepare(service), ...rest));
      running.add(work);
      work.then(() => running.delete(work), () => running.delete(work));
      return await work;
    };
    const own = { __proto__: null, export: follow(server.export), registerService: follow(server.registerService) };
    const name = (key) => {
      if (typeof key !== "string" || key in server) return key;
      const other = camel(key);
      return other in server ? other : key;
    };
    return new Proxy(server, {
      get: (target, key) => own[name(key)] ?? target[name(key)],
      has: (target, key) => name(key) in target,
    });
  }

  // `env.get("HYPHA_TOKEN")` and `env.HYPHA_TOKEN` both work.
  function environment(config) {
    const values = {
      HYPHA_SERVER_URL: config.server_url,
      HYPHA_WORKSPACE: config.workspace,
      HYPHA_CLIENT_ID: config.client_id,
      HYPHA_TOKEN: config.token,
      HYPHA_APP_ID: config.app_id,
      ...(config.env && typeof config.env === "object" ? config.env : {}),
    };
    const env = new Map(Object.entries(values).filter(([, value]) => value !== undefined && value !== null));
    return Object.assign(env, Object.fromEntries(env));
  }

  function connection(config) {
    const chosen = {};
    for (const key of CONNECTION_KEYS) {
      if (config[key] !== undefined && config[key] !== null && config[key] !== "") chosen[key] = config[key];
    }
    if (dialled) chosen.WebSocketClass = dialled;
    return chosen;
  }

  // Opens a WebSocket for a client that does not run yet. It goes to the first who wants a connection to that address;
  // all others get one of their own.
  let dialled = null;
  function dial(address) {
    let ready = new WebSocket(address);
    dialled = function (url) {
      const socket = ready;
      ready = null;
      if (socket && socket.url === url && socket.readyState <= WebSocket.OPEN) {
        if (socket.readyState === WebSocket.OPEN) queueMicrotask(() => socket.onopen());
        return socket;
      }
      socket?.close();
      return new WebSocket(url);
    };
  }

  // The code is the body of an async function, so `await` and `return` work at its top level. Static imports do not
  // fit into a function: such code becomes a module of its own, which sees the same globals.
  async function execute(code, api, env) {
    const named = "\n//# sourceURL=main.js";
    let main;
    try {
      main = (0, eval)(`(async function (api, env) {${code}\n})${named}`);
    } catch (error) {
      if (!(error instanceof SyntaxError) || !/^\s*(import|export)\b/m.test(code)) throw error;
      const url = URL.createObjectURL(new Blob([code, named], { type: "text/javascript" }));
      await import(url).finally(() => URL.revokeObjectURL(url));
      return;
    }
    await main.call(globalThis, api, env);
  }

  // Once it is connected the client sleeps for 100 ms, for servers that need a moment. This server says that it is
  // ready when it is, so that one sleep is cut short; all other timers are what they are.
  async function connect(module, options) {
    const original = globalThis.setTimeout;
    const hasty = (task, ms, ...values) => {
      const slept = ms === 100 && new Error().stack.includes("hypha-rpc-websocket");
      return original(task, slept ? 0 : ms, ...values);
    };
    globalThis.setTimeout = hasty;
    try {
      return await module.connectToServer(options);
    } finally {
      if (globalThis.setTimeout === hasty) globalThis.setTimeout = original;
    }
  }

  // Connects and runs the app. Resolves when its code has ended and all it registered is known to the server.
  async function launch({ client, config, code }) {
    const env = environment(config);
    const module = await client;
    Object.assign(globalThis, { env, hyphaWebsocketClient: module });
    const [server] = await Promise.all([
      connect(module, connection(config)),
      module.loadRequirements([...(config.requirements ?? [])]),
    ]);
    const running = new Set();
    const api = (globalThis.api = face(server, running));
    await execute(code, api, env);
    while (running.size) await Promise.allSettled([...running]);
    // A rejection that nobody handled is announced in a later turn of the event loop, and reported in the one after.
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setTimeout(resolve));
  }

  // An error as text, with its stack.
  function describe(error) {
    if (!(error instanceof Error)) return typeof error === "string" ? error : preview(error);
    const head = `${error.name}: ${error.message}`;
    const stack = error.stack ?? "";
    return stack.startsWith(head) || !stack ? stack || head : `${head}\n${stack}`;
  }

  const IDENTIFIER = /^[A-Za-z_$][\w$]*$/;

  function preview(value, depth = 0) {
    if (typeof value === "string") return depth ? JSON.stringify(value) : value;
    if (typeof value === "bigint") return `${value}n`;
    if (typeof value === "function") return `ƒ ${value.name}()`;
    if (typeof value !== "object" || value === null) return String(value);
    if (value instanceof Error) return depth ? `${value.name}: ${value.message}` : describe(value);
    const kind = value.constructor?.name ?? "Object";
    const list = Array.isArray(value) || ArrayBuffer.isView(value) ? Array.from(value.length === undefined ? [] : value).slice(0, 100) : null;
    if (depth > 2) return list ? `${kind}(${value.length})` : kind;
    try {
      if (list) return `[${list.map((item) => preview(item, depth + 1)).join(", ")}${value.length > 100 ? ", …" : ""}]`;
      if (value instanceof Date || value instanceof RegExp) return String(value);
      const entries = value instanceof Map || value instanceof Set ? [...value.entries()] : Object.entries(value);
      const fields = entries.slice(0, 100).map(([key, item]) => `${typeof key === "string" && IDENTIFIER.test(key) ? key : preview(key, 1)}: ${preview(item, depth + 1)}`);
      return `${kind === "Object" ? "" : `${kind} `}{${fields.join(", ")}${entries.length > 100 ? ", …" : ""}}`;
    } catch {
      return kind;
    }
  }

  return { prepare, face, environment, connection, dial, connect, execute, launch, describe, preview };
})();
