#!/bin/sh
# demo.sh - a Django book shop and a Flask app under the profiler, with traffic.
#
# Installs what is missing (Debian packages as root or with sudo; Python
# packages into a virtual environment of its own), builds slowlens, serves
# both apps on this machine, prints slow requests as they happen and, when
# profiles are there, the viewer's address. Goes on until interrupted.
#
# Why: three frameworks and both modes on one screen, with faults that one knows
# beforehand, so that one can judge whether the profiler finds them. Nothing is
# left behind outside of SLOWLENS_CACHE.
#
#   PORT=8000         the shop; the Flask app takes the port after it
#   SLOWLENS_CACHE    where the environment and the shop's data go
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
port=${PORT:-8000}
cache=${SLOWLENS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/slowlens}/demo
unset SLOWLENS_CACHE || true # no option of slowlens: the apps would refuse it
mkdir -p "$cache"
. "$root/tests/interpreters.sh"

say() { printf '%s\n' "demo: $*"; }

install_packages() {
    missing=
    for package in "$@"; do
        dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null || { say "please install:$missing"; exit 1; }
    sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
    say "installing$missing"
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    # shellcheck disable=SC2086
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

command -v dpkg >/dev/null && install_packages gcc libc6-dev libzstd-dev uthash-dev pkg-config ca-certificates
python=$(interpreters | head -n 1 | cut -d' ' -f2)
if [ -z "$python" ]; then
    install_packages python3 python3-dev python3-venv
    python=$(interpreters | head -n 1 | cut -d' ' -f2)
fi
[ -n "$python" ] || { say "no CPython 3.11 or newer with headers and venv was found"; exit 1; }

venv=$cache/venv-$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')
say "using $("$python" --version) in $venv"
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
say "building slowlens"
"$venv/bin/python" -m pip install -q --disable-pip-version-check django flask gunicorn starlette uvicorn "$root"

# All apps write into one store: all processes in one viewer. They are sampled,
# as in production; some of the traffic asks for exact counts.
SLOWLENS_MODE=${SLOWLENS_MODE:-sampling}
SLOWLENS_STORE=$cache/profiles
SHOP_DATA=$cache
export SLOWLENS_MODE SLOWLENS_STORE SHOP_DATA PYTHONUNBUFFERED=1
unset SLOWLENS_DISABLE || true
(cd "$here/shop" && "$venv/bin/python" manage.py fill_shop && "$venv/bin/python" manage.py check)

pids=
stop() {
    trap - INT TERM EXIT
    # shellcheck disable=SC2086
    [ -z "$pids" ] || kill $pids 2>/dev/null || true
    wait 2>/dev/null || true
    exit "${1:-0}"
}
trap 'stop 0' INT TERM
trap 'stop $?' EXIT

shop=http://127.0.0.1:$port
prices=http://127.0.0.1:$((port + 1))
feed=http://127.0.0.1:$((port + 2))
"$venv/bin/gunicorn" --chdir "$here/shop" -w 2 --threads 4 -b "127.0.0.1:$port" --log-level warning \
    shop.wsgi & pids="$pids $!"
FLASK_DEBUG=1 "$venv/bin/gunicorn" --chdir "$here/flask_prices" -w 2 --threads 2 \
    -b "127.0.0.1:$((port + 1))" --log-level warning app:app & pids="$pids $!"

"$venv/bin/uvicorn" --app-dir "$here/starlette_feed" --port $((port + 2)) --log-level warning app:app & pids="$pids $!"

ready() {
    "$venv/bin/python" - "$1" <<'PYTHON'
import json, sys, time, urllib.request
url, deadline = sys.argv[1], time.time() + 60
while time.time() < deadline:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            rows = json.load(response)["requests"]
        paths = {row["path"] for row in rows}
        if len(rows) >= 20 and "/report/" in paths and "/feed/" in paths and any(path.startswith("/similar/") for path in paths):
            sys.exit(0)
    except OSError:
        pass
    time.sleep(0.3)
sys.exit("demo: no profiles arrived within a minute")
PYTHON
}

sleep 1
"$venv/bin/python" "$here/traffic.py" "$shop" "$prices" "$feed" 6 0.2 & traffic=$!
ready "$shop/__slowlens__/api/requests?limit=200"
wait "$traffic" || true
say "shop: $shop/   prices: $prices/   feed: $feed/feed/"
echo "viewer: $shop/__slowlens__/"
"$venv/bin/python" "$here/traffic.py" "$shop" "$prices" "$feed" 1000000 20 & pids="$pids $!"
wait
