"""Under the sampler's lock nothing of Python is called that allocates, drops a reference or runs code; ctest runs this.

The lock is taken by sl_py_lock and given back by sl_py_unlock or sl_py_unlock_drop. What stands between them in the
text of a function runs under it, and so does every function of the glue that is called from there, however deep.
Whoever is called with the lock held and gives it back in between (sl_py_unlock_drop ... sl_py_lock) is taken at its
word: what is between is outside.

What samples and events both write in the core (stretches of the timeline, marks) is written under the lock alone, and
by sampler/ alone (types/checkpoint.c and run/names.c take it too, and write neither): nobody else in native/ calls a
function of the core's that comes there, however deep.

And the two tables of native/README.md, "Locks", name each file that has a lock or an atomic word, and no other.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
NATIVE = ROOT / "pymiddleware/native"

TAKE = {"sl_py_lock"}
GIVE = {"sl_py_unlock", "sl_py_unlock_drop"}
#: Python's names that are types, constants or words: they call nothing. Each by its full name, and none of them is
#: excused where it is called.
HARMLESS = frozenset("""
    PyObject PyVarObject PyTypeObject PyThreadState PyInterpreterState PyCodeObject PyFrameObject PyGenObject
    PyASCIIObject PyCompactUnicodeObject PyBytesObject PyLongObject PyCFunctionObject PyMethodDescrObject
    PyWrapperDescrObject PyGetSetDescrObject PyDescrObject PyHamtObject PyWeakReference PyMethodDef PyMemberDef
    PyObject_HEAD PyObject_VAR_HEAD Py_ssize_t Py_True Py_False Py_None _PyInterpreterFrame _PyCFrame _PyRuntime
    _PyStackChunk Py_BUILD_CORE Py_TPFLAGS_TYPE_SUBCLASS PyUnicode_Type PyBytes_Type PyCode_Type PyFunction_Type
    PyMethod_Type PyCFunction_Type PyCMethod_Type PyModule_Type PyMethodDescr_Type PyClassMethodDescr_Type
    PyWrapperDescr_Type PyGetSetDescr_Type PyCapsule_Type PyCoro_Type PyGen_Type PyAsyncGen_Type
""".split())
#: What is called and only loads a field, or counts up. PyCompile_OpcodeStackEffectWithJump reads a table of its own.
LOADS = frozenset("""
    Py_TYPE Py_REFCNT Py_IS_TYPE Py_NewRef Py_XNewRef Py_INCREF PyCompile_OpcodeStackEffectWithJump
    PyThreadState_GetUnchecked _PyThreadState_UncheckedGet PyInterpreterState_Main
""".split())
#: The lock's own file, which is what the others call.
LOCK = "lock.c"


def functions(text: str) -> dict[str, str]:
    """Name -> body of each function that is defined in C as this project writes it: name and brace in column 0."""
    text = re.sub(r'"(\\.|[^"\\])*"', '""', re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.S))
    return {m[1]: m[2] for m in re.finditer(r"^(\w+)\((?:[^;{}]|\n)*?\)\n\{\n(.*?)^\}", text, re.M | re.S)}


#: What a block may end in so that nobody comes past its end.
LEAVES = {"return", "goto", "continue"}


def held(body: str, from_outside: bool) -> list[str]:
    """Words of a body that are read while the lock is held; `from_outside`: it is held when the function begins. What
    is called has its parenthesis. What a block does to the lock that ends in `return` (or `goto`, `continue`) is
    nothing to what stands behind that block."""
    words, locked = [], from_outside
    outer: list[bool] = []  # whether it was held where each open block began
    first = last = ""  # words: of this statement, and of the one before it in its block
    for token in re.findall(r"[A-Za-z_]\w*\s*\(?|[{};]", body):
        word = token.rstrip("( \t\n")
        if token == "{":
            outer.append(locked)
            first = last = ""
        elif token == "}":
            before = outer.pop()
            locked = before if last in LEAVES else locked
            first = last = ""
        elif token == ";":
            first, last = "", first
        else:
            first = first or word
            if word in TAKE:
                locked = True
            elif word in GIVE:
                locked = False
            elif locked:
                words.append(word + "(" * token.endswith("("))
    return words


#: What a file has that keeps a lock of its own, or a word that is read without one.
KEEPS = {
    "a lock": re.compile(r"\bpthread_(?:mutex|rwlock|spinlock)_t\s+\w+|\bsem_t\b|PyThread_type_lock|\bPyMutex\b"),
    "an atomic word": re.compile(r"\b__atomic_\w+\(|\b__sync_\w+\(|\b_Atomic\b|\batomic_\w+\("),
}


def untold() -> list[str]:
    """Where the tables of native/README.md and the code differ."""
    text = (NATIVE / "README.md").read_text()
    section = text[text.index("\n## Locks"):]
    section = section[:section.index("\n## ", 1)]
    first = [line.split("|")[1] for line in section.splitlines() if line.startswith("| ")]
    told = {name for cell in first for name in re.findall(r"`([\w/]+)\.[ch]`", cell)}
    found: dict[str, str] = {}
    for folder in (NATIVE, ROOT / "core"):
        for file in sorted(folder.rglob("*.[ch]")):
            name = file.relative_to(NATIVE if folder == NATIVE else ROOT).with_suffix("").as_posix()
            code = re.sub(r"/\*.*?\*/|//[^\n]*", "", file.read_text(), flags=re.S)
            for what, sign in KEEPS.items():
                if sign.search(code):
                    found[name] = what
    return [f"native/README.md, Locks: {name} has {found[name]}, and is in no table" if name in found
            else f"native/README.md, Locks: {name} is in a table, and has none" for name in sorted(found.keys() ^ told)]


def harmful(word: str) -> bool:
    """Whether it is a name of Python's that may allocate, drop a reference or run code."""
    name = word.rstrip("(")
    return re.match(r"_?Py[A-Z_]", name) is not None and name not in (LOADS if word.endswith("(") else HARMLESS | LOADS)


def followed(files: dict[pathlib.Path, dict[str, str]]) -> tuple[list[str], int, int]:
    """Where Python is called under the lock; how many functions take it, and how many run under it."""
    everywhere = {name: file for file, bodies in files.items() for name in bodies if name.startswith("sl_py_")}
    seen: set[tuple[pathlib.Path, str]] = set()
    bad: list[str] = []
    ranges = 0

    def look(file: pathlib.Path, words: list[str], path: str) -> None:
        for word in words:
            name = word.rstrip("(")
            if harmful(word):
                bad.append(f"{path}: {name}")
            home = file if name in files[file] else everywhere.get(name)
            if home is None or (home, name) in seen or not word.endswith("("):
                continue
            seen.add((home, name))
            look(home, held(files[home][name], True), f"{path} > {name}")

    for file, bodies in files.items():
        for name, body in bodies.items():
            if TAKE & set(re.findall(r"\w+", body)):
                ranges += 1
                look(file, held(body, False), name)
    return bad, ranges, len(seen)


#: What writes the two.
SHARED = {"sl_stretches_add", "sl_sampled_mark"}
#: Who comes there with what no look is at: a recording that is over, a copy.
ALONE = {"sl_recording_stop", "sl_frozen_thaw"}


def past(core: dict[str, str], outside: dict[str, str]) -> list[tuple[str, str]]:
    """Functions of `outside` that come to them through the core, each with what it calls there."""
    calls = {name: set(re.findall(r"\b(\w+)\(", body)) for name, body in core.items()}
    ways = set(SHARED)
    while more := {name for name, called in calls.items() if name not in ways and called & ways}:
        ways |= more
    return [(name, word) for name, body in outside.items()
            for word in sorted((ways - ALONE) & set(re.findall(r"\b(sl_\w+)\(", body)))]


def shared() -> list[str]:
    """Where native/ comes to them past sampler/."""
    core = {name: body for file in sorted((ROOT / "core").glob("*.[ch]"))
            for name, body in functions(file.read_text()).items()}
    bad = [f"{file.relative_to(ROOT)}: {name} calls {word}, which writes what samples write: sampler/'s affair"
           for file in sorted(NATIVE.rglob("*.c")) if file.parent.name != "sampler"
           for name, word in past(core, functions(file.read_text()))]
    bad += [f"core/ has no {name}: this lint does not see who calls it"
            for name in sorted((SHARED | ALONE) - core.keys())]
    if (found := past(*PLANTED_PAST)) != [("f", "sl_way")]:
        bad.append(f"this lint finds {found} of what was planted past sampler/, not sl_way in f")
    return bad


#: Bodies of functions, and what this lint is to find in each.
PLANTED = {
    "behind a branch that gives it back and returns": (
        "sl_py_lock(); if (over) { sl_py_unlock(); return; } Py_DECREF(x); sl_py_unlock();", ["f: Py_DECREF"]),
    "behind one that goes on with the loop": (
        "for (;;) { sl_py_lock(); if (over) { sl_py_unlock(); continue; } Py_DECREF(x); sl_py_unlock(); }",
        ["f: Py_DECREF"]),
    "of calls that are named like types": (
        "sl_py_lock(); PyObject_CallObject(x, NULL); PyErr_SetObject(x, y); PyUnicode_FromObject(x);"
        "PyInterpreterState_GetDict(i); sl_py_unlock();",
        ["f: PyObject_CallObject", "f: PyErr_SetObject", "f: PyUnicode_FromObject", "f: PyInterpreterState_GetDict"]),
    "in what is called": ("sl_py_lock(); g(x); sl_py_unlock();", ["f > g: Py_DECREF"]),
    "outside": (
        "sl_py_lock(); PyObject *x = Py_NewRef(y); if (over) { sl_py_unlock(); Py_DECREF(x); return; }"
        "sl_py_unlock(); Py_DECREF(x);", []),
}

#: A core, and who calls it: by way of another function; by one that is excused; not at all.
PLANTED_PAST = (
    {"sl_stretches_add": "", "sl_way": "if (x)\n sl_further(x);", "sl_further": "sl_stretches_add(x, y);",
     "sl_recording_stop": "sl_further(x);", "sl_other": "sl_stretches_free(x);"},
    {"f": "sl_way(x); sl_other(x);", "g": "sl_recording_stop(x);", "h": "sl_other(x);"},
)


def blind() -> list[str]:
    """What was planted and is not found, or is found and is nothing."""
    here = pathlib.Path("planted.c")
    found = {what: followed({here: functions(f"f(void)\n{{\n{body}\n}}\ng(void)\n{{\n Py_DECREF(x);\n}}\n")})[0]
             for what, (body, _) in PLANTED.items()}
    return [f"this lint finds {found[what]} {what}, not {wanted}"
            for what, (_, wanted) in PLANTED.items() if found[what] != wanted]


def main() -> int:
    files = {file: functions(file.read_text()) for file in sorted(NATIVE.rglob("*.[ch]")) if file.name != LOCK}
    bad, ranges, under = followed(files)
    bad += blind() + untold() + shared()
    if ranges < 10:
        bad.append("the lock is hardly taken: this lint does not see it any more")
    print("\n".join(bad) or f"locks: {ranges} functions take the lock, {under} run under it, none calls Python")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
