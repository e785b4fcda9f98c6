"""What ``slowlens COMMAND --help`` ends with: commands as one would type them. The tests have the parser take each."""

from __future__ import annotations

import argparse

#: Of ``slowlens --help``: the first things to ask.
FIRST = """\
slowlens list --sort wall_ms  # the slowest stored requests
slowlens explain slowest      # why that one was slow, and where
slowlens tree last            # the call tree of the newest one
slowlens list --routes        # the routes, with percentiles
slowlens diff slowest last    # what changed between two requests
slowlens serve                # the viewer, without your app
slowlens doctor               # what is wrong with this installation"""

EXAMPLES = {
    "list": """\
slowlens list --sort wall_ms --limit 10
slowlens list --filter '/books/ >200ms tag:user=anna last:1h'
slowlens list --routes
slowlens list --live""",
    "show": """\
slowlens show slowest
slowlens show downloaded.slowlens""",
    "tree": """\
slowlens tree last
slowlens tree slowest --percent 5 --no-fold""",
    "top": """\
slowlens top slowest --sort cumtime --limit 10
slowlens top last deepcopy --callers""",
    "lines": """\
slowlens lines last
slowlens lines last views.py""",
    "export": """\
slowlens export slowest -f speedscope -o slow.speedscope.json
slowlens export last -f pstats -o last.pstats""",
    "flame": """\
slowlens flame /books/
slowlens flame --last 15m -o site.html""",
    "diff": """\
slowlens diff slowest last
slowlens diff last:1h/1d last:1h --route /books/
slowlens diff before.slowlens after.slowlens --fail-over 20%""",
    "compare": """\
slowlens compare /books/
slowlens compare /books/ --where release=b --against release=a""",
    "explain": """\
slowlens explain slowest
slowlens explain /books/ --budget 600""",
    "check": """\
slowlens check
slowlens check profiles/ --against before/""",
    "regressions": """\
slowlens regressions
slowlens regressions --release 2.1 --fail""",
    "replay": """\
slowlens replay slowest -n 10
slowlens replay last --query page=2 --header 'Cookie: sessionid=...'""",
    "skill": """\
slowlens skill -o .claude/skills/slowlens/SKILL.md""",
    "mcp": """\
slowlens mcp --store /srv/app/profiles""",
    "merge": """\
slowlens merge route:/books/ -o books.slowlens""",
    "run": """\
slowlens run script.py --option-of-the-script
slowlens run -o tests.slowlens -m pytest tests""",
    "serve": """\
slowlens serve
slowlens serve downloaded.slowlens""",
    "delete": """\
slowlens delete 01m8c9rs0p5mfp45hadxhfyw3m""",
    "copy": """\
slowlens copy /srv/app/profiles postgresql://slowlens@db/slowlens""",
    "gc": """\
slowlens gc --store /srv/app/profiles""",
    "token": """\
slowlens token --url https://shop.example
curl -H "$(slowlens token --trigger --url https://shop.example)" \\
     https://shop.example/report/""",
    "doctor": """\
slowlens doctor
slowlens doctor --store /srv/app/profiles""",
}


class Help(argparse.HelpFormatter):
    """argparse's own, but for the examples at the end: they stay as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith("examples:") else super()._fill_text(text, width, indent)


def epilog(text: str) -> str:
    return "examples:\n" + "\n".join(f"  {line}" for line in text.splitlines())
