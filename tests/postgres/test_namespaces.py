"""Two hosts on a network of their own, each with its name, its memory for boards and its folder, write to one
PostgreSQL; one is killed in between. Where the machine allows no namespaces the same processes run without."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from slowlens import _core
from slowlens.store import Query
from slowlens.store.postgres import PostgresStore

from cluster import Server, running

HERE = Path(__file__).parent
#: Of this run alone; a pid has 22 bits at most.
NETWORK = f"10.{128 + os.getpid() % 127}.{os.getpid() // 127 % 256}"


def sh(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise PermissionError(f"{' '.join(command)}: {done.stderr}")


class Host:
    """A network namespace with an address, where that can be had."""

    def __init__(self, name: str, number: int, folder: Path) -> None:
        self.name, self.folder = name, folder
        folder.mkdir()
        self.namespace = f"sl{os.getpid()}{name}"
        self.inside, self.outside = f"sli{number}-{os.getpid()}"[:15], f"slo{number}-{os.getpid()}"[:15]
        self.address = f"{NETWORK}.{10 + number}"
        self.real = False

    def make(self, bridge: str) -> None:
        sh("ip", "netns", "add", self.namespace)
        sh("ip", "link", "add", self.outside, "type", "veth", "peer", "name", self.inside)
        sh("ip", "link", "set", self.inside, "netns", self.namespace)
        sh("ip", "link", "set", self.outside, "master", bridge, "up")
        for more in (("addr", "add", f"{self.address}/24", "dev", self.inside), ("link", "set", self.inside, "up")):
            sh("ip", "-n", self.namespace, *more)
        shm = self.folder / "shm"
        shm.mkdir()
        sh("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", str(shm))
        self.real = True

    def drop(self) -> None:
        for command in (("umount", str(self.folder / "shm")), ("ip", "link", "del", self.outside),
                        ("ip", "netns", "del", self.namespace)):
            subprocess.run(command, capture_output=True)

    def run(self, url: str, count: int, *more: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(HERE / "worker.py"), url, str(count), *more]
        if self.real:
            script = f"mount --bind {self.folder}/shm /dev/shm && hostname {self.name} && exec \"$@\""
            command = ["ip", "netns", "exec", self.namespace, "unshare", "--mount", "--uts", "sh", "-c", script, "sh",
                       *command]
        package = str(Path(_core.__file__).parent.parent)
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={
            **os.environ, "PYTHONPATH": package, "HOME": str(self.folder), "XDG_STATE_HOME": str(self.folder / "state"),
            "XDG_RUNTIME_DIR": ""})


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[tuple[list[Host], Server, str]]:
    made = [Host("one", 1, tmp_path / "one"), Host("two", 2, tmp_path / "two")]
    bridge = f"slb{os.getpid()}"[:15]
    with ExitStack() as stack:
        try:
            sh("ip", "link", "add", bridge, "type", "bridge")
            stack.callback(subprocess.run, ["ip", "link", "del", bridge], capture_output=True)
            sh("ip", "addr", "add", f"{NETWORK}.1/24", "dev", bridge)
            sh("ip", "link", "set", bridge, "up")
            for one in made:
                stack.callback(one.drop)
                one.make(bridge)
            address = f"{NETWORK}.1"
        except OSError:
            address = ""
            for one in made:
                one.real = False
        server = running(address, f"{NETWORK}.0/24" if address else "")
        cluster = next(server)
        stack.callback(lambda: next(server, None))
        yield made, cluster, address


def test_two_hosts_one_killed_in_between(hosts: tuple[list[Host], Server, str]) -> None:
    (one, two), server, address = hosts

    def url(host: Host) -> str:
        more = {"waiting": str(host.folder / "waiting")} | ({"host": address} if address else {})
        return server.url(**more)

    first, second = one.run(url(one), 300), two.run(url(two), 200, "stay")
    assert second.stdout is not None and second.stdout.readline() == "answered\n"
    assert second.stdout.readline() == "hangs\n"
    second.kill()
    second.wait()
    assert first.wait(120) == 0
    store = PostgresStore(server.url(waiting=tempfile.mkdtemp(dir=one.folder)))

    def counted() -> dict[str, tuple[int, int]]:
        rows: list[dict[str, Any]] = store.numbers(apart=9)["rows"]
        found: dict[str, tuple[int, int]] = {}
        for row in rows:
            requests, errors = found.get(row["host"] if address else row["route"], (0, 0))
            found[row["host"] if address else row["route"]] = requests + row["count"], errors + row["errors"]
        return found

    if address:
        assert counted() == {"one": (300, 0)}, "two was killed within its minute, and has its own memory"
    # It starts again, as hosts do: what it had counted and what ran then is there, once.
    third = two.run(url(two), 50)
    assert third.wait(120) == 0
    if address:
        assert counted() == {"one": (300, 0), "two": (251, 1)}
        assert {row["host"] for row in store.list(Query(limit=500)).rows} == {"one", "two"}
        assert 0 < store.count(Query(host="two"), 1000) < 251
    else:
        assert counted() == {"/page": (550, 0), "[other]": (1, 1)}
    killed = [row for row in store.list(Query(limit=1000)).rows if "killed" in (row.get("flags") or "")]
    assert [row["path"] for row in killed] == ["/hangs"]
    store.close()
    for process in (first, second, third):
        assert process.stdout is not None
        process.stdout.close()
