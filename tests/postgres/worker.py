"""An app on a host: ``URL REQUESTS [stay]`` answers so many, and with ``stay`` one more that does not end."""

from __future__ import annotations

import socket
import sys
import time
from typing import Any

from slowlens.wsgi import ProfilerMiddleware


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/hangs":
        print("hangs", flush=True)
        time.sleep(600)
    return [b"x"]


url, count = sys.argv[1], int(sys.argv[2])
site = ProfilerMiddleware(app, store=url, keep="all", log=False, sample_rate=0.5, release=socket.gethostname())
for _ in range(count):
    b"".join(site({"REQUEST_METHOD": "GET", "PATH_INFO": "/page"}, lambda *given: None))
stored = site.recorder.writer
while stored._jobs or stored._working:  # profiles only: numbers of the running minute stay where they are
    time.sleep(0.01)
print("answered", flush=True)
if len(sys.argv) > 3:
    # Of this one a profile is made for certain.
    site.recorder.policy._rate = 1.0
    site.recorder.policy._same_for_all = True
    site({"REQUEST_METHOD": "GET", "PATH_INFO": "/hangs"}, lambda *given: None)
