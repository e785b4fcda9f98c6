#!/bin/sh
# suites.sh - other people's test suites under slowlens: each test has the same
# result as without it.
#
#   sh tests/suites.sh PYTHON [NAME...]     PYTHON: with slowlens on its path;
#                                           NAME: see suites.py (none: all)
#
# Sources come from PyPI, and what the suites need goes into an environment of
# its own under SLOWLENS_CACHE. Each suite runs without a profile, by events and
# by samples: one line for each, and what differs in both of two runs.
set -u
here=$(cd "$(dirname "$0")" && pwd)
exec "$1" "$here/suites.py" "$@"
