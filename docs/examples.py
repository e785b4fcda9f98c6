"""What the manual shows of a terminal: real output, of requests to the demo (examples/profiles).

    PYTHONPATH=... python docs/examples.py          writes what each block shows anew
    PYTHONPATH=... python docs/examples.py --check  exit 1 if one is not what its command prints

A block stands behind ``<!-- prints: slowlens ... -->``, and begins with that command; a last line ``...`` says that
the rest is left out. The profiles were recorded by slowlens from examples/shop and examples/starlette_feed under
gunicorn and uvicorn: reading them prints the same everywhere.
"""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import re
import shlex
import sys

from slowlens import cli

ROOT = pathlib.Path(__file__).resolve().parents[1]
FILES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^<!-- prints: slowlens (.*?) -->\n```console\n\$ .*?\n(.*?)^```$", re.M | re.S)


def printed(command: str) -> str:
    """What ``slowlens COMMAND`` prints in an empty folder that has the profiles."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        cli.main(shlex.split(command))
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip().splitlines()) + "\n"


def shown(found: re.Match[str]) -> str:
    """The block as it should be: as many lines as it has, where it ends with ``...``."""
    text = printed(found[1])
    if found[2].endswith("...\n"):
        text = "".join(text.splitlines(keepends=True)[:len(found[2].splitlines()) - 1]) + "...\n"
    return f"<!-- prints: slowlens {found[1]} -->\n```console\n$ slowlens {found[1]}\n{text}```"


def main() -> None:
    os.chdir(ROOT / "examples" / "profiles")
    os.environ["COLUMNS"] = "118"
    wrong, count = [], 0
    for file in FILES:
        text = file.read_text()
        count += len(BLOCK.findall(text))
        real = BLOCK.sub(shown, text)
        if real != text and "--check" in sys.argv:
            wrong.append(str(file.relative_to(ROOT)))
        elif real != text:
            file.write_text(real)
    print(f"{count} blocks")
    if wrong or not count:
        sys.exit(f"not what slowlens prints: {', '.join(wrong)} (python docs/examples.py)")


if __name__ == "__main__":
    main()
