"""What strangers send, as bytes, to real servers: nothing of ours grows with it, nothing fails, nobody is let in."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVERS = {
    "gunicorn": ["gunicorn", "-w", "1", "--threads", "2", "-b", "127.0.0.1:{port}", "strangers_app:application"],
    "uvicorn": ["uvicorn", "--port", "{port}", "--log-level", "warning", "strangers_app:asgi_application"],
    "waitress": ["waitress", "--listen", "127.0.0.1:{port}", "strangers_app:application"],
}
VIEWER = "/__slowlens__/"


def get(target: bytes | str, *headers: bytes | str, method: str = "GET", version: str = "1.1") -> bytes:
    raw = [part if isinstance(part, bytes) else part.encode("latin-1") for part in headers]
    target = target if isinstance(target, bytes) else target.encode("latin-1")
    if not any(one.lower().startswith(b"host") for one in raw):
        raw.insert(0, b"Host: shop.example")
    return b"\r\n".join([method.encode() + b" " + target + b" HTTP/" + version.encode(), *raw,
                         b"Connection: close", b"", b""])


#: Name -> the bytes of one connection. N becomes the number of the round: names that a stranger makes up.
RAW: dict[str, bytes] = {
    "an item": get("/items/1"),
    "no such page": get("/nope/N"),
    "HTTP/0.9": b"GET /items/1\r\n",
    "HTTP/1.0 without a host": b"GET /items/1 HTTP/1.0\r\n\r\n",
    "HTTP/9.9": get("/items/1", version="9.9"),
    "an absolute address": get("http://evil.example/items/1"),
    "an address of another scheme": get("ftp://evil.example/N"),
    "two slashes": get("//evil.example//items/1"),
    "dots": get("/../../../etc/passwd"),
    "bad percent encodings": get("/N/%zz%f%%00%c0%af%ff%fe"),
    "raw bytes": get(b"/N/\xff\xfe\xc0\x80\xed\xa0\x80"),
    "a lone surrogate": get("/N/%ED%A0%80"),
    "a bad query": get("/items/1?slowlens=%ff%fe%00&slowlens=deterministic&slowlens[]=x"),
    "a long path": get("/N" + "/a" * 1500),
    "a long query": get("/items/1?slowlens=" + "d" * 3000),
    "a path with a fragment": get("/items/1#slowlens"),
    "a star": get("*", method="OPTIONS"),
    "a tunnel": get("evil.example:443", method="CONNECT"),
    "a word for a method": get("/items/1", method="SLOWLENSN"),
    "a method in small letters": get("/items/1", method="get"),
    "a method of signs": get("/items/1", method="G@T"),
    "a trigger": get("/items/1", "X-Slowlens: deterministic"),
    "a trigger with a long token": get("/items/1", "X-Slowlens: deterministic." + "A" * 6000),
    "a trigger of bytes": get("/items/1", b"X-Slowlens: \xff\xfe.\x80"),
    "triggers": get("/items/1", *["X-Slowlens: lines"] * 40),
    "many headers": get("/items/1", *[f"X-N-{one}: 1" for one in range(80)]),
    "a long header": get("/items/1", "X-Long: " + "a" * 7000),
    "a header too long for any server": get("/items/1", "X-Long: " + "a" * 300_000),
    "a header without a name": get("/items/1", ": x"),
    "a folded header": get("/items/1", "X-Folded: a\r\n b"),
    "a header with a NUL": get("/items/1", b"X-Nul: a\x00b"),
    "two hosts": get("/items/1", "Host: localhost", "Host: evil.example"),
    "a host of bytes": get("/items/1", b"Host: \xff\xfe"),
    "an empty host": get("/items/1", "Host:"),
    "a proxy's word": get(VIEWER, "Host: localhost", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: localhost",
                          "Forwarded: for=127.0.0.1;host=localhost", "X-Real-IP: ::1"),
    "a trace that is none": get("/items/1", "traceparent: 00-" + "g" * 32 + "-0-0", b"tracestate: \xff"),
    "cookies that are none": get(VIEWER, "Cookie: slowlens=x; slowlens=" + "A" * 3000, b"Cookie: \xff=\xfe"),
    "the viewer": get(VIEWER, "Host: localhost"),
    "the viewer's list": get(VIEWER + "api/requests", "Host: localhost"),
    "a file above the viewer": get(VIEWER + "..%2f..%2f..%2fetc%2fpasswd", "Host: localhost"),
    "a profile that is none": get(VIEWER + "api/requests/%2e%2e%00/tree", "Host: localhost"),
    "a link that is none": get(VIEWER + "?token=" + "A" * 500, "Host: localhost"),
    "deleting": get(VIEWER + "api/delete", "Host: localhost", "Content-Length: 2", method="POST") + b"{}",
    "both lengths": get("/items/1", "Content-Length: 4", "Transfer-Encoding: chunked", method="POST")
    + b"0\r\n\r\nGET /smuggled/N HTTP/1.1\r\nHost: x\r\n\r\n",
    "two lengths": get("/items/1", "Content-Length: 0", "Content-Length: 40", method="POST") + b"GET /smuggled/N",
    "a length below nothing": get("/items/1", "Content-Length: -1", method="POST"),
    "a length without end": get("/items/1", "Content-Length: " + "9" * 30, method="POST") + b"x",
    "a chunk that is none": get("/items/1", "Transfer-Encoding: chunked", method="POST") + b"zz\r\nx\r\n0\r\n\r\n",
    "a coding that is none": get("/items/1", "Transfer-Encoding: xchunked", method="POST") + b"0\r\n\r\n",
    "half a request": b"GET /items/1 HTTP/1.1\r\nHost: x\r\nX-Ha",
    "nothing": b"",
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "two at once": get("/items/1").replace(b"close", b"keep-alive") + get("/N"),
}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def send(port: int, raw: bytes, silence: float = 1) -> bytes:
    """All that comes back until the server closes, or so many seconds of silence."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        try:
            connection.sendall(raw)
            if not raw.endswith(b"\r\n\r\n"):
                connection.shutdown(socket.SHUT_WR)  # no more comes: it need not wait
            connection.settimeout(silence)
            while part := connection.recv(65536):
                answer += part
        except OSError:
            pass  # refused in the middle: that is an answer
    return answer


def state(port: int) -> dict[str, object]:
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        connection.sendall(get("/state"))
        answer = b""
        while part := connection.recv(65536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 200 " in head.splitlines()[0], answer
    return dict(json.loads(body[body.index(b"{"):body.rindex(b"}") + 1]))


@contextlib.contextmanager
def serving(name: str, folder: Path, debug: bool = False) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A server of this name, its port; what it says is in ``said``."""
    port = free_port()
    with open(folder / "said", "wb") as said:
        server = subprocess.Popen(
            [sys.executable, "-m", *(part.format(port=port) for part in SERVERS[name])], cwd=Path(__file__).parent,
            stdout=said, stderr=said,
            env={**os.environ, "STRANGERS_STORE": str(folder / "store"), "STRANGERS_DEBUG": str(int(debug)),
                 "PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < deadline, (folder / "said").read_text()
                time.sleep(0.05)
        yield port, server
    finally:
        server.kill()
        server.wait()


@pytest.mark.parametrize("name", SERVERS)
def test_a_debugging_app_behind_a_proxy_is_closed(name: str, tmp_path: Path) -> None:
    """To the proxy's clients, whatever they write themselves, and whatever the server does with headers (waitress takes
    these out before an app sees them)."""
    listed, host = VIEWER + "api/requests", "Host: 127.0.0.1:8000"
    with serving(name, tmp_path, debug=True) as (port, _):
        def status(*headers: str, version: str = "1.1") -> bytes:
            return send(port, get(listed, host, *headers, version=version), 60).partition(b"\r\n")[0].split()[1]

        assert status() == b"200", "from here, by nobody"
        for said in ("X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1",
                     "X-Forwarded-Proto: https", "X-Forwarded-Host: localhost", "X-Real-IP: ::1", "Via: 1.1 x"):
            assert status(said) == status(said, version="1.0") == b"404", said
        assert status(version="1.0") == b"404"


@pytest.mark.parametrize("name", SERVERS)
def test_strangers(name: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    with serving(name, tmp_path) as (port, server):
        state(port)  # itself one of the routes from now on
        after = []
        for number in range(2):
            for what, raw in RAW.items():
                answer = send(port, raw.replace(b"N", str(number).encode()) if b"/N" in raw else raw)
                if b"slowlens" not in raw.lower():  # servers repeat what they refuse
                    assert b"slowlens" not in answer.lower(), (what, answer)
                assert b"root:" not in answer and b"<script" not in answer, (what, answer)
                if VIEWER.encode() in raw:
                    first_line = answer.partition(b"\r\n")[0]
                    assert answer == b"" or b" 404 " in first_line or b" 400 " in first_line, (what, answer)
            assert send(port, get("/items/7")).endswith((b"item", b"item\r\n0\r\n\r\n")), "it answers as ever"
            after.append(state(port))
        assert server.poll() is None
        first, second = after
        assert second == first, "what strangers made up in the second round is nowhere"
        assert {first[key] for key in ("faults", "refused", "abandoned", "failed", "profiles")} == {0}
        assert first["routes"] == ["/items/{id}", "/state", "[unmatched]"]
    assert b"slowlens: " not in (tmp_path / "said").read_bytes(), (tmp_path / "said").read_text(errors="replace")
    assert {path.name for path in store.iterdir()} <= {
        "segments", "pins", "gc.lock", "worst.json", "clock.json", "numbers", "live", "windows", "id"}
