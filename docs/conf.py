"""Sphinx configuration. Builds without a network: theme, fonts and search are local.

Pages of the reference that repeat a table of the code are made from it here,
so that they cannot differ: options, the command line, exports, metadata.
"""

from __future__ import annotations

import argparse
import io
import pathlib
import re
import sys
from contextlib import redirect_stdout

ROOT = pathlib.Path(__file__).resolve().parents[1]

project = "slowlens"
author = "the slowlens developers"
copyright = "the slowlens developers, MIT licence"
version = release = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.M)[1]

extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"slowlens {version}"
html_show_sphinx = False
html_static_path = []
autodoc_typehints = "description"
autodoc_member_order = "bysource"
nitpicky = False
suppress_warnings = ["myst.header"]
linkcheck_ignore = [r"https?://.*"]

GENERATED = pathlib.Path(__file__).parent / "reference"


def options_page() -> str:
    from slowlens.options import OPTIONS

    lines = [
        "# Options", "",
        "As keywords (`ProfilerMiddleware(app, slow_ms=100)`), in Django's `SLOWLENS = {\"slow_ms\": 100}`, in Flask's",
        "`app.config[\"SLOWLENS_SLOW_MS\"]`, or in the environment (`SLOWLENS_SLOW_MS=100`); the first of these wins.",
        "`SLOWLENS_DISABLE=1` wins over all. An unknown or ill-typed option is an error at start-up that says what is "
        "meant.",
        "",
    ]
    for option in OPTIONS:
        default = "no default" if option.default in (None, (), "") else f"default `{option.default}`"
        if option.kind == "bytes" and option.default:
            default += f" ({option.default >> 20} MiB)"
        lines += [f"## `{option.name}`", "", f"*{option.kind}*, {default}, environment `{option.env}`", "",
                  option.doc, ""]
    return "\n".join(lines)


def parser_page() -> str:
    from slowlens import cli

    lines = [
        "# Command line", "", "`slowlens`, `python -m slowlens`, `manage.py slowlens` and `flask slowlens` are one",
        "program. Where the environment in which it is installed is activated, `man slowlens` shows this page. Shells",
        "complete commands, options and files once they know where to look (here of an environment `/srv/app/venv`):",
        "", "```sh",
        ". /srv/app/venv/share/bash-completion/completions/slowlens           # in ~/.bashrc",
        "fpath=(/srv/app/venv/share/zsh/site-functions $fpath)                # in ~/.zshrc, before compinit",
        "source /srv/app/venv/share/fish/vendor_completions.d/slowlens.fish   # in ~/.config/fish/config.fish",
        "```",
        "", "What it prints with `--help`:", "",
    ]

    def help_of(parser: argparse.ArgumentParser, title: str) -> None:
        text = io.StringIO()
        with redirect_stdout(text):
            parser.print_help()
        lines.extend([f"## `{title}`", "", "```text", text.getvalue().rstrip(), "```", ""])
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for name, sub in action.choices.items():
                    help_of(sub, f"slowlens {name}")

    help_of(cli._parser(), "slowlens")
    return "\n".join(lines)


def metadata_page() -> str:
    """The rows of the table in core, as it stands in core/README.md between its marks."""
    text = (ROOT / "core/README.md").read_text()
    start = text.index("## Metadata of a profile")
    end = text.find("\n## ", start + 4)
    return "# Metadata of a profile\n\n" + text[start:end].split("\n", 1)[1]


def exports_page() -> str:
    """The table of exports, with what its header says that each cannot hold."""
    from slowlens import _core

    head = (ROOT / "include/slowlens/export.h").read_text().split("*/")[0]
    lacks = dict(re.findall(r"^ \*   (\w+) {2,}(?:-|calls(?:, resumes)?) {2,}(.+)$", head, re.M))
    rows = "\n".join(f"| `{name}` | `{ending}` | {title} | {counts or '-'} | {lacks[name]} |"
                     for name, ending, _, title, counts in _core.EXPORTS)
    said = re.sub(r"^ \* ?", "", head, flags=re.M).split("\n\n")
    more = [text.replace("(core/framed.h)", "").replace(": slowlens/span.h", "") for text in said[-2:]]
    return ("# Exports\n\n`slowlens export ID -f FORMAT`, or *Download* in the viewer.\n\n"
            f"| format | ending | opens in | counts | cannot hold |\n|---|---|---|---|---|\n{rows}\n\n"
            + "\n\n".join(text.strip().replace(" .", ".").replace("\n.", ".") for text in more) + "\n")


def viewer_page() -> str:
    from slowlens.viewer import app
    from slowlens.viewer.parameters import describe

    lines = ["# Viewer URLs", "",
             "Below the viewer's path (`/__slowlens__/`). JSON unless said otherwise; times in what a name ends with",
             "(`_ns`, `_ms`), without an end as it says. The same",
             "for machines: `GET api/openapi.json` (OpenAPI 3.1), from the table that checks what is asked; the tests",
             "ask whatever it describes, and hold the answers against it.", "", "| | below the viewer's path | what |",
             "|---|---|---|"]
    described = describe(app.ROUTES, "", version)["paths"]
    lines += [f"| {method.upper()} | `{path[1:] or '.'}` | {operation['summary']} |"
              for path, operations in described.items() for method, operation in operations.items()]
    lines += ["", "What the answers hold, as the module that gives them says it:", "",
              "```text", (app.__doc__ or "").strip(), "```", "", "## Parameters", ""]
    for path, operations in described.items():
        for method, operation in operations.items():
            rows = [row for row in operation["parameters"] if row["in"] == "query"]
            if not rows or not path.startswith("/api/"):
                continue
            lines += [f"### `{method.upper()} {path[1:]}`", "", operation["summary"], "",
                      "| parameter | what | default |", "|---|---|---|"]
            lines += [f"| `{row['name']}`{' (required)' if row['required'] else ''} | {row['description']} | "
                      f"{row['schema'].get('default', '')} |" for row in rows]
            lines.append("")
    return "\n".join(lines)


def header_page(name: str, title: str, path: str, said: str) -> str:
    return f"# {title}\n\n{said}\n\n```{{literalinclude}} ../../{path}\n:language: c\n```\n"


def generate(app: object) -> None:
    pages = {
        "options": options_page(), "cli": parser_page(), "metadata": metadata_page(), "exports": exports_page(),
        "viewer": viewer_page(),
        "format": header_page("format", "The file format", "core/blob.h",
                              "One `.slowlens` file is one zstd frame. This is the header that writer and reader "
                              "share."),
    }
    headers = sorted((ROOT / "include/slowlens").glob("*.h"))
    c_api = ["# C API", "", "The core is plain C11 without Python: link `libsl_core.a`, include these. An example that",
             "records and prints a profile without Python is `examples/embed.c`.", ""]
    for header in headers:
        c_api += [f"## `slowlens/{header.name}`", "", f"```{{literalinclude}} ../../include/slowlens/{header.name}",
                  ":language: c", "```", ""]
    pages["c-api"] = "\n".join(c_api)
    for name, text in pages.items():
        path = GENERATED / f"{name}.md"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def setup(app: object) -> None:
    generate(app)


if __name__ == "__main__":
    generate(None)
    sys.exit(0)
