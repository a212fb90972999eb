"""A random run of operations under faults; afterwards the server holds what was acknowledged, no more.

Here for three quarters of a minute with a fixed seed; `scripts/soak` runs it for longer, with any seed.
"""

import os
import subprocess
import sys
import time

import pytest

from faults import Run
from fault_verdict import Verdict
from harness import ROOT, binary

MINUTES = float(os.environ.get("RHIZOME_SOAK_MINUTES", "0"))
SEED = int(os.environ.get("RHIZOME_SOAK_SEED", "7"))
SECONDS = MINUTES * 60 or 24

STARTUP = """
async def hypha_startup(server):
    await server.register_service({
        "id": "startup-echo", "config": {"visibility": "public", "require_context": False},
        "test": lambda x: x + 99})
"""


def knows_startup_functions():
    shown = subprocess.run([*binary(), "serve", "--help"], capture_output=True, text=True).stdout
    return "--startup-functions" in shown


@pytest.mark.ours
@pytest.mark.timeout(SECONDS * 2 + 240)
async def test_faults_lose_and_leave_nothing(crashable, tmp_path, capsys):
    arguments = ["--enable-server-apps"]
    startup = knows_startup_functions()
    if startup:
        (tmp_path / "echo.py").write_text(STARTUP)
        arguments += ["--startup-functions", f"{tmp_path / 'echo.py'}:hypha_startup"]
    server = crashable(args=arguments, env={"RHIZOME_PYTHON": sys.executable, "RHIZOME_ASSETS_DIR": str(ROOT / "runtimes")})
    server.start()
    own, pages, lanes = (12, 4, 5) if MINUTES else (5, 2, 3)
    run = Run(server, SEED, own, pages, startup)
    verdict, began = Verdict(run), time.monotonic()
    try:
        await run.begin()
        await verdict.begin()
        pause = (0.5, 6) if MINUTES else (0.5, 2)
        await run.play(SECONDS, lanes, pause, server_kills=max(2, int(MINUTES)))
        played = time.monotonic() - began
        await verdict.finish()
    except BaseException:
        with capsys.disabled():
            print(f"\n{run.story()}")
        raise
    finally:
        await run.close()
    with capsys.disabled():
        print(f"\nseed {SEED}: {sum(run.outcomes.values())} operations ({run.outcomes.total()} asked, "
              f"{sum(n for what, n in run.outcomes.items() if what.endswith('yes'))} done) under "
              f"{run.faults.total()} faults {dict(run.faults)} in {played:.0f} s; judged in "
              f"{time.monotonic() - began - played:.0f} s")
