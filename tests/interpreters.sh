# interpreters.sh - finds CPython 3.11 and newer on this machine. Sourced, by
# tests/run.sh and examples/demo.sh.
#
#   interpreters     prints "VERSION PATH" for the newest build of each 3.x
#                    that has venv and headers, newest first

interpreters() {
    for candidate in \
        $(for minor in 15 14 13 12 11; do command -v "python3.$minor"; done) \
        $(command -v python3) /usr/bin/python3 /usr/local/bin/python3 \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin/python3 \
        "$HOME"/.local/share/uv/python/*/bin/python3 \
        "$HOME"/.asdf/installs/python/*/bin/python3 \
        "$HOME"/.local/share/mise/installs/python/*/bin/python3; do
        [ -x "$candidate" ] || continue
        "$candidate" - 2>/dev/null <<'PYTHON' || true
import os, sys, sysconfig
try:
    import ensurepip, venv
except ImportError:
    sys.exit(1)
header = os.path.join(sysconfig.get_paths()["include"], "Python.h")
usable = (sys.implementation.name == "cpython" and sys.version_info >= (3, 11)
          and os.path.exists(header) and not sysconfig.get_config_var("Py_GIL_DISABLED"))
if usable:
    print("%d.%d.%d" % sys.version_info[:3], os.path.realpath(sys.executable))
PYTHON
    done | sort -t. -k1,1nr -k2,2nr -k3,3nr | awk '{ split($1, v, "."); if (!seen[v[1] "." v[2]]++) print }'
}
