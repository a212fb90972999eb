// Makes a snapshot of a Pyodide that has just started, so that pages need not start it from nothing:
//
//   node snapshot.mjs FOLDER OUTPUT
//
// Only Python itself is in it, and what its standard library is usually wanted for: no package, no file, no token.
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [folder, output] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(`${folder}/pyodide.mjs`).href);

// What the RPC client and micropip import. More memory than Pyodide starts with cannot be restored, so that a snapshot
// which outgrew it is made again with nothing.
const MODULES = [
  "argparse, ast, asyncio, base64, cgi, concurrent.futures, contextvars, dataclasses, datetime, email.message, email.parser",
  "getpass, gzip, hashlib, http.client, http.cookiejar, importlib.metadata, inspect, io, json, linecache, logging, mimetypes",
  "netrc, pathlib, platform, re, shutil, sysconfig, tempfile, textwrap, traceback, typing, urllib.request, uuid, zipfile, zlib",
].join(", ").split(", ");

async function made(modules) {
  const python = await loadPyodide({ indexURL: folder, _makeSnapshot: true });
  python.runPython(`
import importlib, sys
for name in ${JSON.stringify(modules)}:
    try:
        importlib.import_module(name)
    except ImportError:
        pass  # not in every version
del importlib, sys, name
`);
  return python.makeMemorySnapshot();
}

async function works(snapshot) {
  try {
    const python = await loadPyodide({ indexURL: folder, _loadSnapshot: snapshot });
    return python.runPython("import json; json.dumps(1 + 1)") === "2";
  } catch {
    return false;
  }
}

for (const modules of [MODULES, ["asyncio"]]) {
  const snapshot = await made(modules);
  if (await works(snapshot)) {
    writeFileSync(output, snapshot);
    process.exit(0);
  }
}
console.error("no snapshot of this version can be restored");
process.exit(1);
