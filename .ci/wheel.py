"""Packs one compiled extension into a wheel, and checks wheels. Used by wheels.sh.

    wheel.py pack PURE.whl _core.so cp313 PLATFORM FOLDER ZSTD_SOURCE UTHASH
    wheel.py check FOLDER    exit 1: one is not as it must be
    wheel.py table FOLDER    what `check` says and where the tests ran, as Markdown
"""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from unittest import mock

#: What an extension module may ask of the C library and the interpreter; anything else is a surprise.
ALLOWED_LIBRARIES = {"libc.so.6", "libpthread.so.0", "libm.so.6", "libdl.so.2", "librt.so.1", "libc.so",
                     "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
#: A measure to hold. The goal was 400,000 for all of it, and is missed: Python, viewer, manual page and completion are
#: more than that without the extension, which has 427,000 itself (`check` says what a wheel consists of).
MAX_BYTES = 860_000
MAX_EXTENSION = 430_000

#: What a wheel consists of, by the first pattern that a file's name matches.
PARTS = (("extension", r"\.so$"), ("Python", r"\.pyi?$|py\.typed$"), ("viewer", r"/viewer/static/"),
         ("manual page, completion", r"\.data/"), ("hashes of each file (RECORD)", r"/RECORD$"),
         ("metadata, licences, SBOM", r"\.dist-info/"), ("other", ""))


def sbom(zstd: pathlib.Path, uthash: pathlib.Path, name: str, version: str) -> str:
    """A CycloneDX document (PEP 770) of what is compiled in."""
    text = (zstd / "zstd.h").read_text(errors="replace")
    zstd_version = ".".join(re.search(rf"#define ZSTD_VERSION_{part}\s+(\d+)", text)[1]
                            for part in ("MAJOR", "MINOR", "RELEASE"))
    uthash_version = re.search(r"#define UTHASH_VERSION ([\d.]+)",
                               (uthash / "usr/include/uthash.h").read_text())[1]

    def component(name: str, version: str, license_id: str, kind: str = "library") -> dict[str, object]:
        purl = f"pkg:pypi/{name}@{version}" if kind == "application" else f"pkg:generic/{name}@{version}"
        return {"type": kind, "name": name, "version": version, "purl": purl, "bom-ref": purl,
                "licenses": [{"license": {"id": license_id}}]}

    document = {
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "metadata": {"component": component(name, version, "MIT", "application")},
        "components": [component("zstd", zstd_version, "BSD-3-Clause"),
                       component("uthash", uthash_version, "BSD-1-Clause")],
    }
    return json.dumps(document, indent=1) + "\n"


def pack(pure: str, extension: str, tag: str, platform: str, folder: str, zstd: str, uthash: str) -> None:
    """A wheel of the pure one's files with this extension in it."""
    with tempfile.TemporaryDirectory() as place:
        subprocess.run([sys.executable, "-m", "wheel", "unpack", "-d", place, pure], check=True,
                       stdout=subprocess.DEVNULL)
        tree = next(pathlib.Path(place).iterdir())
        for old in tree.glob("slowlens/_core*.so"):
            old.unlink()
        machine = platform.split("_", 3)[-1]
        libc = "musl" if platform.startswith("musl") else "gnu"
        minor = tag.removeprefix("cp")
        shutil.copy(extension, tree / f"slowlens/_core.cpython-{minor}-{machine}-linux-{libc}.so")
        info = next(tree.glob("*.dist-info"))
        name, version = info.name.removesuffix(".dist-info").split("-")
        (info / "sboms").mkdir()
        (info / "sboms/slowlens.cdx.json").write_text(sbom(pathlib.Path(zstd), pathlib.Path(uthash), name, version))
        licenses = info / "licenses"
        licenses.mkdir(exist_ok=True)
        shutil.copy(pathlib.Path(zstd) / "LICENSE", licenses / "LICENSE.zstd")
        shutil.copy(next(pathlib.Path(uthash).glob("usr/share/doc/uthash-dev/copyright")), licenses / "LICENSE.uthash")
        wheel = info / "WHEEL"
        wheel.write_text(re.sub(r"(?m)^Tag: .*$", f"Tag: {tag}-{tag}-{platform}", wheel.read_text()))
        for file in tree.rglob("*"):
            file.chmod(0o755 if file.is_dir() or file.suffix == ".so" else 0o644)
        subprocess.run([sys.executable, "-m", "wheel", "pack", "-d", folder, str(tree)], check=True,
                       stdout=subprocess.DEVNULL)
        shrink(pathlib.Path(folder) / f"{name}-{version}-{tag}-{tag}-{platform}.whl")


class Deflate:
    """What zipfile wants of a compressor."""

    def __init__(self) -> None:
        self.content = b""

    def compress(self, content: bytes) -> bytes:
        self.content += content
        return b""

    def flush(self) -> bytes:
        import zopfli.zlib

        return zopfli.zlib.compress(self.content, numiterations=15)[2:-4]  # without zlib's head and checksum


def shrink(path: pathlib.Path) -> None:
    """The same archive, its files deflated as well as that can be done: 3.5 bytes of a hundred less."""
    before = path.rename(path.with_suffix(".before"))
    usual = zipfile._get_compressor
    with zipfile.ZipFile(before) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new, \
            mock.patch.object(zipfile, "_get_compressor", lambda kind, *more: (
                Deflate() if kind == zipfile.ZIP_DEFLATED else usual(kind, *more))):
        for info in old.infolist():
            new.writestr(info, old.read(info))
    with zipfile.ZipFile(before) as old, zipfile.ZipFile(path) as new:
        assert new.testzip() is None
        assert [(one.filename, one.CRC, one.date_time, one.external_attr) for one in old.infolist()] == [
            (one.filename, one.CRC, one.date_time, one.external_attr) for one in new.infolist()]
    before.unlink()


def needs(extension: pathlib.Path) -> tuple[list[str], list[str], list[str]]:
    """(libraries, newest symbol versions, exported names) of a shared object of any machine."""
    def readelf(*what: str) -> str:
        return subprocess.run(["readelf", "-W", *what, extension], capture_output=True, text=True, check=True).stdout

    dynamic, symbols = readelf("-d"), readelf("--dyn-syms")
    libraries = re.findall(r"\(NEEDED\)\s+Shared library: \[(.*)\]", dynamic)
    versions = sorted({tuple(map(int, found.split("."))) for found in re.findall(r"@GLIBC_([\d.]+)", symbols)})
    exported = [name for bind, section, name in re.findall(
        r"\s(GLOBAL|WEAK)\s+DEFAULT\s+(\S+)\s+(\S+)", symbols) if section != "UND"]
    return libraries, [".".join(map(str, found)) for found in versions[-1:]], exported


def parts(path: pathlib.Path) -> dict[str, int]:
    """Bytes of the archive by what they are for; they add up to its size."""
    told = dict.fromkeys((name for name, _ in PARTS), 0)
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            told[next(name for name, pattern in PARTS if re.search(pattern, info.filename))] += info.compress_size
    told["names of files (zip)"] = path.stat().st_size - sum(told.values())
    return {name: size for name, size in told.items() if size}


def table(folder: str) -> None:
    """Each wheel: its size, what it asks of the C library, where its tests ran and what they closed with."""
    tests: dict[str, list[str]] = {}
    if (said := pathlib.Path(folder) / "tests").exists():
        for line in said.read_text().splitlines():
            wheel, where, closing = line.split("\t")
            tests.setdefault(wheel, []).append(f"{where}: {closing}")
    print("| wheel (`slowlens-0.1.0-`) | bytes | libc | tests |\n|---|---|---|---|")
    for path in sorted(pathlib.Path(folder).glob("*.whl")):
        with tempfile.TemporaryDirectory() as place, zipfile.ZipFile(path) as archive:
            archive.extractall(place)
            [extension] = pathlib.Path(place).glob("slowlens/_core*.so")
            libc = f"glibc {''.join(newest)}" if (newest := needs(extension)[1]) else "musl"
        tag = "-".join(path.stem.split("-")[3:])
        print(f"| `{tag}` | {path.stat().st_size:,} | {libc} | {'; '.join(tests.get(path.name, ['not run']))} |")


def check(folder: str) -> bool:
    """A table of the wheels; False: one of them is not as it must be."""
    good = True
    print(f"{'file':66} {'bytes':>8}  glibc  needs")
    for path in sorted(pathlib.Path(folder).glob("*.whl")):
        faults = []
        with tempfile.TemporaryDirectory() as place, zipfile.ZipFile(path) as archive:
            archive.extractall(place)
            [extension] = pathlib.Path(place).glob("slowlens/_core*.so")
            libraries, newest, exported = needs(extension)
            if extra := [name for name in exported if name != "PyInit__core"]:
                faults.append(f"exports {extra[:5]}")
            if extra := set(libraries) - ALLOWED_LIBRARIES:
                faults.append(f"needs {sorted(extra)}")
            if not list(pathlib.Path(place).glob("*.dist-info/sboms/*.cdx.json")):
                faults.append("no SBOM")
        size, inside = path.stat().st_size, parts(path)
        if size > MAX_BYTES:
            faults.append(f"larger than {MAX_BYTES} bytes")
        if inside["extension"] > MAX_EXTENSION:
            faults.append(f"extension larger than {MAX_EXTENSION} bytes")
        if "manylinux" in path.name:
            shown = subprocess.run([sys.executable, "-m", "auditwheel", "show", path], capture_output=True, text=True)
            said = " ".join(shown.stdout.split())
            wanted = re.search(r"manylinux_\d+_\d+", path.name)[0]
            found = re.search(r'following platform tag: "(manylinux_(\d+)_(\d+))', said)
            if found is None or (int(found[2]), int(found[3])) > tuple(map(int, wanted.split("_")[1:])):
                faults.append(f"auditwheel: {said[-200:] or shown.stderr[-200:]}")
        print(f"{path.name:66} {size:8}  {''.join(newest) or '-':5}  {' '.join(libraries)}")
        for fault in faults:
            good = False
            print(f"   WRONG: {fault}")
    told = ", ".join(f"{name} {part}" for name, part in inside.items())
    print(f"\nwhat the last of them consists of, in bytes: {told}")
    return good


if __name__ == "__main__":
    if sys.argv[1:2] == ["pack"]:
        pack(*sys.argv[2:])
    elif sys.argv[1:2] == ["table"] and len(sys.argv) == 3:
        table(sys.argv[2])
    elif sys.argv[1:2] == ["check"] and len(sys.argv) == 3:
        sys.exit(not check(sys.argv[2]))
    else:
        sys.exit(__doc__)
