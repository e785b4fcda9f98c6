#!/bin/sh
# The extension under sanitizers, with CPython as it is.
#
#   sh tests/sanitize.sh PYTHON address [TEST...]   AddressSanitizer, undefined behaviour, assertions: pytest
#   sh tests/sanitize.sh PYTHON thread              ThreadSanitizer: tests/py/races.py
#   sh tests/sanitize.sh PYTHON all [KIND...]       each kind (address, thread): all of tests/py, then ten minutes of
#                                                   tests/py/stress.py (SECONDS_OF_STRESS: as many); takes hours
#
# PYTHON has what tests/run.sh installs. Without TEST: all of tests/py that asserts no durations (a sanitizer makes each
# of them longer), which takes ten minutes or so. What races are meant to be so stands in tests/sanitizers.supp.
#
# `all` counts reports, of the tests' own processes and of all that they start; one report, a crash or a file that does
# not end is a failure. Tests that fail are named: they assert durations or time-outs, or are to be mended.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
python=$1 kind=$2
shift 2

configure() { # KIND
    build=${SL_BUILD:-$root/build}/sanitize-$1
    case $1 in
    address) set -- -DSL_SANITIZE=ON ;;
    thread) set -- "-DCMAKE_C_FLAGS=-fsanitize=thread -g -O1" ;;
    *)
        echo "address or thread, not $1" >&2
        exit 2
        ;;
    esac
    mkdir -p "$build"
    { cmake -S "$root" -B "$build" -G Ninja -DPython3_EXECUTABLE="$python" -DSL_LTO=OFF -DCMAKE_BUILD_TYPE=Debug "$@" &&
        cmake --build "$build"; } >"$build.log" 2>&1 || { tail -n 30 "$build.log" && exit 2; }
    export PYTHONPATH="$build/python" PYTHONMALLOC=malloc
}
library() { ${CC:-cc} -print-file-name="$1"; }

# under KIND OPTIONS COMMAND...: OPTIONS are more of the sanitizer's own.
under() {
    kind=$1 more=$2
    shift 2
    case $kind in
    address)
        # greenlet copies stacks, guarded places and all; with this option what we keep on ours lies elsewhere.
        env ASAN_OPTIONS="detect_leaks=0:abort_on_error=1:detect_stack_use_after_return=1$more" UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1$more" \
            LD_PRELOAD="$(library libasan.so):$(library libubsan.so)" "$@"
        ;;
    thread)
        env TSAN_OPTIONS="suppressions=$root/tests/sanitizers.supp:halt_on_error=0:exitcode=66:history_size=7:die_after_fork=0:report_thread_leaks=0:handle_segv=0$more" \
            LD_PRELOAD="$(library libtsan.so)" "$@"
        ;;
    esac
}

# everything KIND: a line for each file of tests that does not just pass, the failed ones' names, the reports.
everything() {
    kind=$1
    configure "$kind"
    reports=$build/reports
    rm -rf "$reports" && mkdir -p "$reports"
    export SANITIZE_REPORTS="$reports" PYTHONPATH="$PYTHONPATH:$root/tests/sanitize"
    log=:log_path=$reports/report:exitcode=0 # a report is not a failed child as well: each is counted once
    bad=0 files=0 passed=0 failed=0
    for file in "$root"/tests/py/test_*.py; do
        name=$(basename "$file" .py)
        said=$reports/$name.said
        code=0
        under "$kind" "$log" timeout -k 10 1800 "$python" -m pytest -q -rf -p no:cacheprovider "$file" \
            >"$said" 2>&1 || code=$?
        files=$((files + 1))
        count=$(sed -n 's/.*\b\([0-9][0-9]*\) passed.*/\1/p' "$said" | tail -n 1)
        passed=$((passed + ${count:-0}))
        count=$(sed -n 's/.*\b\([0-9][0-9]*\) failed.*/\1/p' "$said" | tail -n 1)
        failed=$((failed + ${count:-0}))
        sed -n 's/^FAILED \([^ ]*\).*/   failed: \1/p' "$said"
        case $code in 0 | 1 | 66) ;; *) bad=1 && echo "   $name ended with $code" ;; esac
    done
    # AddressSanitizer's allocator may be another thread's when one forks (see stress.py).
    [ "$kind" = thread ] && how= || how=gently
    code=0
    # shellcheck disable=SC2086
    under "$kind" "$log" timeout -k 10 $((${SECONDS_OF_STRESS:-600} + 900)) "$python" -W ignore \
        "$root/tests/py/stress.py" "${SECONDS_OF_STRESS:-600}" both $how >"$reports/stress.said" 2>&1 || code=$?
    [ "$code" = 0 ] || { bad=1 && echo "   the stress test ended with $code" && tail -n 5 "$reports/stress.said"; }
    tail -n 1 "$reports/stress.said"
    told=0 apart=0
    for report in "$reports"/report.*; do
        [ -s "$report" ] || continue
        if [ "$kind" = thread ] && [ -e "$reports/forked.${report##*.}" ]; then apart=$((apart + 1)); else told=$((told + 1)); fi
    done
    [ "$apart" = 0 ] || echo "   $apart children of threaded processes that forked have reports: see tests/sanitize/sitecustomize.py"
    echo "$kind: $files files, $passed tests passed, $failed failed; processes with a report: $told ($reports)"
    [ "$told" = 0 ] && [ "$bad" = 0 ]
}

case $kind in
address)
    configure address
    [ $# -gt 0 ] || set -- "$root/tests/py" --ignore="$root/tests/py/test_stress.py" --ignore="$root/tests/py/test_servers.py" \
        --ignore="$root/tests/py/test_tasks.py" --ignore="$root/tests/py/test_loop.py"
    cd "$root"
    under address "" sh "$root/tests/steady.sh" "$python" \
        --deselect "tests/py/test_profile.py::test_what_recording_costs_is_taken_off" \
        --deselect "tests/py/test_memory.py::test_memory_of_a_burst_goes_back_to_the_system" "$@"
    ;;
thread)
    configure thread
    under thread "" "$python" "$root/tests/py/races.py"
    ;;
all)
    [ $# -gt 0 ] || set -- address thread
    status=0
    for one; do
        everything "$one" || status=1
    done
    exit $status
    ;;
*)
    echo "address, thread or all, not $kind" >&2
    exit 2
    ;;
esac
