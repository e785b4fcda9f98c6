"""A PostgreSQL server of these tests: a cluster in a folder of its own, on a socket, by Debian's package."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Server", "running"]


class Server:
    """One cluster. initdb refuses to be root's: as root it is another user's."""

    def __init__(self, folder: Path, address: str = "", network: str = "") -> None:
        """``address``: of this machine, for those of ``network``; without, the socket alone."""
        self.folder = folder
        binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        assert binaries, "install the package postgresql"
        self._bin = binaries[-1]
        self._user = None
        if os.geteuid() == 0:
            self._user = pwd.getpwnam("postgres")
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)
        self.run("initdb", "-D", str(folder / "data"), "-U", "slowlens", "-A", "trust", "-E", "UTF8", "--no-sync",
                 "--locale=C.UTF-8")
        with open(folder / "data" / "postgresql.conf", "a") as file:
            file.write(f"listen_addresses = '{address}'\nunix_socket_directories = '{folder}'\nmax_connections = 60\n"
                       "shared_buffers = 64MB\nfsync = off\n")

        if network:
            with open(folder / "data" / "pg_hba.conf", "a") as file:
                file.write(f"host all all {network} trust\n")

    def run(self, name: str, *arguments: str) -> None:
        which = {} if self._user is None else {
            "user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        log = self.folder.parent / f"{name}.log"
        with open(log, "wb") as file:  # a file: the server inherits it, and would keep a pipe open
            done = subprocess.run([self._bin / name, *arguments], stdout=file, stderr=file, stdin=subprocess.DEVNULL,
                                  cwd=self.folder, env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}, **which)
        assert done.returncode == 0, log.read_text(errors="replace")

    def control(self, what: str, *more: str) -> None:
        self.run("pg_ctl", what, "-w", "-t", "120", "-D", str(self.folder / "data"),
                 *(["-l", str(self.folder / "log")] if what != "stop" else []), *more)

    def start(self) -> None:
        self.control("start")

    def stop(self, how: str = "fast") -> None:
        self.control("stop", "-m", how)

    def url(self, database: str = "postgres", **parameters: str) -> str:
        values = {"host": str(self.folder), "user": "slowlens", **parameters}
        return f"postgresql:///{database}?" + "&".join(f"{name}={value}" for name, value in values.items())


def running(address: str = "", network: str = "") -> Iterator[Server]:
    # Short: a socket's path has 107 bytes.
    outer = Path(tempfile.mkdtemp(prefix="sl-pg-"))
    outer.chmod(0o755)
    (outer / "c").mkdir()
    made = Server(outer / "c", address, network)
    made.start()
    try:
        yield made
    finally:
        made.stop("immediate")
        shutil.rmtree(outer)
