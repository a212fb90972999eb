"""Fills a folder with Pyodide and the wheels that web-python apps start with: from the npm registry and
PyPI through `npm` and `pip` as they are set up here, every file checked against lock.json.

    pyodide.py FOLDER

What is there already is not fetched again, so an interrupted run goes on where it was. The folder can be copied
to a machine without internet.
"""

import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
# To be raised when what this file writes changes.
FORMAT = 3
# What every app needs, whatever it imports.
BASE = ["micropip", "hypha-rpc"]
# Files of templates/ that the maker of snapshots uses.
IN_SNAPSHOT = ["apps/python-library.js", "apps/python-web.py", "python/showing.py"]


class Missing(Exception):
    """A package cannot be had."""


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def run(*command, cwd=None):
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise Missing(f"{' '.join(map(str, command[:4]))} …\n{done.stderr.strip()[-2000:]}")
    return done.stdout


def say(text):
    print(f"== {text}", file=sys.stderr)


def npm(version, integrity, work):
    """The files of the npm package `pyodide`."""
    say(f"fetching Pyodide {version}")
    archive = work / run("npm", "pack", "--silent", f"pyodide@{version}", cwd=work).split()[-1]
    found = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != integrity:
        sys.exit(f"error: pyodide {version} is not the package that was pinned ({found})")
    with tarfile.open(archive) as package:
        return {Path(member.name).name: package.extractfile(member).read()
                for member in package if member.isfile()}


def pip(wheels, python, platforms, work):
    """Downloads wheels, each checked by pip against its hash; yields them with their files."""
    tag = "cp" + python.replace(".", "")
    folder = Path(tempfile.mkdtemp(dir=work))
    wanted = folder / "wanted.txt"
    wanted.write_text("".join(f"{each['name']}=={each['version']} --hash=sha256:{each['sha256']}\n" for each in wheels))
    options = [option for platform in (*platforms, "any") for option in ("--platform", platform)]
    run(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--only-binary=:all:", "--require-hashes", "--implementation", "cp", "--python-version", python,
        "--abi", tag, "--abi", "none", *options, "--dest", folder, "-r", wanted)
    files = {sha256(path.read_bytes()): path for path in folder.glob("*.whl")}
    return [(each, files[each["sha256"]]) for each in wheels]


def stripped(path, folder):
    """A wheel for every platform, made of one for Linux: without its compiled parts, always with the same bytes."""
    name, version = path.name.split("-")[:2]
    made = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as new:
        for member in sorted(old.namelist()):
            if member.endswith((".so", "/", "/RECORD")):
                continue
            content = old.read(member)
            if member.endswith(".dist-info/WHEEL"):
                content = b"Wheel-Version: 1.0\nGenerator: rhizome\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            new.writestr(zipfile.ZipInfo(member), content)
        record = "".join(f"{member},,\n" for member in new.namelist())
        new.writestr(zipfile.ZipInfo(f"{name}-{version}.dist-info/RECORD"), record)
    return made


def described(path, known, without=()):
    """The entry of a wheel in Pyodide's lock file; it depends on those of its requirements that are known."""
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        head = wheel.read(metadata).decode().split("\n\n")[0]
    needs = [canonical(re.match(r"[\w.-]+", line.split(":", 1)[1].strip())[0])
             for line in head.splitlines() if line.startswith("Requires-Dist:") and "extra ==" not in line]
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name and ".data/" not in name}
    imports = sorted(top.removesuffix(".py") for top in tops if top.endswith(".py") or "." not in top)
    name, version = path.name.split("-")[:2]
    return canonical(name), {
        "name": canonical(name), "version": version, "file_name": path.name, "install_dir": "site",
        "sha256": sha256(path.read_bytes()), "package_type": "package", "imports": imports,
        "depends": [need for need in dict.fromkeys(needs) if need in known and need not in without],
        "unvendored_tests": False}


def closure(names, packages):
    """The packages and all that they depend on."""
    found, todo = {}, list(names)
    while todo:
        name = todo.pop()
        if name not in found:
            found[name] = packages[name]
            todo.extend(packages[name]["depends"])
    return found


def bundled(bundle, official, python, work):
    """Files of Pyodide's own distribution out of a wheel that carries them: their entries and contents."""
    say(f"fetching {', '.join(bundle['packages'])} for the browser (77 MB)")
    [(_, path)] = pip([bundle], python, [], work)
    entries, contents = closure(bundle["packages"], official["packages"]), {}
    with zipfile.ZipFile(path) as wheel:
        for entry in entries.values():
            content = wheel.read(bundle["folder"] + entry["file_name"])
            if sha256(content) != entry["sha256"]:
                sys.exit(f"error: {entry['file_name']} is not the file of Pyodide's own lock")
            contents[entry["file_name"]] = content
    return entries, contents


def compile_modules(wheels, files, core, work):
    """Replaces wheels by ones with compiled modules, which pages import in a third of the time."""
    folder = Path(tempfile.mkdtemp(dir=work))
    for name in [*core, "pyodide-lock.json"]:
        (folder / name).write_bytes(files[name])
    try:
        run("node", HERE / "compile.mjs", folder, *wheels)
    except Missing as error:
        say(f"starts will be slower: {error}")


def library(packages, contents):
    """The files of what every app needs in one: see templates/apps/python-library.js."""
    index, files = {}, []
    for _, entry in sorted(closure(BASE, packages).items()):
        with zipfile.ZipFile(io.BytesIO(contents[entry["file_name"]])) as wheel:
            for name in wheel.namelist():
                if not name.endswith("/"):
                    files.append(wheel.read(name))
                    index[name] = len(files[-1])
    head = json.dumps(index).encode()
    content = b"".join([len(head).to_bytes(4, "little"), head, *files])
    return f"library-{sha256(content)[:16]}.bin", content


def complete(folder, stamp):
    """Whether all is there, unchanged in size."""
    try:
        done = json.loads((folder / "complete.json").read_text())
        return done["stamp"] == stamp and all(
            (folder / name).stat().st_size == size for name, size in done["files"].items())
    except (OSError, ValueError, KeyError):
        return False


def fill(runtime, common, folder, work):
    stamp = sha256(json.dumps([FORMAT, runtime, common]).encode())
    if complete(folder, stamp):
        return
    folder.mkdir(parents=True, exist_ok=True)
    files = npm(runtime["version"], runtime["npm"], work)
    official = json.loads(files["pyodide-lock.json"])
    contents = {name: files[name] for name in runtime["files"]}
    packages = {}
    bundle = runtime.get("bundle")
    if bundle:
        packages, more = bundled(bundle, official, runtime["python"], work)
        contents |= more
    say(f"fetching the packages of web-python apps for Pyodide {runtime['version']}")
    wanted = common + runtime["wheels"]
    pure = [each for each in wanted if not each.get("stripped")]
    linux = [each for each in wanted if each.get("stripped")]
    got = pip(pure, runtime["python"], [runtime["platform"]], work)
    for each, path in pip(linux, "3.12", ["manylinux2014_x86_64", "manylinux_2_28_x86_64"], work):
        got.append((each, stripped(path, work)))
    compile_modules([path for _, path in got if path.name.endswith("-none-any.whl")], files, runtime["files"], work)
    known = {canonical(each["name"]) for each in wanted} | set(packages)
    for each, path in got:
        name, entry = described(path, known, each.get("without", ()))
        packages[name] = entry
        contents[path.name] = path.read_bytes()
    name, content = library(packages, contents)
    contents[name] = content
    lock = {"info": official["info"], "packages": packages}
    contents["pyodide-lock.json"] = json.dumps(lock, indent=1).encode()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    for old in folder.iterdir():
        if old.name not in contents:
            old.unlink()
    sizes = {name: len(content) for name, content in contents.items()}
    (folder / "complete.json").write_text(json.dumps({"stamp": stamp, "files": sizes}))


def snapshot(folder):
    """Makes the snapshot of a runtime, named after what made it, unless it is there. Pages can do without."""
    maker = HERE / "snapshot.mjs"
    made_of = [folder / "complete.json", maker, *(HERE.parents[1] / "templates" / name for name in IN_SNAPSHOT)]
    stamp = sha256(b"".join(path.read_bytes() for path in made_of))[:16]
    made = folder / f"snapshot-{stamp}.bin"
    if made.exists() or (folder / f"{made.name}.failed").exists():
        return
    say(f"preparing fast starts of Pyodide {folder.name}")
    for old in folder.glob("snapshot-*"):
        old.unlink()
    incoming = folder / "snapshot-incoming"
    try:
        library = next(folder.glob("library-*"))
        version = json.loads((folder / "pyodide-lock.json").read_text())["info"]["python"]
        run("node", maker, folder.resolve(), library.name, version, incoming)
        incoming.rename(made)
    except Missing as error:
        say(f"starts will be slower: {error}")
        (folder / f"{made.name}.failed").touch()


def catalogue(folder, versions):
    """What pages choose among: each runtime with the compiled packages that it has, the preferred one first."""
    runtimes = []
    for version in versions:
        lock = json.loads((folder / version / "pyodide-lock.json").read_text())
        # Modules of Python's own that are packages in one version are built in in another.
        compiled = {name: entry["imports"] for name, entry in lock["packages"].items()
                    if entry["package_type"] == "package" and not entry["file_name"].endswith("-none-any.whl")}
        named = {name: next((path.name for path in (folder / version).glob(f"{name}-*.bin")), None)
                 for name in ("library", "snapshot")}
        runtimes.append({"version": version, "python": lock["info"]["python"], "path": f"{version}/",
                         "base": sorted(closure(BASE, lock["packages"])), "compiled": compiled, **named})
    return {"runtimes": runtimes}


def main(folder):
    lock = json.loads((HERE / "lock.json").read_text())
    versions = []
    for runtime in lock["runtimes"]:
        try:
            with tempfile.TemporaryDirectory() as work:
                fill(runtime, lock["common"], folder / runtime["version"], Path(work))
        except Missing as error:
            # The compiled packages of the later ones depend on what strangers publish. Apps that need
            # them are told which package this server does not have.
            if not versions:
                sys.exit(f"error: {error}")
            say(f"going on without Pyodide {runtime['version']}: {error}")
        else:
            snapshot(folder / runtime["version"])
            versions.append(runtime["version"])
    (folder / "runtimes.json").write_text(json.dumps(catalogue(folder, versions), indent=1))
    for old in folder.iterdir():
        if old.is_dir() and old.name not in versions:
            shutil.rmtree(old)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
