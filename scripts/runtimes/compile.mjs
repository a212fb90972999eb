// Compiles the modules in wheels by the very Python that will import them, so that pages need not:
//
//   node compile.mjs FOLDER WHEEL…
//
// Each wheel is replaced by one that also has the compiled modules.
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [folder, ...wheels] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(`${folder}/pyodide.mjs`).href);
const python = await loadPyodide({ indexURL: folder });
const compile = python.runPython(`
def compiled(content):
    import compileall, io, os, py_compile, shutil, site, zipfile

    shutil.rmtree("/tmp/wheel", ignore_errors=True)
    with zipfile.ZipFile(io.BytesIO(content.to_bytes())) as old:
        old.extractall("/tmp/wheel")
        names = [name for name in old.namelist() if not name.endswith("/")]
    # Nobody edits these files: they need not be compared with their sources.
    compileall.compile_dir("/tmp/wheel", quiet=2, stripdir="/tmp/wheel", prependdir=site.getsitepackages()[0],
                           invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    made = sorted(os.path.relpath(os.path.join(folder, file), "/tmp/wheel")
                  for folder, _, files in os.walk("/tmp/wheel") for file in files if file.endswith(".pyc"))
    with open(os.path.join("/tmp/wheel", next(name for name in names if name.endswith("/RECORD"))), "a") as record:
        record.writelines(f"{name},,\\n" for name in made)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in names + made:
            with open(os.path.join("/tmp/wheel", name), "rb") as file:
                new.writestr(zipfile.ZipInfo(name), file.read(), zipfile.ZIP_DEFLATED)
    return out.getvalue()

compiled
`);
for (const wheel of wheels) {
  const made = compile(new Uint8Array(readFileSync(wheel)));
  writeFileSync(wheel, made.toJs());
  made.destroy();
}
