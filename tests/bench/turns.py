"""Builds that are measured by turns: each in a process of its own, one round each, so that all meet the same load."""

from __future__ import annotations

import os
import subprocess
import sys


def by_turns(script: str, paths: list[str], rounds: int, arguments: list[str]) -> list[list[list[float]]]:
    """Of each path's ``slowlens`` ("": the one that is installed) and each round, the numbers that ``script --serve``
    wrote: a line for each line that it is sent. The first one warms up, and is left out."""
    asked = []
    for path in paths:
        environment = {**os.environ, **({"PYTHONPATH": path} if path else {})}
        asked.append(subprocess.Popen([sys.executable, script, "--serve", *arguments], text=True, env=environment,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE))
    found: list[list[list[float]]] = [[] for _ in paths]
    for number in range(rounds + 1):
        for process, told in zip(asked, found, strict=True):
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write("\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if number:
                told.append([float(part) for part in line.split()])
    for process in asked:
        process.communicate()
        assert process.returncode == 0
    return found
