"""The revision of the app that runs: from the environment that hosts and CI set, or from git, without running it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from typing import BinaryIO

from . import reftable

__all__ = ["find_release", "git_revision"]

#: Variables that name what was deployed, the more exact ones first.
VARIABLES = (
    "HEROKU_SLUG_COMMIT", "HEROKU_BUILD_COMMIT", "SOURCE_VERSION", "RENDER_GIT_COMMIT", "RAILWAY_GIT_COMMIT_SHA",
    "VERCEL_GIT_COMMIT_SHA", "GITHUB_SHA", "CI_COMMIT_SHA", "CIRCLE_SHA1", "BUILDKITE_COMMIT", "TRAVIS_COMMIT",
    "BITBUCKET_COMMIT", "CODEBUILD_RESOLVED_SOURCE_VERSION", "GIT_COMMIT", "GIT_SHA", "COMMIT_SHA", "SENTRY_RELEASE",
    "K_REVISION", "GAE_VERSION", "DD_VERSION", "APP_VERSION",
)
#: Half a million packed references.
FILE_MAX = 32 << 20
_HASH = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


def find_release(environ: Mapping[str, str] | None = None, folder: str | None = None) -> str | None:
    """What is known of the revision, hashes cut to 12 digits; None: nothing."""
    environ = os.environ if environ is None else environ
    for name in VARIABLES:
        value = environ.get(name, "").strip()
        if value and value.isprintable():
            return value[:12] if _HASH.fullmatch(value) else value[:100]
    return git_revision(folder)


def _open(path: str) -> BinaryIO:
    """A regular file: above the project's folder (/tmp/.git) it may be whatever another user made. :raises OSError:"""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    info = os.fstat(fd)
    if stat.S_ISREG(info.st_mode) and info.st_size <= FILE_MAX:
        return open(fd, "rb")
    os.close(fd)  # open() leaves a folder's to us
    raise OSError(f"{path} is no file of git's")


def _read(path: str) -> bytes:
    with _open(path) as file:
        return file.read(FILE_MAX)


def _first_line(path: str) -> str:
    try:
        with _open(path) as file:
            return file.readline(1000).decode("utf-8", "replace").strip()
    except OSError:
        return ""


def git_revision(folder: str | None = None) -> str | None:
    """The commit that is checked out in ``folder`` or above it: plain checkouts, worktrees, packed references,
    reftables."""
    try:
        at = os.path.abspath(folder or os.getcwd())
    except OSError:  # the current folder was removed
        return None
    while not os.path.exists(os.path.join(at, ".git")):
        above = os.path.dirname(at)
        if above == at:
            return None
        at = above
    git = os.path.join(at, ".git")
    if os.path.isfile(git):  # a worktree or a submodule
        pointed = _first_line(git)
        if not pointed.startswith("gitdir: "):
            return None
        git = os.path.join(at, pointed[len("gitdir: "):])
    head = reftable.find(git, "HEAD", _read) or _first_line(os.path.join(git, "HEAD"))
    for _ in range(5):  # as deep as git itself follows names of names
        if head.startswith("ref: "):
            head = _reference(git, head[len("ref: "):])
    return head[:12] if _HASH.fullmatch(head) else None


def _reference(git: str, name: str) -> str:
    if not name.startswith("refs/") or ".." in name.split("/"):
        return ""
    common = _first_line(os.path.join(git, "commondir"))
    for folder in (git, os.path.join(git, common)) if common else (git,):
        found = reftable.find(folder, name, _read) or _first_line(os.path.join(folder, name))
        if found:
            return found
        try:
            with _open(os.path.join(folder, "packed-refs")) as file:
                for line in file:
                    commit, _, known = line.strip().partition(b" ")
                    if known == name.encode():
                        return commit.decode("ascii", "replace")
        except OSError:
            pass
    return ""
