#!/bin/sh
# wheels.sh - builds the wheels, on a Debian machine that reaches nothing but
# PyPI and Debian's packages.
#
#   sh .ci/wheels.sh [FOLDER]          builds all of them into FOLDER (dist/),
#                                      checks them, prints a table
#   sh .ci/wheels.sh --twice [FOLDER]  builds twice, the second time without
#                                      anything of the first, and demands equal
#                                      bytes
#   sh .ci/wheels.sh --test [FOLDER]   puts the built ones through tests/py
#                                      where an interpreter can be had: clean
#                                      Debian roots made by debootstrap (needs
#                                      root), this machine for what Debian has
#                                      not, Debian's arm64 Python under qemu,
#                                      CPython compiled for musl
#
#   WHEELS_FOR          which of them, a pattern of grep -E that "cp313-manylinux_2_28_x86_64"
#                       and the like must match; default: all
#   WHEELS_TESTS        with --test: what pytest is told (default: tests/py)
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
ZOPFLI=0.4.3
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
    packages="cmake ninja-build python3 python3-venv debian-archive-keyring binutils"
    [ "$task" != test ] || packages="$packages debootstrap qemu-user-static musl-tools gcc make xz-utils"
    for package in $packages; do
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
    wanted="ziglang==$ZIG zopfli==$ZOPFLI wheel auditwheel scikit-build-core build"
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
        signed=signed-by=/usr/share/keyrings/debian-archive-keyring.gpg
        echo "deb [arch=amd64,arm64 $signed] $mirror $suite main"
        echo "deb-src [$signed] $mirror $suite main"
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

build_all() { # FOLDER ZIG'S-CACHE
    rm -rf "$work/build" && mkdir -p "$work/build/source"
    # The same path each time.
    tar -xf "$work/source.tar" -C "$work/build/source"
    source=$work/build/source
    export ZIG_GLOBAL_CACHE_DIR="$2" ZIG_LOCAL_CACHE_DIR="$2"
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
                "-DCMAKE_C_FLAGS=-ffunction-sections -fdata-sections -fno-unroll-loops -ffile-prefix-map=$work=." \
                "-DCMAKE_MODULE_LINKER_FLAGS=-Wl,--gc-sections -Wl,--hash-style=gnu -s" \
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

# What each said is a line in FOLDER/tests: wheel, where, what pytest closed with.
told() { # WHEEL WHERE WHAT
    printf '%s\t%s\t%s\n' "$(basename "$1")" "$2" "$3" >>"$out/tests"
    echo "$2: $3"
}

wheel_for() { # TAG PLATFORM
    find "$out" -name "slowlens-*-cp$(echo "$1" | tr -d .)-$2.whl"
}

# A root as it is on a server: no compiler, no headers.
clean_root() { # SUITE
    debian_root=$work/root-$1
    [ -e "$debian_root/complete" ] && return 0
    leave_root "$1"
    rm -rf --one-file-system "$debian_root"
    debootstrap --variant=minbase --include=ca-certificates,procps,zstd,git "$1" "$debian_root" "$mirror" >"$debian_root.log" 2>&1
    cp /etc/resolv.conf "$debian_root/etc/" 2>/dev/null || true
    cp -r /etc/apt/apt.conf.d/. "$debian_root/etc/apt/apt.conf.d/" 2>/dev/null || true
    # Whom this machine trusts (a mirror of PyPI may be its own).
    cp -L /etc/ssl/certs/ca-certificates.crt "$debian_root/etc/ssl/certs/" 2>/dev/null || true
    for version in $VERSIONS; do
        chroot "$debian_root" apt-cache show "python$version-venv" >/dev/null 2>&1 &&
            chroot "$debian_root" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
                "python$version-venv" >>"$debian_root.log" 2>&1
    done
    touch "$debian_root/complete"
}

enter_root() { # SUITE
    trap 'leave_root "'"$1"'"' EXIT
    mount -t proc proc "$work/root-$1/proc"
    mount -t sysfs sysfs "$work/root-$1/sys" -o ro
    mount -t tmpfs -o mode=1777 tmpfs "$work/root-$1/dev/shm"
}

leave_root() { # SUITE
    umount -l "$work/root-$1/proc" "$work/root-$1/sys" "$work/root-$1/dev/shm" 2>/dev/null || true
}

# What the tests read of a checkout beside themselves; nothing of it is built or imported.
TESTED="tests examples docs include core pyproject.toml SECURITY.md README.md"

FRAMEWORKS="pytest django flask starlette uvicorn gunicorn httpx greenlet uvloop sqlalchemy aiosqlite gevent eventlet trio"

test_in() { # ROOT-OR-EMPTY PYTHON WHEEL WHERE
    [ -n "$3" ] || { echo "no wheel for $4"; return 0; }
    run=; [ -z "$1" ] || run="chroot $1"
    inside=/tmp/slowlens-wheel-test
    place=$1$inside
    rm -rf "$place" && mkdir -p "$place" && cp "$3" "$place/"
    # shellcheck disable=SC2086
    (cd "$root" && git ls-files -z $TESTED | xargs -0 tar -cf -) | tar -xf - -C "$place"
    $run "$2" -m venv "$inside/venv"
    $run "$inside/venv/bin/python" -m pip install -q --no-index "$inside/$(basename "$3")"
    for package in $FRAMEWORKS; do # a machine without a compiler
        $run "$inside/venv/bin/python" -m pip install -q --only-binary :all: "$package" 2>/dev/null || echo "no wheel of $package here"
    done
    # shellcheck disable=SC2086
    $run env -u PYTHONPATH -u SLOWLENS_CACHE sh -c "cd $inside && sh tests/steady.sh venv/bin/python ${WHEELS_TESTS:-tests/py}" \
        >"$out/tests.log" 2>&1 || tail -n 30 "$out/tests.log"
    grep -E '^(FAILED|ERROR|-- unsteady)' "$out/tests.log" | sort -u || true
    told "$3" "$4" "$(grep -E '^[0-9]+ (passed|failed).* in [0-9.]+s' "$out/tests.log" | tr '\n' ';' | sed 's/;$//; s/;/; once more: /')"
    rm -rf "$place"
}

# Debian's arm64 Python under qemu, from unpacked packages: one process, no
# chroot and no kernel's help needed; tests that start others cannot run so.
ARM_PACKAGES="libc6 libcrypt1 zlib1g libexpat1 libsqlite3-0 libssl3 libssl3t64 libffi8 libbz2-1.0 liblzma5 libuuid1
libzstd1 libstdc++6 libgcc-s1"
ARM_TESTS="tests/py/test_profile.py tests/py/test_format.py tests/py/test_exports.py tests/py/test_wsgi.py
tests/py/test_asgi.py tests/py/test_merge.py tests/py/test_spans.py tests/py/test_filter.py"

arm_python() { # VERSION SUITE -> a folder
    folder=$work/arm64-$1
    [ -e "$folder/complete" ] && return 0
    rm -rf "$folder" && mkdir -p "$folder/debs"
    # shellcheck disable=SC2046
    (cd "$folder/debs" && APT_CONFIG=$work/apt/apt.conf apt-get download -qq \
        $(for package in "python$1-minimal" "libpython$1-minimal" "libpython$1-stdlib" $ARM_PACKAGES; do
            APT_CONFIG=$work/apt/apt.conf apt-cache show "$package:arm64/$2" 2>/dev/null | grep -q ^Version && echo "$package:arm64/$2"
        done)) >/dev/null 2>&1
    for deb in "$folder/debs"/*.deb; do dpkg -x "$deb" "$folder"; done
    [ -e "$folder/lib" ] || ln -s usr/lib "$folder/lib" # since trixie a link of a package that is not here
    rm -rf "$folder/debs" && touch "$folder/complete"
}

test_arm() { # VERSION SUITE
    wheel=$(wheel_for "$1" "manylinux_*_aarch64")
    [ -n "$wheel" ] || return 0
    arm_python "$1" "$2"
    place=$(mktemp -d)
    # shellcheck disable=SC2086
    (cd "$root" && git ls-files -z $TESTED | xargs -0 tar -cf -) | tar -xf - -C "$place"
    "$work/venv/bin/python" -m pip install -q --target "$place/site" --platform manylinux_2_28_aarch64 \
        --platform manylinux_2_17_aarch64 --python-version "$1" --only-binary :all: \
        pytest flask django starlette httpx greenlet "$wheel"
    # shellcheck disable=SC2086
    (cd "$place" && PYTHONHOME=$work/arm64-$1/usr PYTHONPATH=$place/site timeout 1500 \
        qemu-aarch64-static -L "$work/arm64-$1" "$work/arm64-$1/usr/bin/python$1" -m pytest -q -x --maxfail=40 \
        -p no:cacheprovider ${WHEELS_ARM_TESTS:-$ARM_TESTS}) >"$out/tests.log" 2>&1 || tail -n 30 "$out/tests.log"
    told "$wheel" "Debian $2, qemu" "$(grep -E '^[0-9]+ (passed|failed).* in [0-9.]+s' "$out/tests.log" | tail -n 1)"
    rm -rf "$place"
}

# CPython for musl is nowhere to be had from PyPI or Debian: Debian's source of it,
# compiled with musl-gcc.
musl_python() { # VERSION SUITE
    folder=$work/musl-$1
    [ -e "$folder/complete" ] && return 0
    rm -rf "$folder" && mkdir -p "$folder"
    (cd "$folder" && APT_CONFIG=$work/apt/apt.conf apt-get source -qq --download-only "python$1/$2" >/dev/null &&
        tar -xf python*.orig.tar.?z --strip-components 1)
    # musl-gcc is gcc, which calls itself one for glibc.
    printf '#!/bin/sh\ncase " $* " in *" --print-multiarch "*) echo x86_64-linux-musl; exit ;; esac\nexec musl-gcc "$@"\n' \
        >"$folder/musl-cc" && chmod +x "$folder/musl-cc"
    # Without pkg-config, which would find this machine's libraries.
    (cd "$folder" && CC=$folder/musl-cc CFLAGS=-O1 PKG_CONFIG=false ./configure -q --disable-test-modules --without-ensurepip &&
        make -s -j2) >"$folder.log" 2>&1 || { tail -n 5 "$folder.log"; return 1; }
    touch "$folder/complete"
}

test_musl() { # VERSION SUITE
    wheel=$(wheel_for "$1" "musllinux_*_x86_64")
    [ -n "$wheel" ] || return 0
    musl_python "$1" "$2" || { told "$wheel" "musl" "no interpreter: CPython did not compile"; return 0; }
    place=$(mktemp -d)
    "$work/venv/bin/python" -m pip install -q --target "$place/site" --platform musllinux_1_2_x86_64 \
        --python-version "$1" --only-binary :all: "$wheel"
    (cd "$place" && PYTHONPATH=$place/site env -u SLOWLENS_CACHE "$work/musl-$1/python" "$root/.ci/loaded.py") >"$out/tests.log" 2>&1 || true
    told "$wheel" "CPython $1 compiled for musl" "$(tail -n 1 "$out/tests.log")"
    rm -rf "$place"
}

# ---- all of it ----

tools
case $task in
build | twice)
    sources
    snapshot
    rm -f "$out"/slowlens-*
    build_all "$out" "$work/zig"
    if [ "$task" = twice ]; then
        again=$(mktemp -d)
        rm -rf "$work/zig-again"
        build_all "$again" "$work/zig-again"
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
    : >"$out/tests"
    tested=" "
    for suite in $SUITES; do
        say "a clean $suite"
        clean_root "$suite"
        enter_root "$suite"
        for version in $VERSIONS; do
            [ -x "$work/root-$suite/usr/bin/python$version" ] || continue
            case $tested in *" $version "*) continue ;; esac
            say "$suite, CPython $version"
            test_in "$work/root-$suite" "python$version" "$(wheel_for "$version" "manylinux_*_x86_64")" "clean $suite"
            tested="$tested$version "
        done
        leave_root "$suite"
        trap - EXIT
    done
    for version in $VERSIONS; do
        case $tested in *" $version "*) continue ;; esac
        interpreters | while read -r full python; do
            [ "${full%.*}" = "$version" ] || continue
            say "this machine's CPython $full"
            test_in "" "$python" "$(wheel_for "$version" "manylinux_*_x86_64")" "$full of this machine"
        done
    done
    for pair in 3.11:bookworm 3.13:trixie 3.14:sid 3.15:sid; do
        say "CPython ${pair%:*} for arm64 under qemu"
        test_arm "${pair%:*}" "${pair#*:}"
    done
    say "CPython 3.13 for musl"
    test_musl 3.13 trixie
    say "what ran where"
    "$work/venv/bin/python" "$root/.ci/wheel.py" table "$out"
    ;;
esac
