#!/usr/bin/env python3
"""Runs the reference's own black-box tests against $HYPHA_BIN; unset: against the reference itself.
See docs/conformance.md.  Everything it writes goes to --out and to a work folder in the cache."""
import argparse, collections, json, os, re, shlex, shutil, signal, socket, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.path.realpath(os.environ.get("CONF_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "hypha-conformance"))
OUTCOMES = ["passed", "failed", "error", "timeout", "skipped", "not-run"]


def options():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--suite", default="hypha", choices=["hypha", "hypha-rpc"])
    ap.add_argument("--list", help="file of ids, e.g. gate-core.txt (default blackbox[-rpc].txt)")
    ap.add_argument("--files", default="", help="regex on the test file")
    ap.add_argument("--only", default="", help="regex on the id")
    ap.add_argument("--category", default="", help="comma list")
    ap.add_argument("--timeout", type=int, default=60, help="seconds per test")
    ap.add_argument("--budget", type=int, default=3600, help="seconds for the whole run; the rest is not-run")
    ap.add_argument("--isolate", action="store_true", help="one pytest session (so one server) per test file")
    ap.add_argument("--shard", default="0/1", help="K/N: every N-th file; use with --netns to run shards side by side")
    ap.add_argument("--netns", action="store_true", help="own network+pid namespace (root): the fixed ports never collide")
    ap.add_argument("--out", default="conformance-out")
    ap.add_argument("--keep", action="store_true", help="go on from earlier results in --out")
    ap.add_argument("--python", default=os.environ.get("CONF_PYTHON") or CACHE + "/venv/bin/python")
    ap.add_argument("--sdist", help="unpacked sdist (default from the cache)")
    return ap.parse_args()


def read_ids(path):
    d = collections.OrderedDict()
    for line in open(path):
        p = line.split("#")[0].strip().split("\t")
        if p[0]:
            d[p[0]] = p[1] if len(p) > 1 else ""
    return d


def resolve(p):
    return p if os.path.exists(p) else os.path.join(HERE, p)


def stage(o, work):
    shutil.copytree(o.sdist + "/tests", work + "/tests")
    extra = os.environ.get("CONF_EXTRA_TESTS")  # files missing from the sdist, e.g. *.imjoy.html
    for f in os.listdir(extra) if extra else []:
        if os.path.isfile(extra + "/" + f) and not os.path.exists(work + "/tests/" + f):
            shutil.copy(extra + "/" + f, work + "/tests/" + f)
    os.makedirs(work + "/bin")
    with open(work + "/pytest.ini", "w") as f:
        f.write("[pytest]\nasyncio_mode = strict\nfilterwarnings =\n    ignore\n")
    if o.suite == "hypha-rpc":
        with open(work + "/tests/__init__.py", "w") as f:
            f.write('WS_PORT = 3828\nWS_SERVER_URL = "http://127.0.0.1:3828"\n\n\n'
                    "def find_item(items, key, value):\n"
                    "    get = lambda i: i[key] if isinstance(i, dict) else getattr(i, key)\n"
                    "    return next((i for i in items if get(i) == value), None)\n")
    # the reference wants `mc` and `minio` in ./bin under versioned names and would download them
    for n in ("mc.20250408T153949Z", "mc.20221029T100923Z", "minio.20240716T234641Z", "minio.20221024T183507Z"):
        with open(work + "/bin/" + n, "w") as f:
            f.write('#!/bin/sh\nexec "%s" "%s/%s" "$@"\n' % (o.python, HERE, "fakemc.py" if n[1] == "c" else "s3mock.py"))
        os.chmod(work + "/bin/" + n, 0o755)


def services(o, work):
    procs, dn = [], subprocess.DEVNULL
    procs.append(subprocess.Popen([o.python, HERE + "/s3mock.py", "server", "--address=:38483"], stdout=dn,
                                  stderr=open(work + "/s3.log", "w"), env={**os.environ, "PYTHONPATH": ""}))
    if shutil.which("redis-server"):
        procs.append(subprocess.Popen(["redis-server", "--port", "6338", "--save", "", "--dir", work], stdout=dn, stderr=dn))
    end = time.time() + 60
    while time.time() < end and procs[0].poll() is None:
        try:
            socket.create_connection(("127.0.0.1", 38483), 1).close()
            return procs
        except OSError:
            time.sleep(0.2)
    for p in procs:
        p.terminate()
    sys.exit("the S3 mock did not start: " + open(work + "/s3.log").read()[-800:])


def kill_listed(path):
    if os.path.exists(path):
        for pid in map(int, open(path).read().split()):
            try:
                cl = open("/proc/%d/cmdline" % pid).read()
                if "--" in cl:
                    os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        os.unlink(path)


def load(path):
    r = collections.OrderedDict()
    if os.path.exists(path):
        for line in open(path):
            d = json.loads(line)
            r[d["id"]] = d
    return r


def main():
    o = options()
    if o.netns and not os.environ.get("_CONF_NS"):
        os.environ["_CONF_NS"] = "1"
        os.execvp("unshare", ["unshare", "-n", "-p", "-m", "--fork", "--mount-proc", "--kill-child", "sh", "-c",
                              'ip link set lo up 2>/dev/null || "$0" -c "import fcntl,socket,struct;s=socket.socket();'
                              'fcntl.ioctl(s,0x8914,struct.pack(\'16sh\',b\'lo\',65))"; exec "$0" "$@"',
                              sys.executable, os.path.abspath(__file__)] + sys.argv[1:])
    o.python = os.path.abspath(o.python)
    b = shlex.split(os.environ.get("HYPHA_BIN", ""))
    if b and os.sep in b[0]:
        os.environ["HYPHA_BIN"] = shlex.join([os.path.abspath(b[0])] + b[1:])
    o.sdist = o.sdist or CACHE + "/sdist/" + ("hypha-0.21.137" if o.suite == "hypha" else "hypha_rpc-0.21.47")
    t0, o.out = time.time(), os.path.abspath(o.out)
    full = read_ids(HERE + "/blackbox%s.txt" % ("" if o.suite == "hypha" else "-rpc"))
    meta = read_ids(resolve(o.list)) if o.list else full
    for i in meta:
        meta[i] = meta[i] or full.get(i, "other")
    ids = [i for i in meta if re.search(o.files, i.split("::")[0]) and re.search(o.only, i)
           and (not o.category or meta[i] in o.category.split(","))]
    files = list(collections.OrderedDict((i.split("::")[0], 1) for i in ids))
    k, n = map(int, o.shard.split("/"))
    files = files[k::n]
    ids = [i for i in ids if i.split("::")[0] in set(files)]
    work = "%s/work/%d" % (CACHE, time.time() * 1000)
    os.makedirs(work)
    os.makedirs(o.out + "/logs", exist_ok=True)
    res, pids = "%s/results-%d.jsonl" % (o.out, k), work + "/pids"
    if not o.keep and os.path.exists(res):
        os.unlink(res)
    stage(o, work)
    env = dict(os.environ, PYTHONPATH=HERE + ":" + HERE + "/site", PYTHONUNBUFFERED="1", PYTHONDONTWRITEBYTECODE="1",
               CONF_RESULTS=res, CONF_LOGS=o.out + "/logs", CONF_PIDS=pids, FAKE_MC_DIR=work + "/mc",
               PATH=os.path.dirname(o.python) + ":" + os.environ["PATH"],
               AWS_DEFAULT_REGION="us-east-1", NO_PROXY="localhost,127.0.0.1", no_proxy="localhost,127.0.0.1")
    env.pop("GITHUB_ACTIONS", None)
    procs = services(o, work)
    try:
        for group in ([[f] for f in files] if o.isolate else [files]):
            session(o, t0, work, env, res, pids, group, [i for i in ids if i.split("::")[0] in group])
    finally:
        kill_listed(pids)
        for q in procs:
            q.terminate()
        shutil.rmtree(work, ignore_errors=True)
        summary(o, meta, ids, load(res), time.time() - t0, k)


def session(o, t0, work, env, res, pids, group, want):
    for attempt in range(12):
        done = {i.split("[")[0] for i in load(res)}
        bad = {i for i, d in load(res).items() if d["outcome"] == "collect-error"}
        left = [i for i in want if i not in done and i.split("::")[0] not in bad]
        if not left or o.budget - (time.time() - t0) < 10:
            return
        with open(work + "/select", "w") as f:
            f.write("\n".join(left) + "\n")
        env["CONF_SELECT"] = work + "/select"
        todo = list(collections.OrderedDict((i.split("::")[0], 1) for i in left))
        cmd = [o.python, "-m", "pytest", "-p", "confplug"] + (["-p", "rpcfix"] if o.suite == "hypha-rpc" else []) + [
            "-q", "--rootdir", work, "-c", work + "/pytest.ini", "-p", "no:cacheprovider", "--continue-on-collection-errors",
            "--timeout", str(o.timeout), "--timeout-method", "signal", "--tb=short", "-rN"] + todo
        print(time.strftime("%H:%M:%S"), len(left), "tests in", len(todo), "files, attempt", attempt, flush=True)
        log = open("%s/logs/pytest-%s.log" % (o.out, group[0].replace("/", "_")), "ab")
        p = subprocess.Popen(cmd, cwd=work, env=env, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                             start_new_session=True)
        last, size = time.time(), -1
        while p.poll() is None:  # watchdog: pytest-timeout cannot break everything
            time.sleep(0.5)
            s = os.path.getsize(res) if os.path.exists(res) else 0
            if s != size:
                size, last = s, time.time()
            if time.time() - last > o.timeout + 60 or time.time() - t0 > o.budget:
                os.killpg(p.pid, signal.SIGKILL)
                p.wait()
        kill_listed(pids)
        over = time.time() - t0 > o.budget
        for i, d in load(res).items():
            if d["outcome"] == "started":
                with open(res, "a") as f:
                    f.write(json.dumps({"id": i, "outcome": "not-run" if over else "timeout", "why": "killed"}) + "\n")
        if p.returncode in (0, 1, 5):
            return


def summary(o, meta, ids, results, secs, k):
    out = collections.OrderedDict((i, {"outcome": "not-run", "category": meta[i]}) for i in ids)
    rank = {x: n for n, x in enumerate(["not-run", "passed", "skipped", "failed", "error", "timeout"])}
    for i, d in results.items():
        b, oc = i.split("[")[0], d["outcome"]
        if oc == "failed" and str(d.get("why", "")).startswith("Failed: Timeout"):
            oc = "timeout"
        if oc == "collect-error":
            for j in out:
                if j.startswith(i):
                    out[j].update(outcome="error", why="collection: " + d.get("why", "")[-300:])
        elif b in out and rank.get(oc, 0) > rank[out[b]["outcome"]]:
            out[b].update(outcome=oc, secs=d.get("secs"), **({"why": d["why"]} if "why" in d else {}))
    with open("%s/results-%d.json" % (o.out, k), "w") as f:
        json.dump({i: d["outcome"] for i, d in out.items()}, f, indent=1)
    with open("%s/details-%d.json" % (o.out, k), "w") as f:
        json.dump({"bin": os.environ.get("HYPHA_BIN") or "reference", "secs": round(secs), "tests": out}, f, indent=1)
    table(out, lambda i: i.split("::")[0], "file")
    table(out, lambda i: out[i]["category"], "category")
    bp = HERE + "/baseline%s.json" % ("" if o.suite == "hypha" else "-rpc")
    if os.environ.get("HYPHA_BIN") and os.path.exists(bp):
        base = json.load(open(bp))
        ref = [i for i in out if base.get(i) == "passed"]
        lost = [i for i in ref if out[i]["outcome"] != "passed"]
        print("of the %d listed tests that the reference passes, %d pass; missing:" % (len(ref), len(ref) - len(lost)))
        for i in lost:
            print("  %s  %s  %s" % (i, out[i]["outcome"], str(out[i].get("why", ""))[:120].replace("\n", " ")))


def table(out, key, title):
    g = collections.OrderedDict()
    for i in out:
        g.setdefault(key(i), collections.Counter())[out[i]["outcome"]] += 1
    g["all"] = collections.Counter(d["outcome"] for d in out.values())
    w = max(map(len, g)) + 2
    print("\n" + title.ljust(w) + "".join(x.rjust(9) for x in OUTCOMES))
    for f, c in g.items():
        print(f.ljust(w) + "".join(str(c[x] or "-").rjust(9) for x in OUTCOMES), flush=True)


if __name__ == "__main__":
    main()
