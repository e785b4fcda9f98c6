#!/bin/sh
# run.sh - the benchmark on every CPython that tests/run.sh has prepared.
#
#   sh tests/bench/run.sh [ROUNDS]        all of it
#   sh tests/bench/run.sh SUITE           one, with the newest CPython that tests/run.sh has built for
#
# Suites (what each measures is said in its file): bench (per call, per request in process), pages (per request in
# process, beside all peers), concurrency, instructions (per call, step, task, switch, job; callgrind), request (begin and
# finish, a step, a child task), layers, exports, accuracy, pieces, switches, viewer, store, insight, core, growth (with plots),
# load (gunicorn by threads and gevent, uvicorn by asyncio and uvloop; wrk's closed loop, and a fixed rate).
#
# Run `sh tests/run.sh` first: it makes the environments and the Debian root. What a suite needs beside them is
# installed. Prints tables and writes tests/bench/results/PYTHON.jsonl, one row a line: suite, python, workload,
# variant, median, spread, ratio_to_none, ratio_to_cprofile (the share of cProfile's added time);
# concurrency-PYTHON.jsonl (threads and tasks side by side); and with the newest interpreter SUITE-PYTHON.jsonl of the
# others (accuracy and pages with CPython 3.15, too, beside its own sampler).
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
cache=${SLOWLENS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/slowlens}
unset SLOWLENS_CACHE || true # no option of slowlens
sid=$cache/debian-sid
case ${1:-15} in
    *[!0-9]*) suite=$1 rounds=15 ;;
    *) suite='' rounds=${1:-15} ;;
esac
results=$root/tests/bench/results
mkdir -p "$results"
. "$root/tests/interpreters.sh"
data=$(mktemp -d)
trap 'rm -rf "$data"' EXIT

noop() { # PYTHON DIRECTORY
    suffix=$("$1" -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')
    include=$("$1" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
    gcc -O2 -shared -fPIC "-I$include" "$root/tests/bench/noop.c" -o "$2/noop$suffix"
}

needs() { # PYTHON SUITE: installs it
    case $2 in
        bench | concurrency) "$1" -m pip install -q yappi pyinstrument || true ;;
        pieces) "$1" -m pip install -q gevent eventlet || true ;;
        accuracy | exports) "$1" -m pip install -q yappi pyinstrument || true ;;
        viewer) "$1" -m pip install -q selenium || true ;;
        layers) "$1" -m pip install -q opentelemetry-sdk opentelemetry-instrumentation-django \
            opentelemetry-instrumentation-sqlite3 django-silk || true ;;
        pages)
            "$1" -m pip install -q yappi pyinstrument django-silk fastapi || true
            "$1" -m pip install -q opentelemetry-sdk opentelemetry-instrumentation-django \
                opentelemetry-instrumentation-sqlite3 opentelemetry-instrumentation-flask \
                opentelemetry-instrumentation-jinja2 opentelemetry-instrumentation-starlette \
                opentelemetry-instrumentation-fastapi opentelemetry-instrumentation-sqlalchemy || true
            "$1" -m pip install -q ddtrace || true # not built for each CPython
            ;;
        load)
            "$1" -m pip install -q pyinstrument django-silk gevent uvloop || true
            command -v wrk >/dev/null || apt-get install -y -qq wrk >/dev/null 2>&1 || true
            ;;
        instructions) command -v valgrind >/dev/null || apt-get install -y -qq valgrind >/dev/null 2>&1 || true ;;
    esac
}

if [ -n "$suite" ]; then
    interpreters | head -n 1 | while read -r version python; do
        venv=$cache/test-venv-$version build=$root/build/py$version/python
        [ -x "$venv/bin/python" ] && [ -d "$build" ] || {
            echo "run.sh: sh tests/run.sh makes the environment of $version first" >&2
            exit 1
        }
        needs "$venv/bin/python" "$suite"
        export BENCH_DATA="$data" PYTHONPATH="$build:$data"
        case $suite in
            bench)
                noop "$venv/bin/python" "$data"
                "$venv/bin/python" "$root/tests/bench/bench.py" --rounds "$rounds" --json "$results/$version.jsonl"
                ;;
            core)
                cmake -S "$root" -B "$data/c" -DSL_PYTHON=OFF -DSL_TESTS=ON -DCMAKE_BUILD_TYPE=Release >/dev/null
                cmake --build "$data/c" --target bench_core >/dev/null
                "$data/c/tests/bench_core" | tee "$results/core.jsonl"
                ;;
            *) "$venv/bin/python" "$root/tests/bench/$suite.py" --json "$results/$suite-$version.jsonl" ;;
        esac
    done
    exit
fi

interpreters | while read -r version python; do
    venv=$cache/test-venv-$version
    [ -x "$venv/bin/python" ] && [ -d "$root/build/py$version/python" ] || continue
    needs "$venv/bin/python" bench
    noop "$venv/bin/python" "$data"
    BENCH_DATA=$data PYTHONPATH=$root/build/py$version/python:$data "$venv/bin/python" \
        "$root/tests/bench/bench.py" --rounds "$rounds" --json "$results/$version.jsonl"
    BENCH_DATA=$data PYTHONPATH=$root/build/py$version/python "$venv/bin/python" \
        "$root/tests/bench/concurrency.py" --json "$results/concurrency-$version.jsonl"
done

interpreters | head -n 1 | while read -r version python; do
    venv=$cache/test-venv-$version
    [ -x "$venv/bin/python" ] && [ -d "$root/build/py$version/python" ] || continue
    for suite in exports accuracy pieces switches viewer store layers request growth pages instructions load; do
        needs "$venv/bin/python" "$suite"
        PYTHONPATH=$root/build/py$version/python "$venv/bin/python" "$root/tests/bench/$suite.py" \
            --json "$results/$suite-$version.jsonl" || true
    done
done

[ -e "$sid/complete" ] || exit 0
trap 'rm -rf "$data"; umount -l "$sid/proc" "$sid/sys" 2>/dev/null || true' EXIT
mountpoint -q "$sid/proc" || mount -t proc proc "$sid/proc"
# The kernel's word on the time stamp counter stands in /sys.
mountpoint -q "$sid/sys" || mount -t sysfs sysfs "$sid/sys" -o ro
cp -r "$root/tests/bench" "$sid/slowlens/tests/"
chroot "$sid" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    python3-yappi python3-pyinstrument >/dev/null 2>&1 || true
for minor in 13 14 15; do
    [ -d "$sid/slowlens/build/py3.$minor/python" ] || continue
    version=$(chroot "$sid" "python3.$minor" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')
    chroot "$sid" sh -c "
        cd /slowlens && mkdir -p /tmp/bench && suffix=\$(python3.$minor -c 'import sysconfig; print(sysconfig.get_config_var(\"EXT_SUFFIX\"))') &&
        gcc -O2 -shared -fPIC -I/usr/include/python3.$minor tests/bench/noop.c -o /tmp/bench/noop\$suffix &&
        BENCH_DATA=/tmp/bench PYTHONPATH=build/py3.$minor/python:/tmp/bench python3.$minor tests/bench/bench.py \
            --rounds $rounds --json /tmp/bench/out.jsonl" && cp "$sid/tmp/bench/out.jsonl" "$results/$version.jsonl"
    chroot "$sid" sh -c "cd /slowlens && BENCH_DATA=/tmp/bench PYTHONPATH=build/py3.$minor/python python3.$minor \
        tests/bench/concurrency.py --json /tmp/bench/out.jsonl" &&
        cp "$sid/tmp/bench/out.jsonl" "$results/concurrency-$version.jsonl"
    [ "$minor" = 15 ] || continue
    # Beside its own sampler, attached.
    chroot "$sid" sh -c "cd /slowlens && PYTHONPATH=build/py3.15/python python3.15 tests/bench/pages.py \
        --json /tmp/bench/out.jsonl" && cp "$sid/tmp/bench/out.jsonl" "$results/pages-$version.jsonl"
    chroot "$sid" sh -c "cd /slowlens && PYTHONPATH=build/py3.15/python python3.15 tests/bench/accuracy.py \
        --json /tmp/bench/out.jsonl" && cp "$sid/tmp/bench/out.jsonl" "$results/accuracy-$version.jsonl"
done
