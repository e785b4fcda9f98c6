#!/bin/sh
# offlinux.sh - slowlens elsewhere than on Linux: the deterministic engine,
# without the sampler.
#
#   sh tests/offlinux.sh macos ZIG PYTHON     compiles all of core/ and native/ for
#                                             macOS on arm64, warnings as errors, and
#                                             looks at what the library asks for
#   sh tests/offlinux.sh absent PYTHON TEST...  builds for here without the sampler,
#                                             and runs tests of tests/py
#
# ZIG: a python that has PyPI's ziglang. PYTHON: whose headers are compiled
# against; for `absent` with what tests/run.sh installs. Nothing is run that was
# made for macOS: no such machine is here.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
kind=$1
shift

tool() { # NAME COMMAND...: an executable of that name
    name=$1
    shift
    printf '#!/bin/sh\nexec %s "$@"\n' "$*" >"$work/$name"
    chmod +x "$work/$name"
}

macos() { # ZIG PYTHON
    version=$("$2" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    work=${SL_BUILD:-$root/build}/macos-$version
    rm -rf "$work"
    mkdir -p "$work/zstd"
    tool cc "$1 -m ziglang cc -target aarch64-macos"
    tool ar "$1 -m ziglang ar"
    tool ranlib "$1 -m ziglang ranlib"

    # CPython's headers, with what configure finds on macOS where headers ask.
    cp -r "$("$2" -c 'import sysconfig; print(sysconfig.get_path("include"))')" "$work/python"
    cat >>"$work/python/pyconfig.h" <<'CONFIG'
#undef HAVE_GETRANDOM
#undef HAVE_GETRANDOM_SYSCALL
#undef HAVE_PTHREAD_CONDATTR_SETCLOCK
#undef HAVE_PTHREAD_GETCPUCLOCKID
#undef HAVE_SEM_CLOCKWAIT
#undef HAVE_SEM_TIMEDWAIT
#undef SIZEOF_LONG_DOUBLE
#define SIZEOF_LONG_DOUBLE 8
#undef SIZEOF_FPOS_T
#define SIZEOF_FPOS_T 8
#undef SIZEOF_PTHREAD_KEY_T
#define SIZEOF_PTHREAD_KEY_T 8
#undef ALIGNOF_MAX_ALIGN_T
#define ALIGNOF_MAX_ALIGN_T 8
CONFIG
    # Two headers that are the same everywhere, without this machine's others.
    cp /usr/include/zstd.h /usr/include/uthash.h "$work/zstd/"
    echo '#include "zstd.h"' >"$work/zstd/zstd.c"

    # zig's linker knows libraries, no bundles.
    echo 'set(CMAKE_SHARED_MODULE_CREATE_C_FLAGS "-shared -Wl,-undefined,dynamic_lookup")' >"$work/rules.cmake"
    cat >"$work/toolchain.cmake" <<CMAKE
set(CMAKE_SYSTEM_NAME Darwin)
set(CMAKE_SYSTEM_PROCESSOR arm64)
set(CMAKE_C_COMPILER "$work/cc")
set(CMAKE_AR "$work/ar" CACHE FILEPATH "")
set(CMAKE_RANLIB "$work/ranlib" CACHE FILEPATH "")
set(CMAKE_OSX_SYSROOT "")
set(CMAKE_OSX_DEPLOYMENT_TARGET "")
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
set(CMAKE_USER_MAKE_RULES_OVERRIDE "$work/rules.cmake")
CMAKE
    cmake -S "$root" -B "$work/build" -G Ninja -DCMAKE_TOOLCHAIN_FILE="$work/toolchain.cmake" -DSL_WERROR=ON \
        -DSL_LTO=OFF -DSL_ZSTD_SOURCE="$work/zstd" -DUTHASH_INCLUDE_DIR="$work/zstd" \
        -DSL_PYTHON_VERSION="$version" -DSL_PYTHON_INCLUDE="$work/python" >"$work/log" 2>&1 &&
        cmake --build "$work/build" >>"$work/log" 2>&1 || { grep -A 20 -E "rror|FAILED" "$work/log" | head -n 60; return 1; }
    "$2" - "$work/build/python/slowlens/_core.so" <<'PYTHON'
import struct, sys

# What the library wants from others, by its symbol table (mach-o/loader.h, mach-o/nlist.h).
data = open(sys.argv[1], "rb").read()
magic, cpu, _, _, commands = struct.unpack_from("<5I", data)
assert (magic, cpu) == (0xFEEDFACF, 0x0100000C), "no Mach-O file for arm64"
at, wanted = 32, set()
for _ in range(commands):
    command, size = struct.unpack_from("<2I", data, at)
    if command == 2:  # LC_SYMTAB
        table, count, texts, _ = struct.unpack_from("<4I", data, at + 8)
        for i in range(count):
            name, kind = struct.unpack_from("<IB", data, table + 16 * i)
            if kind & 0xEF == 1:  # undefined, external
                text = texts + name
                wanted.add(data[text + 1:data.index(b"\0", text)].decode())
    at += size
ours = sorted(name for name in wanted if name.startswith("sl_"))
assert wanted and not ours, f"nobody defines {ours}"
python = sum(name.lstrip("_").startswith("Py") for name in wanted)
print(f"macOS arm64: compiled; {python} names of Python's wanted, {len(wanted) - python} of the system and zstd, 0 of ours")
PYTHON
}

absent() { # PYTHON TEST...
    python=$1
    shift
    build=${SL_BUILD:-$root/build}/absent
    mkdir -p "$build"
    cmake -S "$root" -B "$build" -G Ninja -DPython3_EXECUTABLE="$python" -DSL_WERROR=ON -DSL_LTO=OFF -DSL_SAMPLER=OFF \
        >"$build.log" 2>&1 && cmake --build "$build" >>"$build.log" 2>&1 || { tail -n 40 "$build.log"; return 1; }
    LD_BIND_NOW=1 PYTHONPATH=$build/python "$python" -m pytest -q -p no:cacheprovider "$@"
}

"$kind" "$@"
