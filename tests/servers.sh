#!/bin/sh
# servers.sh - every server and task runner: are all profiles stored, does the
# process end as it would without us?
#
#   sh tests/servers.sh PYTHON [NAME...]     PYTHON: with slowlens and the
#                                            servers installed; a server that
#                                            is not there is said, not passed
#
# Each set-up serves 40 requests, eight at a time, and is ended by SIGTERM.
# One line each: answered, stored, counted (in the numbers of all requests), exit status, seconds from SIGTERM to the end.
set -u
here=$(cd "$(dirname "$0")" && pwd)
exec "$1" "$here/servers.py" "$@"
