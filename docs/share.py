"""What shells and `man` know of the command line, made from its parser.

    PYTHONPATH=... python docs/share.py          write pymiddleware/share/
    PYTHONPATH=... python docs/share.py --check  exit 1 if what is there is not what would be written

The files are kept in the repository and go into each wheel (share/man, share/bash-completion, share/zsh), so that
installing needs neither of the two generators: shtab and argparse-manpage.
"""

from __future__ import annotations

import pathlib
import re
import sys

import shtab
from build_manpages.manpage import Manpage

from slowlens import cli

SHARE = pathlib.Path(__file__).resolve().parents[1] / "pymiddleware" / "share"


def man() -> str:
    parser = cli._parser()
    parser.man_short_description = "request profiles: list, read, compare, export"
    text = str(Manpage(parser))
    # The day of the build says nothing, and makes each build another.
    return re.sub(r'^\.TH .*$', '.TH SLOWLENS "1" "" "slowlens" "User Commands"', text, count=1, flags=re.M)


def files() -> dict[str, str]:
    return {
        "man/man1/slowlens.1": man(),
        "bash-completion/completions/slowlens": shtab.complete(cli._parser(), "bash"),
        "zsh/site-functions/_slowlens": shtab.complete(cli._parser(), "zsh"),
    }


if __name__ == "__main__":
    different = []
    for name, text in files().items():
        path = SHARE / name
        text = "\n".join(line.rstrip() for line in text.strip().splitlines()) + "\n"
        if "--check" in sys.argv:
            if not path.is_file() or path.read_text() != text:
                different.append(name)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    if different:
        sys.exit(f"not as the parser says: {', '.join(different)} (python docs/share.py)")
