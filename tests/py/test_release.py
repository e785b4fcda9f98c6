"""The revision of the app: from the environment, or from git as it lies there."""

from __future__ import annotations

import base64
import os
import subprocess
from pathlib import Path

import pytest

from slowlens import reftable
from slowlens.release import find_release, git_revision


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=folder, check=True,
                          capture_output=True, text=True)
    return done.stdout.strip()


def test_wherever_git_keeps_it(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    (checkout / "a" / "b").mkdir(parents=True)
    try:
        git(checkout, "init")
    except FileNotFoundError:
        pytest.skip("git is not here")
    assert git_revision(str(checkout)) is None, "no commit yet"
    git(checkout, "commit", "--allow-empty", "-m", "x")
    head = git(checkout, "rev-parse", "HEAD")[:12]
    git(checkout, "worktree", "add", str(tmp_path / "other"))
    places = [checkout, checkout / "a" / "b", tmp_path / "other"]
    assert [git_revision(str(place)) for place in places] == [head] * 3
    git(checkout, "pack-refs", "--all")
    assert [git_revision(str(place)) for place in places] == [head] * 3
    git(checkout, "symbolic-ref", "refs/heads/alias", git(checkout, "symbolic-ref", "HEAD"))
    git(checkout, "symbolic-ref", "HEAD", "refs/heads/alias")
    assert git_revision(str(checkout)) == head, "a name of a name"
    git(checkout, "checkout", "--detach")
    assert git_revision(str(checkout)) == head


@pytest.mark.parametrize("head", ["", "ref: ../../etc/passwd", "ref: refs/../../x", "g" * 40, "\x00" * 40, "abc"])
def test_what_is_no_revision_is_none(tmp_path: Path, head: str) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text(head)
    assert git_revision(str(tmp_path)) is None


def test_a_pipe_of_another_user_holds_no_start_up(tmp_path: Path) -> None:
    """In /tmp, say: whoever makes /tmp/.git is above every project there."""
    (tmp_path / ".git").mkdir()
    os.mkfifo(tmp_path / ".git" / "HEAD")
    assert git_revision(str(tmp_path)) is None
    (tmp_path / ".git" / "HEAD").unlink()
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/a")
    with open(tmp_path / ".git" / "packed-refs", "w") as file:
        file.truncate(1 << 40)
    assert git_revision(str(tmp_path)) is None


def test_what_hosts_and_ci_say_comes_first(tmp_path: Path) -> None:
    assert find_release({"GITHUB_SHA": "a" * 40}, str(tmp_path)) == "a" * 12
    assert find_release({"K_REVISION": "shop-00042-abc"}, str(tmp_path)) == "shop-00042-abc"
    assert find_release({"GIT_COMMIT": "x\ny", "DD_VERSION": " "}, str(tmp_path)) is None


def test_a_folder_in_the_place_of_a_file_is_closed_again(tmp_path: Path) -> None:
    (tmp_path / ".git" / "HEAD").mkdir(parents=True)
    before = len(os.listdir("/proc/self/fd"))
    assert [git_revision(str(tmp_path)) for _ in range(20)] == [None] * 20
    assert len(os.listdir("/proc/self/fd")) < before + 20


# Tables that git 2.55 wrote: main is born; `gone` is made; `gone` is deleted.
TABLES = [
    "UkVGVAEAEAAAAAAAAAAAAQAAAAAAAAACcgAAYQAjSEVBRAAPcmVmcy9oZWFkcy9tYWluAHlyZWZzL2hlYWRzL21haW4BSr3lxFtH4vfqT+kEO8cb"
    "g/BzdLsAABwAADMAAmcAAMp42mPI9HB1dGH4DwF/GbAAr71Pj0S7P/r+yv8li/Vx6eYPxSW7GROZEx2SWq8v/MDOwCCSnJ+bm1mioJGZl1mSmZij"
    "aaVQwcXQ4FiUmlasn5GamFKsn5uYmUcLSxhYGBhiGZgAKRNFqlJFRlQBABAAAAAAAAAAAAEAAAAAAAAAAgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAABhAAAAAAAAAAAe7tXP",
    "UkVGVAEAEAAAAAAAAAAAAwAAAAAAAAADcgAARwB5cmVmcy9oZWFkcy9nb25lAEq95cRbR+L36k/pBDvHG4Pwc3S7AAAcAAFnAABbeNpjaHAsSk0r"
    "1s9ITUwp1k/Pz0tl+A8BfxiwAK+9T49Euz/6/sr/JYv1cenmD8UluxkTmRMdklqvL/zAzsDAyMXAwMLACACbJB5iUkVGVAEAEAAAAAAAAAAAAwAA"
    "AAAAAAADAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEcAAAAAAAAAAMLT5iA=",
    "UkVGVAEAEAAAAAAAAAAABAAAAAAAAAAEcgAAMwB4cmVmcy9oZWFkcy9nb25lAAAAHAABZwAAJHjaY2hwKEpNK9bPSE1MKdZPz89LZfgPAX8YGFgY"
    "GAHhCg53UkVGVAEAEAAAAAAAAAAABAAAAAAAAAAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAADMAAAAAAAAAAIADTKY=",
]


def reftables(git: Path, tables: list[bytes]) -> None:
    (git / "reftable").mkdir(parents=True, exist_ok=True)
    (git / "HEAD").write_text("ref: refs/heads/.invalid\n")
    names = [f"0x{number:012x}-0x{number:012x}-e168b35a.ref" for number in range(len(tables))]
    for name, content in zip(names, tables, strict=True):
        (git / "reftable" / name).write_bytes(content)
    (git / "reftable" / "tables.list").write_text("".join(name + "\n" for name in names))


def test_a_repository_of_reftables(tmp_path: Path) -> None:
    """What git is going to make by default: HEAD names a branch that there is not."""
    tables = [base64.b64decode(table) for table in TABLES]
    git, other = tmp_path / ".git", tmp_path / ".git" / "worktrees" / "other"
    reftables(git, tables)
    assert git_revision(str(tmp_path)) == "4abde5c45b47"
    # A worktree has a HEAD of its own, and branches of the repository's.
    reftables(other, [tables[0].replace(b"main", b"gone", 1)])
    (other / "commondir").write_text("../..\n")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / ".git").write_text(f"gitdir: {other}\n")
    assert git_revision(str(tmp_path / "tree")) is None, "it was deleted"
    reftables(git, tables[:2])
    assert git_revision(str(tmp_path / "tree")) == "4abde5c45b47"
    # Cut anywhere, or another's: no release, and nothing worse.
    found = set()
    for size in range(0x70):
        reftables(git, [tables[0][:size]])
        found.add(git_revision(str(tmp_path)))
    assert found == {None, "4abde5c45b47"}
    for odd in (b"REFT\x01" + b"\xff" * 200, b"REFT\x02" + b"\0" * 30 + b"r" * 90, b"r" * 99,
                tables[0][:28] + b"\xff" * 70, tables[0][:25] + b"\0\0\0" + tables[0][28:]):
        reftables(git, [odd])
        assert git_revision(str(tmp_path)) is None
    (git / "reftable" / "tables.list").write_text("../../../etc/passwd\n" * 3 + "x" * 1000)
    assert git_revision(str(tmp_path)) is None


def test_a_hostile_table_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the project's folder it may be another user's: no work without end at a worker's start."""
    def varint(value: int) -> bytes:
        rest = b""
        while value >= 0x80:
            rest = bytes([value & 0x7F | (0x80 if rest else 0)]) + rest
            value = (value >> 7) - 1
        return bytes([value | (0x80 if rest else 0)]) + rest

    size = reftable.NAME_MAX + 1
    records = varint(0) + varint(size << 3) + b"A" * size + b"\0" + 9 * (varint(size) + varint(1 << 3) + b"A\0")
    block = b"r" + (24 + 4 + len(records) + 2).to_bytes(3, "big") + records + b"\0\0"
    data = b"REFT\x01" + b"\0" * 19 + block
    with pytest.raises(ValueError, match="too long"):
        list(reftable._records(data))
    tables = [base64.b64decode(table) for table in TABLES]
    reftables(tmp_path / ".git", tables)
    assert git_revision(str(tmp_path)) is not None
    for name in ("BYTES_MAX", "RECORDS_MAX"):
        with monkeypatch.context() as patched:
            patched.setattr(reftable, name, 1)
            assert git_revision(str(tmp_path)) is None
