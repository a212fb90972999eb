// Replaces how `rhizome` (api-shim.js) launches an app in its worker: by Pyodide. Its `client` is not the RPC client, but
// where the runtimes are and the Python code that runs apps (python-app.py).
rhizome.launch = (() => {
  "use strict";

  const canonical = (name) => name.replace(/[-_.]+/g, "-").toLowerCase();

  // The packages that a script imports at any place, by the first part of their names.
  function imported(code) {
    const found = new Set();
    for (const [, from, list] of code.matchAll(/^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import\b|import[ \t]+([^\n#;]+))/gm)) {
      for (const name of from ? [from] : list.split(",")) found.add(name.trim().split(/[\s.]/)[0]);
    }
    return found;
  }

  // The first runtime that has every compiled package which the app wants and any runtime has.
  function choose(runtimes, requirements, modules) {
    const names = new Set(requirements.map((requirement) => canonical(/^\s*([\w.-]*)/.exec(requirement)[1])));
    const compiled = new Map(runtimes.flatMap((runtime) => Object.entries(runtime.compiled)));
    const wanted = [...compiled].filter(([name, imports]) => names.has(name) || imports.some((module) => modules.has(module)));
    const lacking = runtimes.map((runtime) => wanted.map(([name]) => name).filter((name) => !(name in runtime.compiled)));
    const at = lacking.findIndex((names) => names.length === 0);
    if (at >= 0) return runtimes[at];
    const reasons = runtimes.map(({ version, python }, which) => `Pyodide ${version} (Python ${python}) has no wheel of ${lacking[which].join(", ")}`);
    throw `no runtime of this server has all that the app needs: ${reasons.join("; ")}`;
  }

  async function catalogue(assets) {
    const answer = await fetch(`${assets}/pyodide/runtimes.json`);
    if (answer.ok) return await answer.json();
    const told = await answer.json().catch(() => ({}));
    throw `Python apps cannot run here: ${told.detail ?? `the server answered ${answer.status}`}`;
  }

  const whole = (address) => fetch(address).then((answer) => (answer.ok ? answer.arrayBuffer() : null), () => null);

  // After a snapshot: what must not be the same in all apps, and what the snapshot could not hold.
  const RESTORED = `
import importlib, sys
if "random" in sys.modules:
    sys.modules["random"].seed()
if "msgpack" in sys.modules:
    # It was imported without its compiled part.
    importlib.reload(sys.modules["msgpack"])
`;

  // Starts Python with the packages that every app needs: from a snapshot where there is one, which takes a fraction
  // of the time.
  async function boot(base, { base: packages, python: version, snapshot, library }) {
    const options = {
      indexURL: base,
      stdout: (line) => console.log(line),
      stderr: (line) => console.error(line),
    };
    // Pyodide waits for its snapshot itself, and does the rest meanwhile.
    const memory = library && snapshot && whole(`${base}${snapshot}`).then((found) => found ?? Promise.reject("it cannot be had"));
    memory?.catch(() => {});
    const [{ loadPyodide }, files] = await Promise.all([import(`${base}pyodide.mjs`), library && whole(`${base}${library}`)]);
    if (!files) return await loadPyodide({ ...options, packages });
    const placed = (python) => {
      placeLibrary(python, files, version);
      for (const name of packages) python.loadedPackages[name] = "default channel";
      return python;
    };
    if (memory) {
      try {
        const python = placed(await loadPyodide({ ...options, _loadSnapshot: memory }));
        python.runPython(RESTORED);
        return python;
      } catch (error) {
        console.debug(`starting without a snapshot: ${error}`);
      }
    }
    return placed(await loadPyodide(options));
  }

  // A runtime with the code that runs apps.
  async function driven({ assets, driver }, own, url) {
    const python = await boot(url ?? `${assets}/pyodide/${own.path}`, own ?? { base: ["micropip"] });
    const scope = python.toPy({ __name__: "rhizome" });
    python.runPython(driver, { globals: scope, filename: "<rhizome>" });
    return { python, run: scope.get("run"), warm: scope.get("warm") };
  }

  // What was made in advance: the runtimes that there are, which of them runs, and that one.
  let ahead = null;

  rhizome.warm = async (client) => {
    const { runtimes, url } = await catalogue(client.assets);
    const own = url ? null : runtimes[0];
    const { warm, ...rest } = await driven(client, own, url);
    await warm();
    ahead = { runtimes, url, own, ...rest };
  };

  // Runs cells one after the other, as they come from the page.
  function serve(cells, app) {
    cells.onmessage = async ({ data: { id, script } }) => cells.postMessage({ id, outcome: await app.execute(script) });
  }

  return async ({ client, config, code, files, cells, unfit }) => {
    const { assets } = client;
    const { runtimes, url } = ahead ?? await catalogue(assets);
    const requirements = (config.requirements ??= []);
    const modules = imported(code);
    // The documented apps count on it being there.
    if (modules.has("pydantic") && !requirements.some((given) => /^\s*pydantic\b/.test(given))) requirements.push("pydantic");
    const own = url ? null : choose(runtimes, requirements, modules);
    if (ahead && ahead.own !== own) return unfit();
    const { python, run } = ahead ?? await driven(client, own, url);
    if (!own) config.requirements = ["hypha-rpc", ...requirements];
    const known = Object.keys(python._api.lockfile_packages ?? python._api.repodata_packages);
    const packages = [python.toPy(known), `${assets}/pypi/simple`, `Pyodide ${python.version}`];
    const app = await run(python.toPy(config), code, files, ...packages);
    if (typeof app === "string") throw app;
    serve(cells, app);
  };
})();
