# What the scripts share; to be sourced. Sets ROOT and moves there.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"

# The build folder survives between runs and clones: a cold build takes minutes.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/rhizome/target}
# The tests' Python environment.
export RHIZOME_VENV=${RHIZOME_VENV:-$ROOT/.venv}

say() { printf '\033[1m== %s\033[0m\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

need() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || die "$program is missing; Rhizome needs Rust, Python 3.11 and Node 20"
    done
}

# The Python environment, made when there is none.
environment() {
    local python=python3.11
    command -v "$python" >/dev/null || python=python3
    [ -x "$RHIZOME_VENV/bin/python" ] || "$python" -m venv "$RHIZOME_VENV"
}

# wait_ready URL PID SECONDS: until the server answers; fails if it ends or takes too long.
wait_ready() {
    local url=$1 pid=$2 end=$((SECONDS + $3))
    until curl -sf -o /dev/null --max-time 2 "$url/health/readiness"; do
        kill -0 "$pid" 2>/dev/null || return 1
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.05
    done
}

# child COMMAND…: runs it in a process group of its own. If this script is told to end meanwhile, the
# group is told first, by its id, and waited for, so that nothing it started is left behind.
CHILD=
child() {
    local status=0
    trap end_child INT TERM
    set -m
    "$@" </dev/null &
    CHILD=$!
    set +m
    wait "$CHILD" || status=$?
    CHILD=
    trap - INT TERM
    return "$status"
}

end_child() {
    trap '' INT TERM
    if [ -n "$CHILD" ]; then
        kill -TERM -- "-$CHILD" 2>/dev/null || true
        wait "$CHILD" || true
    fi
    exit 130
}
