"""What shells and `man` know of the command line, made from its parser.

    PYTHONPATH=... python docs/share.py          write pymiddleware/share/
    PYTHONPATH=... python docs/share.py --check  exit 1 if what is there is not what would be written

The files are kept in the repository and go into each wheel (share/man, share/bash-completion, share/zsh, share/fish),
so that installing needs no generator (shtab, for the shells).
"""

from __future__ import annotations

import argparse
import os
import pathlib
import re
import sys

import shtab

from slowlens import cli
from slowlens.cli.examples import EXAMPLES, FIRST

SHARE = pathlib.Path(__file__).resolve().parents[1] / "pymiddleware" / "share"

ABOUT = """
.PP
.BR "python \\-m slowlens" ,
.B manage.py slowlens
and
.B flask slowlens
are the same program, the last two on the profiles of their app.
"""

END = """
.SH EXIT STATUS
.TP
.B 0
Done.
.TP
.B 1
The answer is no:
.BR check ", " doctor ", " "diff \\-\\-fail\\-over" " and " "regressions \\-\\-fail"
found something. For
.BR copy ,
something could not be taken along.
.TP
.B 2
It could not be asked; one line says why.
.SH ENVIRONMENT
.TP
.B SLOWLENS_STORE
Where the profiles are, without
.BR \\-\\-store .
.TP
.B SLOWLENS_KEY
What
.B token
signs with: the app's option
.BR key .
.SH FILES
.TP
.I ~/.local/state/slowlens/
Profiles, a folder for each folder that an app runs in (below
.B XDG_STATE_HOME
where that is set).
.TP
.I slowlens.toml
Budgets for
.BR check .
"""


def roff(text: str) -> str:
    """A text as it is: no line of it is a request, no hyphen another character."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.M)


def usage(parser: argparse.ArgumentParser) -> str:
    """One line, which `man` breaks between arguments only."""
    words = " ".join(parser.format_usage().removeprefix("usage: ").split())
    words = words.replace("[-h] ", "")
    if parser.prog != "slowlens":
        words = words.replace("[--store STORE] ", "")  # each has it: said once, at the top
    return re.sub(r"\[[^]]*\]", lambda found: found[0].replace(" ", "\\~"), roff(words))


def arguments(parser: argparse.ArgumentParser) -> list[str]:
    lines = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) or "--help" in action.option_strings:
            continue
        if parser.prog != "slowlens" and action.dest == "store":
            continue
        if action.choices and not action.metavar:
            value = "{" + ",".join(map(str, action.choices)) + "}"
        else:
            value = str(action.metavar or (action.dest.upper() if action.option_strings else action.dest))
        value = "" if action.nargs == 0 else value
        head = ", ".join(f"\\fB{roff(option)}\\fR" for option in action.option_strings)
        if value and action.nargs == "?" and head:
            value = f"[{value}]"
        lines += [".TP", f"{head} \\fI{roff(value)}\\fR".strip() if value else head,
                  roff((action.help or "").replace("%%", "%"))]
    return lines


def shown(examples: str) -> list[str]:
    return [".PP", ".nf", ".RS 2", roff(examples), ".RE", ".fi"]


def man() -> str:
    parser = cli._parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    # The day of the build says nothing, and makes each build another.
    lines = ['.TH SLOWLENS 1 "" slowlens "User Commands"', ".nh", ".ad l",
             ".SH NAME", "slowlens \\- request profiles: list, read, compare, export",
             ".SH SYNOPSIS", usage(parser),
             ".SH DESCRIPTION", roff(parser.description or ""), ABOUT.strip(),
             ".SH OPTIONS", *arguments(parser),
             ".SH EXAMPLES", *shown(FIRST)[1:],
             ".SH COMMANDS"]
    for name, sub in commands.choices.items():
        lines += [f".SS {roff(sub.prog)}", usage(sub), ".PP", roff(sub.description or ""), *arguments(sub)]
        if name in EXAMPLES:
            lines += shown(EXAMPLES[name])
    return "\n".join([*lines, END.strip()])


#: Where names of files are completed, and where of folders.
FILES = {"paths", "profile", "profiles", "before", "after", "file", "files", "output", "markdown", "script", "source"}
FOLDERS = {"store", "against", "target"}


def completion(shell: str) -> str:
    def tell(parser: argparse.ArgumentParser) -> None:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for sub in action.choices.values():
                    tell(sub)
            elif action.metavar not in ("ID", "URL", "KEY=VALUE") and action.dest in FILES | FOLDERS:
                action.complete = shtab.FILE if action.dest in FILES else shtab.DIRECTORY  # type: ignore[attr-defined]

    parser = cli._parser()
    tell(parser)
    return str(shtab.complete(parser, shell))


def files() -> dict[str, str]:
    return {
        "man/man1/slowlens.1": man(),
        "bash-completion/completions/slowlens": completion("bash"),
        "zsh/site-functions/_slowlens": completion("zsh"),
        "fish/vendor_completions.d/slowlens.fish": completion("fish"),
    }


if __name__ == "__main__":
    os.environ |= {"COLUMNS": "80", "NO_COLOR": "1"}
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
