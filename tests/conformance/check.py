"""Judges the results of a conformance run: what the reference passes must pass here, or be listed
in exceptions.txt with its reason. Prints what is missing, and exceptions that are not needed any more.

usage: check.py RESULTS.json [hypha|hypha-rpc]
"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent


def exceptions():
    listed = {}
    for line in (HERE / "exceptions.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            test, reason = line.split("\t", 1)
            listed[test] = reason
    return listed


def main():
    results = json.loads(Path(sys.argv[1]).read_text())
    suite = sys.argv[2] if len(sys.argv) > 2 else "hypha"
    baseline = json.loads((HERE / f"baseline{'' if suite == 'hypha' else '-rpc'}.json").read_text())
    excused = exceptions()
    wanted = [test for test in results if baseline.get(test) == "passed"]
    missing = [test for test in wanted if results[test] != "passed"]
    unexcused = [test for test in missing if test not in excused]
    print(f"{len(wanted) - len(missing)} of {len(wanted)} tests that the reference passes; "
          f"{len(missing) - len(unexcused)} exceptions")
    for test in unexcused:
        print(f"  missing: {results[test]:8} {test}")
    for test in excused:
        if results.get(test) == "passed":
            print(f"  no exception any more: {test}")
    return 1 if unexcused or not wanted else 0


if __name__ == "__main__":
    sys.exit(main())
