#!/bin/sh
# run.sh - runs the fuzz targets, one after the other, each in its turn.
#
#   sh tests/fuzz/run.sh SECONDS [TARGET...]     (none: all)
#
# frames and codes are a target for each CPython whose headers are to be had:
# frames_3.13 is one, frames all of them.
#
# Builds with clang and the sanitizers in build/fuzz. Each target gets SECONDS
# in all; finds and grown corpora stay in build/fuzz/found/TARGET, executions
# are told at the end. Exits 1 when a target found something.
set -u

root=$(cd "$(dirname "$0")/../.." && pwd)
build=${SLOWLENS_FUZZ_BUILD:-$root/build/fuzz}
seconds=${1:?seconds for each target}
shift
[ $# -gt 0 ] || set -- blob report export merge numbers rows sql frames codes
corpus_of() { # report and export read what blob reads
    case $1 in report | export) echo blob ;; *) echo "${1%_3.*}" ;; esac
}

mkdir -p "$build"
cmake -S "$root" -B "$build" -G Ninja -DCMAKE_C_COMPILER=clang -DSL_PYTHON=OFF -DSL_FUZZ=ON -DSL_SANITIZE=ON \
    -DCMAKE_BUILD_TYPE=RelWithDebInfo "-DSL_PYTHON_HEADERS=$(sh "$root/tests/fuzz/headers.sh" "$build/headers")" >"$build.log" 2>&1 && cmake --build "$build" >>"$build.log" 2>&1 ||
    { tail -n 30 "$build.log"; exit 2; }
bad=0
targets=
for name; do
    case $name in
    frames | codes) targets="$targets $(cd "$build/tests" && ls -d "fuzz_$name"_3.* 2>/dev/null | sed 's/^fuzz_//')" ;;
    *) targets="$targets $name" ;;
    esac
done
for target in $targets; do
    found=$build/found/$target
    mkdir -p "$found"
    nice -n 19 "$build/tests/fuzz_$target" -max_total_time="$seconds" -max_len=8192 -timeout=25 -rss_limit_mb=2048 \
        -print_final_stats=1 -verbosity=0 -artifact_prefix="$found/" "$found" \
        "$root/tests/fuzz/corpus/$(corpus_of "$target")" >"$found.log" 2>&1 || bad=1
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$found.log")
    echo "$target: ${executions:-no} executions in $seconds s"
    grep -m 1 -E "ERROR|SUMMARY" "$found.log"
done
exit $bad
