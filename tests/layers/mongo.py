"""Speaks as much of MongoDB's wire protocol as its driver asks for, and counts the commands: Debian has no such server.

Documents are kept in a list for each collection; ``find`` gives them in batches of ten, so that ``getMore`` follows.
"""

from __future__ import annotations

import socketserver
import struct
import threading
from collections import Counter
from typing import Any

OP_QUERY, OP_REPLY, OP_MSG = 2004, 1, 2013
BATCH = 10
#: What a driver says about itself, and not for the app.
OWN = {"hello", "ismaster", "isMaster", "endSessions", "ping"}


class Mongo:
    def __init__(self) -> None:
        self.commands: Counter[str] = Counter()
        self._stored: dict[str, list[Any]] = {}
        self._left: dict[int, list[Any]] = {}
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                while (head := _read(self.request, 16)) is not None:
                    size, number, _, code = struct.unpack("<iiii", head)
                    body = _read(self.request, size - 16)
                    if body is None:
                        return
                    self.request.sendall(outer._answer(number, code, body))

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def _answer(self, number: int, code: int, body: bytes) -> bytes:
        from bson import decode, decode_all, encode

        if code == OP_QUERY:  # only the first word of a connection
            made = struct.pack("<iqii", 8, 0, 0, 1) + encode(self._run("hello", {}))
            return struct.pack("<iiii", 16 + len(made), 0, number, OP_REPLY) + made
        size = struct.unpack_from("<i", body, 5)[0]
        command = decode(body[5:5 + size])
        at = 5 + size
        while at + 5 <= len(body) and body[at] == 1:  # documents beside it
            size = struct.unpack_from("<i", body, at + 1)[0]
            end = body.index(0, at + 5)
            command[body[at + 5:end].decode()] = decode_all(body[end + 1:at + 1 + size])
            at += 1 + size
        made = struct.pack("<IB", 0, 0) + encode(self._run(next(iter(command)), command))
        return struct.pack("<iiii", 16 + len(made), 0, number, OP_MSG) + made

    def _run(self, name: str, command: dict[str, Any]) -> dict[str, Any]:
        if name in OWN:
            return {"ok": 1.0, "helloOk": True, "isWritablePrimary": True, "ismaster": True, "minWireVersion": 0,
                    "maxWireVersion": 21, "maxBsonObjectSize": 1 << 24, "maxMessageSizeBytes": 48000000,
                    "maxWriteBatchSize": 100000, "readOnly": False}
        self.commands[name] += 1
        rows = self._stored.setdefault(str(command.get("collection", command[name])), [])
        if name == "insert":
            rows += command["documents"]
            return {"ok": 1.0, "n": len(command["documents"])}
        if name in ("find", "aggregate"):
            number = len(rows) > BATCH and len(self._left) + 1
            if number:
                self._left[number] = rows[BATCH:]
            return {"ok": 1.0, "cursor": {"id": int(number), "ns": "shop.orders", "firstBatch": rows[:BATCH]}}
        if name == "getMore":
            return {"ok": 1.0, "cursor": {"id": 0, "ns": "shop.orders", "nextBatch": self._left.pop(command[name])}}
        return {"ok": 1.0, "n": 1, "nModified": 1}


def _read(connection: Any, size: int) -> bytes | None:
    found = b""
    while len(found) < size:
        part = connection.recv(size - len(found))
        if not part:
            return None
        found += part
    return found
