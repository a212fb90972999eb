"""Measures Rhizome beside the reference and the bare relay, and writes the table of docs/benchmarks.md.

Started by scripts/bench, which builds what is needed. Each cell is measured on all servers in turn
before the next repetition, so that what else the machine does hits all of them alike.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

import report
from servers import Ceiling, Reference, Rhizome

RELAY = [(size, pairs, 1) for size in (100, 10_000, 1_000_000) for pairs in (1, 16, 64)]
RELAY.insert(1, (100, 1, 32))
REST = 3.0  # seconds after which memory counts as memory at rest


def options(about, *counts):
    """The options of a benchmark; `counts` are its own, as (name, default)."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--rhizome", required=True, help="release binary")
    parser.add_argument("--hyphaload", required=True, help="release binary")
    parser.add_argument("--reference", help="Python with the reference installed; without it: left out")
    parser.add_argument("--client", required=True, help="Python with hypha-rpc, for the cold start")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--duration", type=float, default=2.0, help="seconds per cell")
    for name, default in counts:
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("--out", required=True, help="the document with the table")
    parser.add_argument("--raw", required=True, help="where every single result goes, as JSON")
    return parser.parse_args()


def log(*words):
    print(time.strftime("%H:%M:%S"), *words, file=sys.stderr, flush=True)


class Load:
    """Runs hyphaload against a server and keeps what it found."""

    def __init__(self, hyphaload):
        self.hyphaload, self.results = hyphaload, []

    def run(self, cell, server, *arguments):
        command = [self.hyphaload, "--url", server.url, "--pid", str(server.process.pid), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        try:
            result = json.loads(done.stdout.splitlines()[-1])
        except (IndexError, ValueError):
            result = {"error": (done.stderr or done.stdout)[-300:]}
        trouble = result.get("error") or result.get("first_failure")
        log(f"{server.name:10} {cell}", f"!! {trouble}" if trouble else "")
        self.results.append({"cell": cell, "target": server.name, **result})
        return result


def relays(load, servers, o):
    for size, pairs, in_flight in RELAY:
        for server in servers:
            load.run(f"relay {size} {pairs}x{in_flight}", server, "relay", "--size", size, "--pairs", pairs,
                     "--in-flight", in_flight, "--duration", o.duration)


def calls(load, servers, o):
    for in_flight in (1, 32):
        for server in servers:
            load.run(f"echo {in_flight}", server, "manager", "--in-flight", in_flight, "--duration", o.duration)
    for server in servers:
        load.run("services 100", server, "services", "--services", 100, "--gets", 500, "--lists", 50, "--limit", 10)
    for server in servers:
        load.run("liveness", server, "http-get", "--path", "/health/liveness", "--duration", o.duration)


def idle(load, kinds, o):
    """On a fresh server each: memory per connection means nothing on one that was under load."""
    for name, extra in (("bare", []), ("registered", ["--register"])):
        for kind in kinds:
            with kind() as server:
                time.sleep(REST)
                load.run(f"idle {name}", server, "idle", "--connections", o.connections, "--hold", 10,
                         "--limit", 60, *extra)


def boots(kinds):
    """Seconds to readiness and memory at rest, on empty storage."""
    rows = []
    for kind in kinds:
        with kind() as server:
            time.sleep(REST)
            rows.append({"server": server.name, "ready_s": server.ready_after, "rss_kib": server.rss_kib()})
    return rows


def cold_start(client, repetitions):
    with Rhizome() as server:
        command = [client, str(report.HERE / "coldstart.py"), server.url, server.root_token,
                   str(max(3, repetitions))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        log("cold start failed:", done.stderr[-1500:])
        return None


def main():
    o = options(__doc__, ("--connections", 1000))
    Rhizome.binary, Reference.python, Ceiling.hyphaload = o.rhizome, o.reference, o.hyphaload
    kinds = [Rhizome, Reference] if o.reference else [Rhizome]
    load, began, boot_rows = Load(o.hyphaload), time.time(), []
    for repetition in range(o.repetitions):
        log(f"repetition {repetition + 1} of {o.repetitions}")
        boot_rows += boots(kinds)
        running = [kind() for kind in [*kinds, Ceiling]]
        try:
            for server in running:
                server.start()
            relays(load, running, o)
            calls(load, running[:len(kinds)], o)
        finally:
            for server in running:
                server.stop()
    idle(load, kinds, o)
    results = {
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(began)), "took_s": round(time.time() - began),
        "repetitions": o.repetitions, "duration": o.duration, "connections": o.connections,
        "load": load.results, "boots": boot_rows, "cold_start": cold_start(o.client, o.repetitions),
        "versions": report.versions(o.rhizome, o.reference),
    }
    with open(o.raw, "w") as file:
        json.dump(results, file, indent=1)
    report.write(report.render(results), o.out)
    median = statistics.median(r["ready_s"] for r in boot_rows if r["server"] == "Rhizome")
    log(f"done in {results['took_s']} s; Rhizome was ready in {median * 1e3:.0f} ms; table in {o.out}")


if __name__ == "__main__":
    main()
