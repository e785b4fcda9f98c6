"""The documentation: builds without a warning or a network, and its tutorials do what they say.

A tutorial is run as it is written, in an empty folder and one shell: a block
that begins with ``# file: NAME`` is written to that file, that line included
as a reader's copy has it, ``# add to: NAME`` appended; in a ``console`` block
each line after ``$`` is a command and what follows is its output. In outputs
digits count as any digits but for line numbers of the tutorial's own files,
ids as any id, runs of spaces as one, and ``...`` as anything; how much of the
libraries is folded, and whether a row is on the hot path, differs with the
interpreter and is not compared.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import pathlib
import re
import shlex
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    out = tmp_path_factory.mktemp("site")
    options = ["-q", "-W", "--keep-going", "-d", out / "trees"]
    subprocess.run([sys.executable, "-m", "sphinx", *options, DOCS, out / "html"], check=True)
    return out / "html"


def test_builds_and_asks_nobody_else(site: pathlib.Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        loads = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="([^"]+)"', page.read_text())
        assert [found for found in loads if re.match(r"(https?:)?//", found)] == [], page
    for style in site.rglob("*.css"):
        assert not re.search(r"@import\s+(url\()?[\"']?(https?:)?//|url\([\"']?(https?:)?//", style.read_text()), style
    assert (site / "searchindex.js").stat().st_size > 10_000


def test_spelling() -> None:
    files = [str(path) for pattern in ("docs/**/*.md", "*.md", "pymiddleware/slowlens/**/*.py")
             for path in ROOT.glob(pattern)]
    ours = "--ignore-words-list=selectin,ue,connexion,thirdparty,asend"
    run = subprocess.run([sys.executable, "-m", "codespell_lib", ours, *files],
                         capture_output=True, text=True)
    assert run.stdout.strip() == "", run.stdout


def test_man_and_shells_know_the_command_line() -> None:
    """What is in pymiddleware/share is what its parser says; a shell completes commands and options from it."""
    subprocess.run([sys.executable, DOCS / "share.py", "--check"], check=True)
    share = ROOT / "pymiddleware" / "share"
    script = """
        source "$0"; complete() {{ :; }}
        COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
        _shtab_slowlens; printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    fish = share / "fish" / "vendor_completions.d" / "slowlens.fish"
    for words, expected in (("slowlens do", "doctor"), ("slowlens list --rou", "--route"),
                            ("slowlens export --format pp", "pprof"), ("slowlens show /et", "/etc")):
        asked = {"bash": ["bash", "-c", script.format(words=words), share / "bash-completion/completions/slowlens"],
                 "fish": ["fish", "--no-config", "-c", f"source {fish}; complete -C '{words}'"]}
        for shell, command in asked.items():
            answer = subprocess.run(command, capture_output=True, text=True)
            assert expected in answer.stdout.replace("/\n", "\n").split(), (shell, words, answer)
            assert answer.stderr == "", (shell, words)
    loaded = subprocess.run(
        ["zsh", "-fc", f"fpath=({share}/zsh/site-functions $fpath); autoload -Uz compinit; compinit -u -D; "
         "print $_comps[slowlens]; autoload +X _slowlens && whence -f _slowlens"], capture_output=True, text=True)
    assert loaded.stdout.startswith("_slowlens\n") and "doctor:" in loaded.stdout and not loaded.stderr, loaded


def test_the_manual_page_says_what_help_says() -> None:
    """As `man` renders it at 80 columns: without a warning, no line longer, and no word of ``--help`` lost."""
    from slowlens import cli

    page = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-rLL=80n", "-P-c", "-P-bou",
                           ROOT / "pymiddleware/share/man/man1/slowlens.1"], capture_output=True, text=True)
    assert page.returncode == 0 and page.stderr == ""
    assert [line for line in page.stdout.splitlines() if len(line) > 80] == []
    text = re.sub(r"[\s\N{HYPHEN}]+", "", page.stdout.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    missing = []
    for parser in commands_of(cli._parser()):
        said = [parser.description or "", *(parser.epilog or "").splitlines()[1:]]
        said += [action.help or "" for action in parser._actions if "--help" not in action.option_strings]
        missing += [f"{parser.prog}: {words}" for words in said
                    if re.sub(r"\s+", "", words.replace("%%", "%")) not in text]
    assert missing == []


def test_each_command_has_examples_and_each_is_one() -> None:
    """What ``--help`` ends with: the parser takes it."""
    from slowlens import cli
    from slowlens.cli.examples import EXAMPLES, FIRST

    names = {parser.prog.removeprefix("slowlens ") for parser in commands_of(cli._parser())}
    assert names == {"slowlens", "functions", *EXAMPLES}
    for example in "\n".join([FIRST, *EXAMPLES.values()]).splitlines():
        if found := re.search(r"slowlens ([a-z].*?)(?:\)\"|\s+#|$)", example):
            cli._parser().parse_args(shlex.split(found[1]))


def commands_of(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                yield from commands_of(sub)


def test_help_fits_a_terminal_and_leaves_nothing_unsaid() -> None:
    """``--help`` of each command at 80 columns; each argument has its words."""
    from slowlens import cli

    found = list(commands_of(cli._parser()))
    assert len(found) > 20
    for parser in found:
        silent = [action.dest for action in parser._actions
                  if not action.help and not isinstance(action, argparse._SubParsersAction)]
        assert silent == [], parser.prog
    script = "from slowlens import cli; p = cli._parser(); print(p.format_help())\n"
    script += "for a in p._actions:\n for s in getattr(a, 'choices', None) or (): print(a.choices[s].format_help())"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True,
                          env=os.environ | {"COLUMNS": "80"}).stdout
    assert "slowlens doctor" in told
    assert [line for line in told.splitlines() if len(line) > 80] == []


def test_what_the_manual_shows_is_what_is_printed() -> None:
    """Blocks that show what a command prints, of requests to the demo; and lines of the log, as a tutorial has them."""
    subprocess.run([sys.executable, DOCS / "examples.py", "--check"], check=True)
    lines = [line for file in MANUAL if file not in TUTORIALS
             for line in re.findall(r"^    (slow: .*)$", file.read_text(), re.M)]
    (said,) = re.findall(r"^slow: .*$", (DOCS / "tutorials" / "django.md").read_text(), re.M)
    assert len(lines) == 2
    assert [line for line in lines if not pattern(said).search(plain(line))] == []


def test_links_within_the_repository() -> None:
    """Markdown outside the site: each relative link leads to a file."""
    bad = []
    for file in [*ROOT.glob("*.md"), *ROOT.glob("core/*.md"), *ROOT.glob("tests/**/*.md"),
                 *ROOT.glob("pymiddleware/**/*.md"), *ROOT.glob("examples/**/*.md")]:
        for target in re.findall(r"\]\(([^)\s#]+)[^)]*\)", file.read_text()):
            if not re.match(r"[a-z]+:", target) and not (file.parent / target).exists():
                bad.append(f"{file.relative_to(ROOT)}: {target}")
    assert bad == []


def test_files_that_the_maps_name_are_there() -> None:
    """What CONTRIBUTING and the maps of core and native say where to look: each path, and each file's name."""
    #: CPython's.
    theirs = {"Python.h", "Python/hamt.c", "context.c"}
    native = "pymiddleware/native"
    maps = {"CONTRIBUTING.md": (".", "pymiddleware/slowlens", native),
            "core/README.md": (".", "core", "include", "pymiddleware"),
            f"{native}/README.md": (".", native, "pymiddleware")}
    seen, bad = 0, []
    for name, folders in maps.items():
        for span in re.findall(r"`([^`\s]+)`", (ROOT / name).read_text()):
            if span in theirs or not re.fullmatch(r"[\w.*-]+/[\w.*/-]*|[\w*-]+\.(?:c|h|py|md|sh|txt)", span):
                continue
            seen += 1
            path = span.replace("NAME", "*").rstrip("/")
            found = any(any((ROOT / folder).glob(path)) for folder in folders)
            if "/" not in span:
                found = any(any((ROOT / part).rglob(path)) for part in ("core", "include", "pymiddleware", "tests"))
            if not found:
                bad.append(f"{name}: {span}")
    assert seen > 60 and bad == []


def test_the_map_of_the_house_names_every_folder() -> None:
    """CONTRIBUTING names each folder: of the repository, of the package, of the glue, of the tests."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    folders = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    below = ("pymiddleware", "tests", "pymiddleware/slowlens", "pymiddleware/native")
    found = {str(parent) for file in folders.splitlines() for parent in pathlib.PurePath(file).parents
             if str(parent) != "." and ("/" not in str(parent) or str(parent.parent) in below)}
    missing = [folder for folder in sorted(found) if f"`{folder}" not in text
               and not (folder.startswith("pymiddleware/") and f"`{folder.rpartition('/')[2]}/`" in text)
               and folder not in ("pymiddleware", "tests")]
    assert len(found) > 30 and missing == []


def test_figures_of_the_readme_are_the_bench_s() -> None:
    """Each number of the README's table of costs stands in the tables of tests/bench."""
    text = (ROOT / "README.md").read_text()
    measured = (ROOT / "tests/bench/README.md").read_text()
    table = text[text.index("## What it costs"):text.index("## What it does not do")]
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| |")]
    assert len(rows) == 10
    assert [(number, row) for row in rows for number in re.findall(r"\d[\d,]*(?:\.\d+)?x?", row)
            if not re.search(rf"(?<![\d.,]){re.escape(number)}(?![\d.])", measured)] == []


def blocks(text: str) -> list[tuple[str, str]]:
    return [(match[1], match[2]) for match in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.M | re.S)]


MANUAL = [ROOT / "README.md", *sorted(DOCS.glob("howto/*.md")), *sorted(DOCS.glob("explanation/*.md")),
          *sorted(DOCS.glob("tutorials/*.md")), DOCS / "index.md", DOCS / "troubleshooting.md"]


def test_each_command_in_the_manual_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    """``slowlens ...`` in a block for the shell: the command line takes it as it stands; in a sentence, its options.

    A token in a command is for the host that the command asks.
    """
    from slowlens import cli

    (commands,) = (action.choices for action in cli._parser()._actions
                   if isinstance(action, argparse._SubParsersAction))
    accepted = {name: set(sub._option_string_actions) for name, sub in commands.items()}
    seen, bad = 0, []
    for file in MANUAL:
        for words, asked in re.findall(r"\$\(slowlens (token [^)]*)\)\"? (https?://[^/\s`]+)", file.read_text()):
            seen += 1
            if cli._parser().parse_args(shlex.split(words)).url != asked:
                bad.append(f"{file.relative_to(ROOT)}: {words}: not for {asked}")
        for kind, block in blocks(file.read_text()):
            if kind not in ("sh", "console", "bash"):
                continue
            for line in block.splitlines():
                if not (found := re.match(r"(?:\$ )?slowlens (.*)", line)):
                    continue
                seen += 1
                words = shlex.split(re.split(r"\s[|&]|\s*>", found[1])[0], comments=True)
                try:
                    cli._parser().parse_args(words)
                except SystemExit as end:
                    if end.code:
                        bad.append(f"{file.relative_to(ROOT)}: {line}: {capsys.readouterr().err.splitlines()[-1]}")
        for span in re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```$", "", file.read_text(), flags=re.M | re.S)):
            if found := re.match(r"slowlens ([a-z]+) (.*--.*)", span):
                seen += 1
                bad += [f"{file.relative_to(ROOT)}: {span}" for option in re.findall(r"--[a-z][a-z-]*", found[2])
                        if option not in accepted[found[1]]]
    assert seen > 30 and bad == []


def test_each_option_in_the_manual_is_one_and_each_block_is_read() -> None:
    """Python, TOML and JSON of the manual are what they say they are; what ``SLOWLENS`` is given are options."""
    from slowlens.options import OPTIONS

    names = {option.name for option in OPTIONS}
    variables = {option.env for option in OPTIONS} | {"SLOWLENS_DISABLE"}
    seen, bad = 0, []
    for file in MANUAL:
        text = file.read_text()
        bad += [f"{file.relative_to(ROOT)}: {found}" for found in re.findall(r"\bSLOWLENS_[A-Z_]+\b", text)
                if found not in variables]
        for kind, block in blocks(text):
            if kind == "toml":
                tomllib.loads(block)
            elif kind == "json":
                json.loads(block)
            elif kind == "python":
                for node in ast.walk(ast.parse(block.replace("[...", "[").replace(", ...]", "]"))):
                    if (isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
                            and getattr(node.targets[0], "id", "") == "SLOWLENS"):
                        seen += 1
                        bad += [f"{file.relative_to(ROOT)}: option {key.value}" for key in node.value.keys
                                if isinstance(key, ast.Constant) and key.value not in names]
    assert seen > 3 and bad == []


def test_what_the_terminal_is_said_to_say_is_said() -> None:
    """Each line that begins an entry of Troubleshooting stands in the sources, what it leaves out apart."""
    sources = "".join(path.read_text() for pattern in ("slowlens/**/*.py", "native/**/*.c")
                      for path in (ROOT / "pymiddleware").glob(pattern))
    sources += "".join((ROOT / folder / "CMakeLists.txt").read_text() for folder in ("core", "pymiddleware/native"))
    sources = re.sub(r'"\s*\\?\s*f?"', "", sources)  # texts that go on in the next line
    quoted = re.findall(r"^(`slowlens.*)\n: ", (DOCS / "troubleshooting.md").read_text(), re.M)
    pieces = [piece.strip().removeprefix("slowlens: ") for line in quoted for found in re.findall(r"`([^`]+)`", line)
              for piece in found.split("...")]
    assert len(quoted) > 10
    assert [piece for piece in pieces if piece not in ("", "slowlens:") and piece.strip(" ;,.") not in sources] == []


def pattern(expected: str) -> re.Pattern[str]:
    """What matches an output as it is printed in a tutorial."""
    words = re.escape(plain(expected)).replace("\\\n", "\n").replace("\\ ", " ")
    words = words.replace("\n\\.\\.\\.\n", "\n(?:.*?\n)?")  # whole lines, or none
    return re.compile(words.replace(r"\.\.\.", ".*?"), re.S)


#: Which line of the reader's own files: these are told, and must be right.
OWN_LINES = r"(\b(?:app|main|views)\.py:\d+|\bfrom line \d+)"


def plain(printed: str) -> str:
    lines = (line.rstrip() for line in printed.strip().splitlines())
    text = re.sub(r"\b0[0-9a-z]{25}\b", "ID", re.sub(r"▸|\[\d+ folded\]", "", "\n".join(lines)))
    text = re.sub(OWN_LINES + r"|\d+", lambda found: found[0] if found[1] else "0", text)
    return re.sub(r"[ \t]+", " ", text)


class Shell:
    """One bash that keeps its folder and environment, as the reader's does."""

    def __init__(self, folder: pathlib.Path, env: dict[str, str]) -> None:
        self.process = subprocess.Popen(["bash", "--norc"], cwd=folder, env=env, text=True, bufsize=1,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def run(self, command: str) -> str:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{command}\necho; echo '<done>'\n")
        printed = []
        for line in self.process.stdout:
            if line.strip() == "<done>":
                break
            printed.append(line)
        else:
            raise AssertionError(f"the shell ended at: {command}\n{''.join(printed)}")
        return "".join(printed)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.mark.parametrize("path", TUTORIALS, ids=[path.stem for path in TUTORIALS])
def test_tutorial(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """``WHEELS`` is a folder with a wheel of this tree: what the reader's pip would find."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    folder = tmp_path / "work"
    folder.mkdir()
    env = {name: value for name, value in os.environ.items() if not name.startswith(("SLOWLENS_", "PYTHON"))}
    env |= {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state"), "PIP_FIND_LINKS": os.environ["WHEELS"],
            "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_QUIET": "1", "PYTHONUNBUFFERED": "1", "PIP_PRE": "1",
            "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"}
    shell = Shell(folder, env)
    try:
        for kind, block in blocks(path.read_text().replace(":8000", f":{port}").replace(" 8000", f" {port}")):
            if found := re.match(r"# (file|add to): (\S+)\n", block):
                target = folder / found[2]
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("w" if found[1] == "file" else "a") as out:
                    out.write(block)
            elif kind == "console":
                for step in re.split(r"^\$ ", block, flags=re.M)[1:]:
                    command, _, expected = step.partition("\n")
                    if found := re.fullmatch(r"mkdir (\w+); cd \1", command):
                        folder = folder / found[1]
                    printed = shell.run(command)
                    if command.startswith(("pip ", "python3 -m venv")):
                        continue
                    assert pattern(expected).search(plain(printed)), (
                        f"$ {command}\n{printed}\n--- but the tutorial says\n{expected}")
    finally:
        shell.run("kill $(jobs -p) 2>/dev/null; wait")
        shell.close()
