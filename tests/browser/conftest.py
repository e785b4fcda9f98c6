"""The demo's shop on a real server, and a real Chromium on its viewer."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "py"))

PAGES = ["/", "/?page=3", "/books/7/", "/api/books/", "/authors/", "/authors/repaired/", "/report/",
         "/report/repaired/", "/export.csv", "/error/", "/no/such/page"]


VIEWER = "/__slowlens__/"


def wait(browser: Any, css: str, text: str = "") -> WebElement:
    """The first element for ``css`` that holds ``text``, when it is there."""
    def found(_: Any) -> Any:
        return next((one for one in browser.find_elements(By.CSS_SELECTOR, css) if text in one.text), None)
    return WebDriverWait(browser, 15, ignored_exceptions=[Exception]).until(found)


def open_list(browser: Any, shop: str, fragment: str = "") -> None:
    browser.get(shop + VIEWER + fragment)
    wait(browser, "td.path")


def rows(browser: Any) -> list[str]:
    return [row.text for row in browser.find_elements(By.CSS_SELECTOR, ".tree .row")]


def fetch(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            return bytes(response.read())
    except urllib.error.HTTPError as error:
        return error.read()


@contextmanager
def served(*files: Path) -> Iterator[str]:
    """The address of ``slowlens serve FILE...``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-m", "slowlens", "serve", "--port", str(port), *map(str, files)],
                              env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        server.stdout.readline()
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the shop; every page was asked for twice."""
    data = tmp_path_factory.mktemp("shop")
    environ = {**os.environ, "SHOP_DATA": str(data), "SLOWLENS_STORE": str(data / "store"),
               "PYTHONPATH": os.pathsep.join(sys.path)}
    site = ROOT / "examples" / "shop"
    subprocess.run([sys.executable, "manage.py", "fill_shop"], cwd=site, env=environ, check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "-w", "2", "--threads", "4", "-b", f"127.0.0.1:{port}", "shop.wsgi"],
        cwd=site, env=environ, stderr=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                fetch(base + "/api/books/")
                break
            except OSError:
                assert time.monotonic() < deadline and server.poll() is None
                time.sleep(0.2)
        for _ in range(2):
            for page in PAGES:
                fetch(base + page)
        wanted = 1 + 2 * len(PAGES)
        while len(json.loads(fetch(base + "/__slowlens__/api/requests?limit=200"))["requests"]) < wanted:
            assert time.monotonic() < deadline + 30
            time.sleep(0.2)
        yield base
    finally:
        server.terminate()
        server.wait(20)


def size(browser: Any, width: int, height: int) -> None:
    """What the page has to itself, to the pixel."""
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})


def chromium(*arguments: str) -> webdriver.Chrome:
    """A headless Chromium that talks to nobody but the page."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "/usr/bin/chromium"
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,900", "--disable-quic",
                     "--no-first-run", "--disable-background-networking", "--disable-component-update",
                     "--disable-sync", *arguments):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver") or "/usr/bin/chromedriver")
    return webdriver.Chrome(options=options, service=service)


@pytest.fixture(scope="session")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the asynchronous app; some of its requests were held up by others, or waited for tasks."""
    store = tmp_path_factory.mktemp("feed")
    environ = {**os.environ, "SLOWLENS_STORE": str(store / "store"), "SLOWLENS_DEBUG": "1", "SLOWLENS_MODE": "sampling",
               "PYTHONPATH": os.pathsep.join(sys.path)}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "--app-dir", str(ROOT / "examples" / "starlette_feed"), "--port", str(port),
         "--log-level", "error", "app:app"], env=environ, stderr=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                fetch(base + "/feed/")
                break
            except OSError:
                assert time.monotonic() < deadline and server.poll() is None
                time.sleep(0.2)
        with ThreadPoolExecutor(4) as pool:
            for _ in range(3):
                list(pool.map(fetch, [base + path for path in ("/one-by-one/", "/feed/", "/blocking/?times=300")]))
        while len(json.loads(fetch(base + VIEWER + "api/requests?limit=50"))["requests"]) < 10:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield base
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture(scope="session")
def axe() -> str:
    """axe-core's source; JUDGES is the node_modules that tests/run.sh has installed."""
    return (Path(os.environ["JUDGES"]) / "axe-core" / "axe.min.js").read_text()


@pytest.fixture
def browser() -> Iterator[webdriver.Chrome]:
    """A fresh browser; afterwards the console must be clean and nobody else have been asked."""
    driver = chromium()
    try:
        yield driver
        # The tests themselves read pixels back, which the browser finds slow.
        errors: list[Any] = [entry for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")
                             and "Multiple readback operations" not in entry["message"]]
        asked = set()
        for entry in driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                asked.add(message["params"]["request"]["url"])
        assert errors == [], "console errors or violations of the policy"
        strangers = [url for url in asked if not url.startswith(("http://127.0.0.1:", "data:", "chrome:", "about:"))]
        assert strangers == []
    finally:
        driver.quit()
