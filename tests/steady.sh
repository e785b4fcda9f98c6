#!/bin/sh
# Runs pytest; a test that fails is run once more, alone.
#
#   sh tests/steady.sh PYTHON ARGUMENT...
#
# On a machine shared with others a request can starve for a second, and the two
# hundredth test of time with it. What passes the second time is named ("unsteady",
# tests/run.sh repeats it at its end) and is to be mended, but does not hide what
# all others said. What fails twice, or crashes once, has failed.
set -u
python=$1
shift
state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT
# A test that hangs says where: after five minutes all threads' stacks are printed.
"$python" -m pytest -q -rf -o cache_dir="$state" -o faulthandler_timeout=300 "$@"
status=$?
[ "$status" = 1 ] || exit "$status"
cp "$state/v/cache/lastfailed" "$state/first" || exit 1
echo "-- what failed, once more"
"$python" -m pytest -q -rf -o cache_dir="$state" -o faulthandler_timeout=300 --last-failed --last-failed-no-failures none "$@" || exit 1
sed -n 's/^ *"\(.*\)": true,*$/-- unsteady: \1/p' "$state/first"
