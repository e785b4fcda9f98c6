"""Under the sampler's lock nothing of Python is called that allocates, drops a reference or runs code; ctest runs this.

The lock is taken by sl_py_lock and given back by sl_py_unlock or sl_py_unlock_drop. What stands between them in the
text of a function runs under it, and so does every function of the glue that is called from there, however deep.
Whoever is called with the lock held and gives it back in between (sl_py_unlock_drop ... sl_py_lock) is taken at its
word: what is between is outside.

And the two tables of native/README.md, "Locks", name each file that has a lock or an atomic word, and no other.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
NATIVE = ROOT / "pymiddleware/native"

TAKE = {"sl_py_lock"}
GIVE = {"sl_py_unlock", "sl_py_unlock_drop"}
#: Python's names that are types, constants or plain loads of a field: they call nothing. Py_NewRef only counts up, and
#: PyCompile_OpcodeStackEffectWithJump reads a table of its own.
HARMLESS = re.compile(
    r"PyObject|Py\w*Object|PyThreadState|PyInterpreterState|PyTypeObject|PyMethodDef|Py_ssize_t|Py_TYPE|Py_REFCNT|"
    r"Py_IS_TYPE|Py_NewRef|Py_XNewRef|Py_INCREF|Py_True|Py_False|Py_None|Py\w+_Type|Py_TPFLAGS_\w+|PyCompile_OpcodeStackEffectWithJump|"
    r"PyThreadState_GetUnchecked|_PyThreadState_UncheckedGet|Py_BUILD_CORE|PY_\w+|PyASCIIObject|"
    r"PyCompactUnicodeObject|PyWeakReference|PyObject_HEAD|PyObject_VAR_HEAD|_?PyInterpreter\w+|_PyCFrame|_PyRuntime|_PyStackChunk"
)
#: The lock's own file, which is what the others call.
LOCK = "lock.c"


def functions(text: str) -> dict[str, str]:
    """Name -> body of each function that is defined in C as this project writes it: name and brace in column 0."""
    text = re.sub(r'"(\\.|[^"\\])*"', '""', re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.S))
    return {m[1]: m[2] for m in re.finditer(r"^(\w+)\((?:[^;{}]|\n)*?\)\n\{\n(.*?)^\}", text, re.M | re.S)}


def held(body: str, from_outside: bool) -> list[str]:
    """Words of a body that are read while the lock is held; `from_outside`: it is held when the function begins. What
    is called has its parenthesis."""
    words, locked = [], from_outside
    for word, called in re.findall(r"([A-Za-z_]\w*)\s*(\(?)", body):
        if word in TAKE:
            locked = True
        elif word in GIVE:
            locked = False
        elif locked:
            words.append(word + called)
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


def main() -> int:
    files = {file: functions(file.read_text()) for file in sorted(NATIVE.rglob("*.[ch]")) if file.name != LOCK}
    everywhere = {name: file for file, bodies in files.items() for name in bodies if name.startswith("sl_py_")}
    seen: set[tuple[pathlib.Path, str]] = set()
    bad: list[str] = []
    ranges = 0

    def look(file: pathlib.Path, words: list[str], path: str) -> None:
        for word in words:
            name = word.rstrip("(")
            if re.match(r"_?Py[A-Z_]", name) and not HARMLESS.fullmatch(name):
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
    bad += untold()
    if ranges < 10:
        bad.append("the lock is hardly taken: this lint does not see it any more")
    print("\n".join(bad) or f"locks: {ranges} functions take the lock, {len(seen)} run under it, none calls Python")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
