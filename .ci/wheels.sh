#!/bin/sh
# wheels.sh - builds the wheels, on a Debian machine that reaches nothing but
# PyPI and Debian's packages.
#
#   sh .ci/wheels.sh [FOLDER]          builds all of them into FOLDER (dist/),
#                                      checks them, prints a table
#   sh .ci/wheels.sh --twice [FOLDER]  builds twice and demands equal bytes
#   sh .ci/wheels.sh --test [FOLDER]   puts the built ones through tests/py
#                                      where an interpreter can be had: Debian
#                                      roots made by debootstrap (needs root),
#                                      interpreters of this machine
#
#   WHEELS_FOR          which of them, a pattern of grep -E that "cp313-manylinux_2_28_x86_64"
#                       and the like must match; default: all
#   SLOWLENS_CACHE      where downloads and roots are kept
#   SOURCE_DATE_EPOCH   the time in the archives; default: the last commit's
#
# The compiler is zig's, from PyPI (it brings the headers and link stubs of
# every glibc and of musl). Headers of CPython come from Debian's packages of
# both machines; of a CPython that Debian has not (3.12), from an interpreter
# of this machine, else that wheel is not built, and said so. zstd comes from
# the sdist of PyPI's zstandard, as one source file, and is linked in.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cache=${SLOWLENS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/slowlens}
work=$cache/wheels
task=build
case ${1:-} in
--twice | --test) task=${1#--}; shift ;;
esac
out=$(mkdir -p "${1:-$root/dist}" && cd "${1:-$root/dist}" && pwd)
. "$root/tests/interpreters.sh"
mkdir -p "$work"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || echo 1700000000)}
export SOURCE_DATE_EPOCH

ZIG=0.17.1
ZSTANDARD=0.25.0
SUITES="bookworm trixie sid"
VERSIONS="3.11 3.12 3.13 3.14 3.15"
# zig's target, Debian's architecture, its name in paths, the wheel's platform
TARGETS="x86_64-linux-gnu.2.28:amd64:x86_64-linux-gnu:manylinux_2_28_x86_64
aarch64-linux-gnu.2.28:arm64:aarch64-linux-gnu:manylinux_2_28_aarch64
x86_64-linux-musl:amd64:x86_64-linux-gnu:musllinux_1_2_x86_64
aarch64-linux-musl:arm64:aarch64-linux-gnu:musllinux_1_2_aarch64"

say() { printf '\n== %s\n' "$*"; }

# ---- what is needed ----

tools() {
    missing=
    for package in cmake ninja-build python3 python3-venv debian-archive-keyring binutils; do
        dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
    done
    if [ -n "$missing" ]; then
        echo "installing:$missing"
        sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get update -qq
        # shellcheck disable=SC2086
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
    fi
    newest=$(interpreters | head -n 1)
    python=${newest#* }
    wanted="ziglang==$ZIG wheel auditwheel scikit-build-core build"
    if [ "$(cat "$work/venv/complete" 2>/dev/null)" != "$wanted" ]; then
        rm -rf "$work/venv"
        "${python:-python3}" -m venv "$work/venv"
        # shellcheck disable=SC2086
        "$work/venv/bin/python" -m pip install -q $wanted
        echo "$wanted" >"$work/venv/complete"
    fi
    for tool in cc ar ranlib; do
        target=
        [ "$tool" != cc ] || target='-target "$ZIG_TARGET"'
        printf '#!/bin/sh\nexec "%s/venv/bin/python" -m ziglang %s %s "$@"\n' "$work" "$tool" "$target" >"$work/zig-$tool"
        chmod +x "$work/zig-$tool"
    done
}

# A view of Debian's packages of both machines, apart from this machine's own.
debian() {
    mirror=$(sed -n 's/^URIs: *//p; s/^deb  *\(\[[^]]*\] *\)*\(http[^ ]*\).*/\2/p' /etc/apt/sources.list \
        /etc/apt/sources.list.d/* 2>/dev/null | grep '/debian/*$' | head -n 1)
    mirror=${mirror:-http://deb.debian.org/debian}
    mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial"
    : >"$work/apt/status"
    for suite in $SUITES; do
        echo "deb [arch=amd64,arm64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
    done >"$work/apt/sources.list"
    cat >"$work/apt/apt.conf" <<CONF
Dir::State "$work/apt"; Dir::State::status "$work/apt/status"; Dir::Cache "$work/apt";
Dir::Etc::sourcelist "$work/apt/sources.list"; Dir::Etc::sourceparts "-"; Acquire::Languages "none";
APT::Architecture "amd64"; APT::Architectures { "amd64"; "arm64"; }; APT::Sandbox::User "root";
CONF
    APT_CONFIG=$work/apt/apt.conf apt-get update -qq
}

unpack() { # PACKAGE FOLDER
    rm -rf "$2" "$2.deb" && mkdir -p "$2" "$2.deb"
    (cd "$2.deb" && APT_CONFIG=$work/apt/apt.conf apt-get download -qq "$1") >/dev/null 2>&1 &&
        dpkg -x "$2.deb"/*.deb "$2" && rm -rf "$2.deb" || { rm -rf "$2" "$2.deb"; return 1; }
}

sources() {
    [ -e "$work/headers/complete" ] || {
        say "headers, from Debian"
        debian
        mkdir -p "$work/headers"
        for version in $VERSIONS; do
            for arch in amd64 arm64; do
                unpack "libpython$version-dev:$arch" "$work/headers/$version-$arch" ||
                    echo "Debian has no libpython$version-dev for $arch"
            done
        done
        unpack uthash-dev "$work/headers/uthash"
        touch "$work/headers/complete"
    }
    [ -e "$work/zstandard-$ZSTANDARD/zstd/zstd.c" ] || {
        say "zstd, from PyPI"
        "$work/venv/bin/python" -m pip download -q --no-deps --no-binary :all: -d "$work" \
            "zstandard==$ZSTANDARD"
        tar -xf "$work/zstandard-$ZSTANDARD.tar.gz" -C "$work"
    }
}

include_of() { # VERSION ARCHITECTURE MULTIARCH -> folders, or nothing
    headers=$work/headers/$1-$2/usr/include
    if [ -d "$headers/python$1" ]; then
        echo "$headers/$3/python$1;$headers/python$1;$headers"
    else
        # An interpreter of this machine: struct layouts are the same on both
        # (LP64, little endian); what differs in pyconfig.h is not used by us.
        interpreters | while read -r version python; do
            case $version in "$1".*)
                "$python" -c 'import sysconfig; print(sysconfig.get_paths()["include"])' ;;
            esac
        done
    fi
}

# ---- build ----

# Once for both builds of --twice, and none of this checkout's left-overs.
snapshot() {
    (cd "$root" && git ls-files -z | xargs -0 tar -cf "$work/source.tar")
}

build_all() { # FOLDER
    rm -rf "$work/build" && mkdir -p "$work/build/source"
    # The same path each time.
    tar -xf "$work/source.tar" -C "$work/build/source"
    source=$work/build/source
    export ZIG_GLOBAL_CACHE_DIR="$work/zig" ZIG_LOCAL_CACHE_DIR="$work/zig"
    say "the Python half"
    # scikit-build-core makes metadata and the list of files; nothing is compiled for it.
    CMAKE_ARGS="-DSL_ZSTD_SOURCE=$work/zstandard-$ZSTANDARD/zstd -DUTHASH_INCLUDE_DIR=$work/headers/uthash/usr/include -DSL_PYTHON=OFF" \
        "$work/venv/bin/python" -m pip wheel -q --no-deps --no-build-isolation -C build.targets=help -w "$work/build" "$source"
    echo "$TARGETS" | while IFS=: read -r target arch multiarch platform; do
        for version in $VERSIONS; do
            tag=cp$(echo "$version" | tr -d .)
            echo "$tag-$platform" | grep -Eq "${WHEELS_FOR:-.}" || continue
            include=$(include_of "$version" "$arch" "$multiarch")
            if [ -z "$include" ]; then
                echo "no headers of CPython $version: $platform is not built for it"
                continue
            fi
            say "CPython $version, $platform"
            build=$work/build/$tag-$platform
            ZIG_TARGET=$target; export ZIG_TARGET
            cmake -S "$source" -B "$build" -G Ninja -DCMAKE_SYSTEM_NAME=Linux "-DCMAKE_SYSTEM_PROCESSOR=${target%%-*}" \
                "-DCMAKE_C_COMPILER=$work/zig-cc" "-DCMAKE_AR=$work/zig-ar" "-DCMAKE_RANLIB=$work/zig-ranlib" \
                "-DCMAKE_C_COMPILER_AR=$work/zig-ar" "-DCMAKE_C_COMPILER_RANLIB=$work/zig-ranlib" \
                "-DCMAKE_C_FLAGS=-ffunction-sections -fdata-sections -ffile-prefix-map=$work=." \
                "-DCMAKE_MODULE_LINKER_FLAGS=-Wl,--gc-sections -s" \
                "-DSL_PYTHON_VERSION=$version" "-DSL_PYTHON_INCLUDE=$include" \
                "-DUTHASH_INCLUDE_DIR=$work/headers/uthash/usr/include" \
                "-DSL_ZSTD_SOURCE=$work/zstandard-$ZSTANDARD/zstd" "-DCMAKE_C_FLAGS_RELEASE=-O2 -DNDEBUG" -DSL_SMALL=ON \
                -DSL_WERROR=ON >"$build.log" 2>&1 &&
                cmake --build "$build" >>"$build.log" 2>&1 || { tail -n 30 "$build.log"; exit 1; }
            "$work/venv/bin/python" "$source/.ci/wheel.py" pack "$work/build"/slowlens-*.whl "$build/python/slowlens/_core.so" \
                "$tag" "$platform" "$1" "$work/zstandard-$ZSTANDARD/zstd" "$work/headers/uthash"
        done
    done
    rm -rf "$source/build" # what pip left
    "$work/venv/bin/python" -m build -q --sdist -n -o "$1" "$source"
}

# ---- tests ----

in_root() { # SUITE: makes a root of that Debian, with its CPythons
    debian_root=$work/root-$1
    [ -e "$debian_root/complete" ] && return 0
    umount -l "$debian_root/proc" 2>/dev/null || true
    rm -rf --one-file-system "$debian_root"
    debootstrap --variant=minbase --include=ca-certificates,procps "$1" "$debian_root" "$mirror" >"$debian_root.log" 2>&1
    cp /etc/resolv.conf "$debian_root/etc/" 2>/dev/null || true
    cp -r /etc/apt/apt.conf.d/. "$debian_root/etc/apt/apt.conf.d/" 2>/dev/null || true
    for version in $VERSIONS; do
        chroot "$debian_root" apt-cache show "python$version-venv" >/dev/null 2>&1 &&
            chroot "$debian_root" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
                "python$version-venv" "python$version-dev" gcc libc6-dev >>"$debian_root.log" 2>&1
    done
    touch "$debian_root/complete"
}

test_in() { # ROOT-OR-EMPTY PYTHON WHEEL
    run=; [ -z "$1" ] || run="chroot $1"
    place=$1/tmp/slowlens-wheel-test
    rm -rf "$place" && mkdir -p "$place" && cp "$3" "$place/" && cp -r "$root/tests" "$root/examples" "$place/"
    inside=/tmp/slowlens-wheel-test
    $run "$2" -m venv "$inside/venv" &&
        $run "$inside/venv/bin/python" -m pip install -q pytest django flask starlette uvicorn gunicorn httpx greenlet \
            sqlalchemy aiosqlite gevent eventlet "$inside/$(basename "$3")" &&
        $run sh -c "cd $inside && venv/bin/python -m pytest -q -p no:cacheprovider tests/py" | tail -n 3
}

# ---- all of it ----

tools
case $task in
build | twice)
    sources
    snapshot
    rm -f "$out"/slowlens-*
    build_all "$out"
    if [ "$task" = twice ]; then
        again=$(mktemp -d)
        build_all "$again"
        say "two builds compared"
        for file in "$out"/slowlens-*; do
            cmp "$file" "$again/$(basename "$file")"
            echo "equal: $(basename "$file")"
        done
        rm -rf "$again"
    fi
    say "what is in $out"
    "$work/venv/bin/python" "$root/.ci/wheel.py" check "$out"
    ;;
test)
    debian
    for suite in $SUITES; do
        say "a clean $suite"
        in_root "$suite"
        mount -t proc proc "$work/root-$suite/proc"
        trap 'umount -l "$work/root-$suite/proc"' EXIT
        for version in $VERSIONS; do
            [ -x "$work/root-$suite/usr/bin/python$version" ] || continue
            say "$suite, CPython $version"
            test_in "$work/root-$suite" "python$version" "$(echo "$out"/slowlens-*-cp"$(echo "$version" | tr -d .)"-manylinux*_x86_64.whl)"
        done
        umount -l "$work/root-$suite/proc"
        trap - EXIT
    done
    interpreters | while read -r version python; do
        minor=${version%.*}
        say "this machine's CPython $version"
        test_in "" "$python" "$(echo "$out"/slowlens-*-cp"$(echo "$minor" | tr -d .)"-manylinux*_x86_64.whl)"
    done
    ;;
esac
