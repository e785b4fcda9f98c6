#!/bin/sh
# run.sh - every test, on a fresh Debian machine: installs what is missing.
#
#   sh tests/run.sh            C tests (plain, sanitizers, fuzz corpus), lint,
#                              Python tests on every CPython to be had, wheel,
#                              viewer (node, Chromium), exports judged by
#                              the tools they are for (pprof, speedscope...)
#   sh tests/run.sh --quick    C tests and one interpreter
#
#   SLOWLENS_TEST_ANY=1        do not fail when one of the three newest
#                              CPythons (3.13, 3.14, 3.15) could not be had
#   SLOWLENS_TEST_LAYERS=all   the tests of libraries (tests/layers) on each
#                              CPython of this machine, not the newest alone
#   SLOWLENS_CACHE             where environments and the Debian root are kept
#
# What Debian stable lacks comes from Debian sid in a root of its own, made by
# debootstrap and used by chroot; that part needs root.
set -u

root=$(cd "$(dirname "$0")/.." && pwd)
cache=${SLOWLENS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/slowlens}
build=$root/build
sid=$cache/debian-sid
quick=
[ "${1:-}" != --quick ] || quick=1
any=${SLOWLENS_TEST_ANY:-}
every_layer=${SLOWLENS_TEST_LAYERS:-}
for name in $(env | sed -n 's/^\(SLOWLENS_[A-Z_]*\)=.*/\1/p'); do unset "$name"; done
. "$root/tests/interpreters.sh"
mkdir -p "$cache" "$build"
export PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1

passed=0
failed=0
ran=
started=$(date +%s)
logs=$build/logs
rm -rf "$logs" && mkdir -p "$logs"
: >"$logs/beside"

say() { printf '\n== %s (%ss)\n' "$*" $(($(date +%s) - started)); }

log_of() { echo "$logs/$(printf %s "$1" | tr -c 'A-Za-z0-9.\n' -).log"; }

# check NAME COMMAND...: runs it, counts it, goes on. What it printed is kept:
# of what failed the end is shown once more at the very end, where it is read.
check() {
    name=$1
    shift
    log=$(log_of "$name")
    { "$@" 2>&1 && echo 0 >"$log.status" || echo 1 >"$log.status"; } | tee "$log"
    count "$name"
}

count() { # NAME of what has ended
    if [ "$(cat "$(log_of "$1").status")" = 0 ]; then
        passed=$((passed + 1))
        echo "-- ok: $1"
    else
        failed=$((failed + 1))
        echo "-- FAILED: $1"
        echo "$1" >>"$logs/failed"
    fi
}

# beside NAME COMMAND...: as check, two at a time (tests wait more than they
# compute); what one prints comes when it has ended. `settle` waits for all.
beside() {
    reap 1
    name=$1
    shift
    log=$(log_of "$name")
    { "$@" >"$log" 2>&1 && echo 0 >"$log.status" || echo 1 >"$log.status"; } &
    echo "$name" >>"$logs/beside"
}

settle() { reap 0; }

reap() { # COUNT that may still run when this returns
    while :; do
        running=0
        : >"$logs/beside.left"
        while read -r one; do
            if [ -s "$(log_of "$one").status" ]; then
                cat "$(log_of "$one")"
                count "$one"
            else
                running=$((running + 1))
                echo "$one" >>"$logs/beside.left"
            fi
        done <"$logs/beside"
        mv "$logs/beside.left" "$logs/beside"
        [ "$running" -gt "$1" ] || return 0
        sleep 1
    done
}

install() {
    missing=
    for package in "$@"; do
        dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    echo "installing:$missing"
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    # shellcheck disable=SC2086
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# ---- C ----

c_tests() { # DIRECTORY CMAKE_OPTIONS...
    directory=$1
    shift
    cmake -S "$root" -B "$directory" -G Ninja -DSL_PYTHON=OFF -DSL_TESTS=ON -DSL_EXAMPLES=ON -DSL_WERROR=ON \
        "-DSL_PYTHON_HEADERS=$(SLOWLENS_CACHE=$cache sh "$root/tests/fuzz/headers.sh" "$directory-headers")" \
        "$@" >"$directory.log" 2>&1 && cmake --build "$directory" >>"$directory.log" 2>&1 || {
        tail -n 40 "$directory.log"
        return 1
    }
    ctest --test-dir "$directory" --output-on-failure
}

missing_package_is_named() {
    # A machine without zstd, uthash or check: configuring says what to install.
    for pair in "libzstd-dev -DCMAKE_DISABLE_FIND_PACKAGE_zstd=ON -DCMAKE_DISABLE_FIND_PACKAGE_PkgConfig=ON" \
        "uthash-dev -DUTHASH_INCLUDE_DIR=UTHASH_INCLUDE_DIR-NOTFOUND -DCMAKE_FIND_ROOT_PATH=/nonexistent -DCMAKE_FIND_ROOT_PATH_MODE_INCLUDE=ONLY" \
        "check -DSL_TESTS=ON -DCMAKE_DISABLE_FIND_PACKAGE_PkgConfig=ON"; do
        package=${pair%% *}
        # shellcheck disable=SC2086
        rm -rf "$build/missing" && ! cmake -S "$root" -B "$build/missing" -DSL_PYTHON=OFF ${pair#* } \
            >"$build/missing.log" 2>&1 && tr -s ' \n' ' ' <"$build/missing.log" | grep -q "apt install $package" || {
            echo "no clear word about $package:"
            cat "$build/missing.log"
            return 1
        }
    done
}

# ---- Python ----

PACKAGES="pytest django flask starlette uvicorn gunicorn httpx greenlet uvloop sqlalchemy aiosqlite gevent eventlet trio"

venv_with() { # NAME PYTHON PACKAGES -> prints the environment's python; made anew where it was not made with these
    venv=$cache/$1
    if [ "$(cat "$venv/complete" 2>/dev/null)" != "$3" ]; then
        rm -rf "$venv"
        "$2" -m venv "$venv" || return 1
        # shellcheck disable=SC2086
        "$venv/bin/python" -m pip install -q $3 >&2 || return 1
        echo "$3" >"$venv/complete"
    fi
    echo "$venv/bin/python"
}

environment() { # VERSION PYTHON -> prints the environment's python
    venv_with "test-venv-$1" "$2" "$PACKAGES"
}

build_extension() { # DIRECTORY PYTHON
    cmake -S "$root" -B "$1" -G Ninja -DPython3_EXECUTABLE="$2" -DSL_WERROR=ON >"$1.log" 2>&1 &&
        cmake --build "$1" >>"$1.log" 2>&1 || {
        tail -n 40 "$1.log"
        return 1
    }
}

python_tests() { # VERSION PYTHON
    python=$(environment "$1" "$2") || return 1
    build_extension "$build/py$1" "$python" || return 1
    PYTHONPATH=$build/py$1/python sh "$root/tests/steady.sh" "$python" "$root/tests/py"
}

# ---- CPythons that only Debian sid has ----

SID_PACKAGES="ca-certificates git gcc libc6-dev cmake ninja-build pkg-config libzstd-dev uthash-dev zstd
python3-pytest python3-django python3-flask python3-starlette python3-uvicorn python3-gunicorn gunicorn
python3-httpx python3-asgiref python3-greenlet python3-uvloop python3-sqlalchemy python3-aiosqlite
python3-gevent python3-eventlet"

# The root's /proc, /sys and /dev/shm are there only while tests run.
sid_unmount() { umount -l "$sid/proc" "$sid/sys" "$sid/dev/shm" 2>/dev/null || true; }
trap sid_unmount EXIT

sid_root() {
    [ "$(id -u)" = 0 ] || { echo "not root: no chroot for newer CPythons"; return 1; }
    install debootstrap || return 1
    if [ "$(cat "$sid/complete" 2>/dev/null)" != "$SID_PACKAGES" ]; then
        sid_unmount
        rm -rf --one-file-system "$sid"
        mirror=$(sed -n 's/^URIs: *//p; s/^deb  *\(\[[^]]*\] *\)*\(http[^ ]*\).*/\2/p' /etc/apt/sources.list \
            /etc/apt/sources.list.d/* 2>/dev/null | grep -v security | head -n 1)
        debootstrap --variant=minbase sid "$sid" "${mirror:-http://deb.debian.org/debian}" >"$cache/debootstrap.log" 2>&1 ||
            { tail -n 5 "$cache/debootstrap.log"; return 1; }
        cp /etc/resolv.conf "$sid/etc/resolv.conf" 2>/dev/null
        cp -r /etc/apt/apt.conf.d/. "$sid/etc/apt/apt.conf.d/" 2>/dev/null
        pythons=
        for minor in 13 14 15; do
            chroot "$sid" apt-cache show "python3.$minor-dev" >/dev/null 2>&1 &&
                pythons="$pythons python3.$minor python3.$minor-dev libpython3.$minor-testsuite"
        done
        # shellcheck disable=SC2086
        chroot "$sid" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            $(echo $SID_PACKAGES) $pythons >"$cache/sid-install.log" 2>&1 || { tail -n 5 "$cache/sid-install.log"; return 1; }
        echo "$SID_PACKAGES" >"$sid/complete"
    fi
    mkdir -p "$sid/proc" "$sid/sys" "$sid/slowlens"
    mountpoint -q "$sid/proc" || mount -t proc proc "$sid/proc" || return 1
    mountpoint -q "$sid/sys" || mount -t sysfs sysfs "$sid/sys" -o ro || true
    # As any machine has it: boards are memory on a tmpfs.
    mountpoint -q "$sid/dev/shm" || mount -t tmpfs -o mode=1777 tmpfs "$sid/dev/shm" || return 1
    # The root has a copy of the tree, never the tree itself.
    find "$sid/slowlens" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
    (cd "$root" && tar --exclude=./build --exclude=./.git -cf - .) | tar -xf - -C "$sid/slowlens"
}

sid_tests() { # VERSION
    chroot "$sid" env PYTHONDONTWRITEBYTECODE=1 sh -c "
        cd /slowlens && mkdir -p build &&
        { cmake -B build/py$1 -G Ninja -DPython3_EXECUTABLE=/usr/bin/python$1 >build/py$1.log 2>&1 &&
          cmake --build build/py$1 >>build/py$1.log 2>&1; } || { tail -n 40 build/py$1.log; exit 1; }
        PYTHONPATH=/slowlens/build/py$1/python sh tests/steady.sh python$1 tests/py"
}

# ---- package, lint, viewer ----

wheel() { # PYTHON
    venv=$cache/wheel-venv
    # By way of the source archive, as whoever has no wheel for his interpreter.
    rm -rf "$venv" "$build/sdist" && "$1" -m venv "$venv" && "$venv/bin/python" -m pip install -q build &&
        "$venv/bin/python" -m build -q --sdist -o "$build/sdist" "$root" &&
        "$venv/bin/python" -m pip install -q "$build"/sdist/slowlens-*.tar.gz || return 1
    CMAKE_ARGS="-DCMAKE_DISABLE_FIND_PACKAGE_zstd=ON -DCMAKE_DISABLE_FIND_PACKAGE_PkgConfig=ON" \
        "$venv/bin/python" -m pip wheel --no-deps -w "$build/sdist" "$build"/sdist/slowlens-*.tar.gz >"$build/sdist.log" 2>&1
    tr -s ' \n' ' ' <"$build/sdist.log" | grep -q "apt install libzstd-dev" || { cat "$build/sdist.log"; return 1; }
    rm -rf "$build/headerless" && cmake -S "$root" -B "$build/headerless" -DCMAKE_DISABLE_FIND_PACKAGE_Python3=ON >"$build/headerless.log" 2>&1
    tr -s ' \n' ' ' <"$build/headerless.log" | grep -q "apt install python3-dev" || { cat "$build/headerless.log"; return 1; }
    (cd / && "$venv/bin/slowlens" doctor --store "$cache/doctor-store" && "$venv/bin/python" - <<'PYTHON'
import importlib.resources, slowlens, slowlens._core
root = importlib.resources.files("slowlens")
for name in ("py.typed", "_core.pyi", "viewer/static/index.html", "viewer/static/main.js", "store/directory.py"):
    assert root.joinpath(name).is_file(), name
assert [entry.name for entry in root.iterdir()].count("_core.pyi") == 1
assert sum(entry.name.endswith(".so") for entry in root.iterdir()) == 1
PYTHON
    )
}

editable() { # PYTHON
    venv=$cache/editable-venv
    rm -rf "$venv" && "$1" -m venv "$venv" && "$venv/bin/python" -m pip install -q -e "$root" || return 1
    (cd / && "$venv/bin/python" -c "
import slowlens.wsgi, sys
assert slowlens.wsgi.__file__.startswith('$root'), slowlens.wsgi.__file__")
}

lint() { # PYTHON
    venv=$cache/lint-venv
    [ -x "$venv/bin/ruff" ] || { "$1" -m venv "$venv" && "$venv/bin/python" -m pip install -q ruff mypy; } || return 1
    (cd "$root" && "$venv/bin/ruff" check -q pymiddleware tests examples docs &&
        "$venv/bin/mypy" --no-error-summary --cache-dir="$cache/mypy" --python-version 3.11 pymiddleware/slowlens)
}

# Tools of others in JavaScript, in JUDGES.
modules=$cache/judges
export JUDGES="$modules/node_modules"
node_modules() {
    cmp -s "$root/tests/judges/package.json" "$modules/complete" && return 0
    rm -rf "$modules" && mkdir -p "$modules" && cp "$root/tests/judges/package.json" "$modules/" &&
        npm install --prefix "$modules" --silent --no-audit --no-fund --no-package-lock &&
        cp "$modules/package.json" "$modules/complete"
}

# What tests/layers asks real servers with.
LIBRARIES="pymysql,psycopg[binary],psycopg2-binary,asyncpg,redis,requests,urllib3,aiohttp,celery,rq,dramatiq,grpcio,botocore"
LIBRARIES="$LIBRARIES,pymongo,mysqlclient,mysql-connector-python,aiomysql,peewee,pymemcache,python-memcached"
LIBRARIES="$LIBRARIES,opentelemetry-sdk,opentelemetry-instrumentation-sqlite3,mcp"
LIBRARIES="$LIBRARIES,graphene" # which wants another graphql-core than tests/frameworks has

# All that the tests below need beside PACKAGES, before any of them runs: nobody's packages change under him.
more_packages() { # VERSION PYTHON
    python=$(environment "$1" "$2") || return 1
    # shellcheck disable=SC2046
    "$python" -m pip install -q selenium schemathesis psycopg_pool waitress hypercorn gprof2dot snakeviz \
        $(echo "$LIBRARIES" | tr , ' ')
}

more_tests() { # FOLDER VERSION PYTHON
    python=$(environment "$2" "$3") || return 1
    PYTHONPATH=$build/py$2/python sh "$root/tests/steady.sh" "$python" "$root/tests/$1"
}

layers() { # VERSION PYTHON
    [ "$1 $2" = "$newest" ] || more_packages "$1" "$2" || return 1
    more_tests layers "$1" "$2"
}

# Wagtail and others want versions of their own.
frameworks() { # VERSION PYTHON
    packages="pytest django flask starlette httpx fastapi litestar quart sanic falcon pyramid bottle strawberry-graphql ariadne wagtail"
    python=$(venv_with frameworks-venv "$2" "$packages") || return 1
    PYTHONPATH=$build/py$1/python sh "$root/tests/steady.sh" "$python" "$root/tests/frameworks"
}

# The site without a warning, tutorials run as written: with a wheel where pip finds it, as a reader has it.
documentation() { # VERSION PYTHON
    packages="sphinx furo myst-parser codespell pytest django flask shtab setuptools"
    python=$(venv_with docs-venv "$2" "$packages") || return 1
    install curl groff-base fish zsh || return 1
    rm -rf "$build/wheels"
    "$python" -m pip wheel -q --no-deps -w "$build/wheels" "$root" &&
        WHEELS=$build/wheels PYTHONPATH=$build/py$1/python sh "$root/tests/steady.sh" "$python" "$root/tests/docs"
}

# A slice of the matrix in tests/servers.sh.
servers() { # VERSION PYTHON
    python=$(environment "$1" "$2") || return 1
    PYTHONPATH=$build/py$1/python sh "$root/tests/servers.sh" "$python" "gunicorn sync" "gunicorn gevent preload" \
        uvicorn waitress hypercorn
}

# A slice of other people's suites in tests/suites.sh.
suites() { # VERSION PYTHON
    SLOWLENS_CACHE=$cache PYTHONPATH=$build/py$1/python sh "$root/tests/suites.sh" "$2" flask asgiref "django handlers"
}

# Elsewhere than on Linux: compiled for macOS; and without the sampler, here.
offlinux_macos() { # PYTHON...
    venv=$cache/zig-venv
    [ -x "$venv/bin/python-zig" ] || { rm -rf "$venv" && "${newest#* }" -m venv "$venv" &&
        "$venv/bin/python" -m pip install -q ziglang; } ||
        return 1
    for one; do
        sh "$root/tests/offlinux.sh" macos "$venv/bin/python" "$one" || return 1
    done
}

offlinux_absent() { # VERSION PYTHON
    python=$(environment "$1" "$2") || return 1
    sh "$root/tests/offlinux.sh" absent "$python" "$root/tests/py/test_unsampled.py" "$root/tests/py/test_profile.py" \
        "$root/tests/py/test_cpython.py" "$root/tests/py/test_jobs.py" "$root/tests/py/test_greenlets.py" \
        "$root/tests/py/test_wsgi.py" "$root/tests/py/test_task.py" -k "not sampled and not job_that_raises and not busy_hub"
}

# ---- all of it ----

install gcc libc6-dev cmake ninja-build pkg-config check libzstd-dev uthash-dev zstd valgrind ca-certificates python3
list=$(interpreters)
if [ -z "$list" ]; then
    install python3 python3-dev python3-venv
    list=$(interpreters)
fi
newest=$(echo "$list" | head -n 1)
if [ -n "$quick" ]; then
    say "C tests"
    check "C" c_tests "$build/c"
    say "Python ${newest% *}"
    # shellcheck disable=SC2086
    check "Python ${newest% *}" python_tests $newest
    ran=${newest% *}
else
    ran=$(echo "$list" | awk 'NF { printf " %s", $1 }')
    needed=
    for minor in 13 14 15; do
        case " $ran" in *" 3.$minor."*) ;; *) needed=1 ;; esac
    done
    if [ -n "$needed" ]; then
        # Unpacked while the C tests are compiled; no apt beside it in this root.
        install debootstrap clang
        { sid_root >"$logs/sid" 2>&1 && echo 0 >"$logs/sid.status" || echo 1 >"$logs/sid.status"; } &
    fi
    say "C tests"
    check "C" c_tests "$build/c"
    check "a missing package is named" missing_package_is_named
    say "C tests with sanitizers, and by clang"
    install clang
    beside "C, sanitizers" c_tests "$build/c-sanitized" -DSL_SANITIZE=ON -DCMAKE_BUILD_TYPE=Debug
    beside "C, clang" c_tests "$build/c-clang" -DCMAKE_C_COMPILER=clang
    settle

    newer=
    if [ -n "$needed" ]; then
        say "a Debian sid root for newer CPythons"
        while [ ! -s "$logs/sid.status" ]; do sleep 1; done
        cat "$logs/sid"
        [ "$(cat "$logs/sid.status")" != 0 ] || for minor in 13 14 15; do
            case " $ran" in *" 3.$minor."*) continue ;; esac
            [ -x "$sid/usr/bin/python3.$minor" ] || continue
            newer="$newer $minor"
            ran="$ran $(chroot "$sid" "python3.$minor" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')"
        done
    fi
    say "Python$ran; package, lint"
    while read -r version python; do
        [ -z "$version" ] || beside "Python $version" python_tests "$version" "$python"
    done <<LIST
$list
LIST
    for minor in $newer; do
        beside "Python 3.$minor (Debian sid)" sid_tests "3.$minor"
    done
    # What needs no environment of those above runs beside the last of them.
    beside "wheel" wheel "${newest#* }"
    beside "editable installation" editable "${newest#* }"
    beside "ruff and mypy" lint "${newest#* }"
    # shellcheck disable=SC2086,SC2046
    beside "macOS, compiled" offlinux_macos $(echo "$list" | awk 'NF { print $2 }' | sed -n '1p;$p' | uniq)
    settle
    for minor in 13 14 15; do
        case " $ran" in *" 3.$minor."*) continue ;; esac
        echo "CPython 3.$minor could not be had"
        [ -n "$any" ] || failed=$((failed + 1))
    done

    say "the extension with sanitizers, a slice (all of it: tests/sanitize.sh)"
    sanitized=
    for one in "$cache"/test-venv-*/bin/python; do
        [ ! -x "$one" ] || sanitized=$one # the last, of this machine's own interpreters
    done
    if [ -n "$sanitized" ]; then
        beside "extension, addresses" sh "$root/tests/sanitize.sh" "$sanitized" address \
            "$root/tests/py/test_profile.py" "$root/tests/py/test_safety.py" "$root/tests/py/test_jobs.py"
        beside "extension, threads" sh "$root/tests/sanitize.sh" "$sanitized" thread
        settle
    fi

    say "viewer, documentation; elsewhere than on Linux"
    install nodejs chromium chromium-driver fonts-dejavu-core curl groff-base fish zsh postgresql redis-server \
        mariadb-server memcached libmariadb-dev pkg-config golang-go graphviz
    command -v npm >/dev/null || install npm
    # shellcheck disable=SC2086
    check "packages" more_packages $newest
    check "npm packages" node_modules
    check "JavaScript" node --test --test-reporter=dot "$root"/tests/js/*.test.js
    # shellcheck disable=SC2086
    {
        beside "browser" more_tests browser $newest
        beside "documentation" documentation $newest
        beside "without the sampler" offlinux_absent $newest
        say "the viewer's API, fuzzed; layers, stores, servers, other people's suites (all of them: tests/suites.sh), judges"
        beside "API" more_tests api $newest
        while read -r version python; do
            [ -z "$version" ] || beside "layers, $version" layers "$version" "$python"
        done <<LIST
$([ -n "$every_layer" ] && echo "$list" || echo "$newest")
LIST
        beside "PostgreSQL" more_tests postgres $newest
        beside "frameworks" frameworks $newest
        beside "servers" servers $newest
        beside "suites" suites $newest
        beside "judges" more_tests judges $newest
    }
    settle
fi

say "interpreters: $(echo $ran)"
cat "$logs"/*.log | sed -n 's/^-- unsteady: /passed only the second time: /p'
[ ! -f "$logs/failed" ] || while read -r name; do
    printf '\n-- FAILED: %s\n' "$name"
    # Why it ended, where a long stack follows.
    grep -E -m 3 'Sanitizer|runtime error:|^Fatal ' "$(log_of "$name")" | cut -c 1-300 || true
    tail -n 40 "$(log_of "$name")" | cut -c 1-300
done <"$logs/failed"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
