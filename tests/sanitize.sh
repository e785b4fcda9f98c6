#!/bin/sh
# The extension under sanitizers, with CPython as it is.
#
#   sh tests/sanitize.sh PYTHON address [TEST...]   AddressSanitizer, undefined behaviour, assertions
#   sh tests/sanitize.sh PYTHON thread              ThreadSanitizer: tests/py/races.py
#
# PYTHON has what tests/run.sh installs. Without TEST: all of tests/py that asserts no durations (a sanitizer makes each
# of them longer), which takes ten minutes or so. What races are meant to be
# so stands in tests/sanitizers.supp.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
python=$1 kind=$2
shift 2
build=${SL_BUILD:-$root/build}/sanitize-$kind

configure() {
    cmake -S "$root" -B "$build" -G Ninja -DPython3_EXECUTABLE="$python" -DCMAKE_BUILD_TYPE=Debug "$@" >/dev/null
    cmake --build "$build" >/dev/null
}
library() { ${CC:-cc} -print-file-name="$1"; }

export PYTHONPATH="$build/python" PYTHONMALLOC=malloc
case $kind in
address)
    configure -DSL_SANITIZE=ON
    export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1
    export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
    [ $# -gt 0 ] || set -- "$root/tests/py" --ignore="$root/tests/py/test_stress.py" --ignore="$root/tests/py/test_servers.py" \
        --ignore="$root/tests/py/test_tasks.py" --ignore="$root/tests/py/test_loop.py"
    cd "$root"
    LD_PRELOAD="$(library libasan.so):$(library libubsan.so)" sh "$root/tests/steady.sh" "$python" \
        --deselect "tests/py/test_profile.py::test_what_recording_costs_is_taken_off" \
        --deselect "tests/py/test_memory.py::test_memory_of_a_burst_goes_back_to_the_system" "$@"
    ;;
thread)
    configure -DCMAKE_C_FLAGS="-fsanitize=thread -g -O1"
    TSAN_OPTIONS="suppressions=$root/tests/sanitizers.supp:halt_on_error=0:exitcode=66:history_size=7" \
        LD_PRELOAD="$(library libtsan.so)" "$python" "$root/tests/py/races.py"
    ;;
*)
    echo "address or thread, not $kind" >&2
    exit 2
    ;;
esac
