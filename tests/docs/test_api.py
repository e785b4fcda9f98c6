"""What is public says what it is: each function of the headers, each object of the page *Python API*."""

from __future__ import annotations

import importlib
import inspect
import pathlib
import re
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_each_function_of_the_headers_has_a_comment() -> None:
    """Above it, or above the group without an empty line that it stands in."""
    seen, bad = 0, []
    for header in sorted((ROOT / "include/slowlens").glob("*.h")):
        for group in re.split(r"\n\s*\n", header.read_text()):
            names = re.findall(r"^(?!#|typedef| \*|/\*)\S.*?\b(sl_\w+)\(", group, re.M)
            seen += len(names)
            if names and "/*" not in group.split(names[0] + "(")[0]:
                bad.append(f"{header.name}: {names[0]}")
    assert seen > 200 and bad == []


def public() -> list[tuple[str, Any]]:
    text = (ROOT / "docs/reference/python.md").read_text()
    found = []
    for name, members in re.findall(r"\.\. auto(?:class|function):: (\S+)\n(?:   :members: ?(.*)\n)?", text):
        module, _, last = name.rpartition(".")
        target = getattr(importlib.import_module(module), last)
        found.append((name, target))
        wanted = [one.strip() for one in members.split(",") if one.strip()]
        if re.search(rf"{re.escape(name)}\n   :members:\n", text):
            wanted = [one for one in vars(target) if not one.startswith("_") and callable(getattr(target, one))]
        found += [(f"{name}.{one}", inspect.getattr_static(target, one)) for one in wanted]
    return found


def test_each_public_object_says_what_it_takes() -> None:
    import slowlens

    objects = public()
    named = {name for name, _ in objects}
    assert {f"slowlens.{name}" for name in slowlens.__all__ if name != "__version__"} <= named
    bad = []
    for name, target in objects:
        said = inspect.getdoc(target) or ""
        if not said:
            bad.append(f"{name}: nothing")
            continue
        try:
            of = target.__init__ if inspect.isclass(target) and "__init__" in vars(target) else target
            parameters = inspect.signature(of).parameters.values()
        except (TypeError, ValueError):  # a property
            continue
        kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        bad += [f"{name}: {one.name}" for one in parameters if one.name != "self" and one.kind not in kinds
                and not one.name.startswith("_") and not re.search(rf"\b{one.name}\b", said)]
    assert len(objects) > 20 and bad == []


def test_each_object_of_the_core_says_what_it_is() -> None:
    """Of ``slowlens._core``: functions, classes, and what these have."""
    from slowlens import _core

    seen, silent = 0, []
    for name, value in vars(_core).items():
        if name.startswith("_") or not (isinstance(value, type) or inspect.isbuiltin(value)):
            continue
        members = vars(value).items() if isinstance(value, type) else ()
        for told, one in [(name, value), *((f"{name}.{part}", of) for part, of in members if part[0] != "_")]:
            seen += 1
            if not getattr(one, "__doc__", None):
                silent.append(told)
    assert seen > 150 and silent == []
