#!/bin/sh
# headers.sh FOLDER - prints folders with CPython's headers, separated by
# semicolons: of this machine's interpreters and of the Debian root that
# tests/run.sh makes, one for each version. What Debian keeps in two folders is
# copied into FOLDER, in one.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
sid=${SLOWLENS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/slowlens}/debian-sid
. "$root/tests/interpreters.sh"
list=
seen=
for one in $(interpreters | awk '{ print $2 }'); do
    version=$("$one" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    seen="$seen $version"
    list="$list;$("$one" -c 'import sysconfig; print(sysconfig.get_path("include"))')"
done
for one in "$sid"/usr/include/python3.*; do
    version=${one##*/python}
    case " $seen " in *" $version "*) continue ;; esac
    for machine in "$sid"/usr/include/*/"python$version"/pyconfig.h; do
        [ -e "$machine" ] && [ -e "$one/Python.h" ] || continue
        mkdir -p "$1"
        rm -rf "$1/$version" && cp -rL "$one" "$1/$version" && cp "$machine" "$1/$version/pyconfig.h"
        list="$list;$1/$version"
    done
done
echo "${list#;}"
