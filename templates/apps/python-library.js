// Writes the packages that every Python app starts with to where Python finds them; used by python-main.js and by
// scripts/runtimes/snapshot.mjs. Unpacking wheels takes Python a second, this takes a few milliseconds.
//
// `library` is the length of an index (32 bits, little-endian), the index {path: size in bytes} as JSON, and the files in
// that order, as scripts/runtimes/pyodide.py writes it.
function placeLibrary(python, library, version) {
  "use strict";
  const folder = `/lib/python${version.split(".").slice(0, 2).join(".")}/site-packages`;
  const length = new DataView(library).getUint32(0, true);
  const index = JSON.parse(new TextDecoder().decode(new Uint8Array(library, 4, length)));
  const made = new Set();
  let at = 4 + length;
  for (const [path, size] of Object.entries(index)) {
    const place = `${folder}/${path}`;
    const parent = place.slice(0, place.lastIndexOf("/"));
    if (!made.has(parent)) python.FS.mkdirTree(parent);
    made.add(parent);
    python.FS.writeFile(place, new Uint8Array(library, at, size), { canOwn: true });
    at += size;
  }
}
