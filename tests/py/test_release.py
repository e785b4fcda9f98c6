"""The revision of the app: from the environment, or from git as it lies there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

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
