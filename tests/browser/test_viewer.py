"""The viewer, driven as a person would drive it."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from conftest import VIEWER, fetch, open_list, rows, wait


def test_a_newcomer_finds_the_deep_copy(browser: Any, shop: str) -> None:
    open_list(browser, shop)
    wait(browser, "th button", "Wall ms").click()
    wait(browser, "th[aria-sort=descending]", "Wall ms")
    walls = [float(cell.text) for cell in browser.find_elements(By.CSS_SELECTOR, "tbody td.wall")]
    assert walls == sorted(walls, reverse=True)
    listed = wait(browser, "tbody tr", "copy.deepcopy")
    link = listed.find_element(By.CSS_SELECTOR, "td.path a")
    assert link.text == "/report/"
    link.click()

    answer = wait(browser, ".answer").text
    # What the machine withheld may be said before it.
    found = re.search(r"(?:copy\.deepcopy, called by|the garbage collector, mostly while in) reports\.build at "
                      r"books/reports\.py:(\d+)", answer)
    assert found, answer
    source = (Path(__file__).parents[2] / "examples/shop/books/reports.py").read_text().splitlines()
    assert "copy.deepcopy(TEMPLATE)" in source[int(found[1]) - 1], "the very line of the shop"

    wait(browser, ".tree .row", "copy.deepcopy")
    panel = browser.find_element(By.CSS_SELECTOR, "#side").text
    assert panel.index("Callers and callees") < panel.index("Findings"), "a click on a row is answered where it is seen"
    guilty = next(row for row in rows(browser) if row.splitlines()[0].endswith(f"reports.py:{found[1]}"))
    # The slowest was sampled, now and then: samples count no calls.
    sampled = re.search(r"\bsampled, \d+ samples", browser.find_element(By.TAG_NAME, "body").text)
    assert "copy.deepcopy" in guilty and (sampled or "800" in guilty), "its calls: one for each of 800 books"
    heaviest = browser.find_element(By.CSS_SELECTOR, "[aria-label='Heaviest functions']").text
    # Which of the module's functions leads, or the garbage collector, is a matter of the machine.
    assert re.search(r" copy\.(deepcopy|_deepcopy_\w+|_keep_alive)$", heaviest, re.M), heaviest


def test_before_and_after_the_repair(browser: Any, shop: str) -> None:
    def wall(path: str) -> float:
        listed = json.loads(fetch(f"{shop}{VIEWER}api/requests?route={path}&sort=wall_ms"))["requests"]
        return float(listed[0]["wall_ms"])

    assert wall("/report/") > 2 * wall("/report/repaired/")
    open_list(browser, shop, "#page=requests&route=/report/repaired/")
    wait(browser, "td.path a").click()
    wait(browser, ".tree .row", "build_repaired")
    assert not any("deepcopy" in row for row in rows(browser))


def test_filter_and_deep_links(browser: Any, shop: str) -> None:
    open_list(browser, shop)
    field = browser.find_element(By.NAME, "q")
    field.send_keys("/authors/", Keys.ENTER)
    WebDriverWait(browser, 10).until(lambda _: "filter=%2Fauthors%2F" in browser.current_url)
    wait(browser, "td.path", "/authors/")
    WebDriverWait(browser, 10).until(
        lambda _: all("/authors/" in one.text for one in browser.find_elements(By.CSS_SELECTOR, "td.path a")))
    url = browser.current_url
    browser.get("about:blank")
    browser.get(url)
    wait(browser, "td.path", "/authors/")
    assert wait(browser, ".chip", "/authors/").accessible_name == "Remove the filter /authors/"
    stored = json.loads(fetch(shop + VIEWER + "api/requests?limit=200"))["requests"]
    right = sum("/authors/" in one["path"] for one in stored)  # other tests may have asked for some, too
    assert 4 <= right < len(stored)
    assert len(browser.find_elements(By.CSS_SELECTOR, "tbody tr")) == right
    browser.find_element(By.CSS_SELECTOR, ".filter .clear").click()
    browser.find_element(By.NAME, "q").send_keys("5xx", Keys.ENTER)
    wait(browser, "td.path", "/error/")
    assert wait(browser, ".chip", "5xx").accessible_name == "Remove the filter 5xx"


def test_pages_go_on(browser: Any, shop: str) -> None:
    open_list(browser, shop)
    total = len(json.loads(fetch(shop + VIEWER + "api/requests?limit=200"))["requests"])
    script = "import('./static/api.js').then(a => a.requests({limit: 5})).then(p => arguments[0](p.next))"
    assert browser.execute_async_script(script)
    assert len(browser.find_elements(By.CSS_SELECTOR, "tbody tr")) == min(50, total)


def test_routes(browser: Any, shop: str) -> None:
    browser.get(shop + VIEWER)
    wait(browser, "#nav-routes").click()
    wait(browser, "td.path", "/books/<int:pk>/")
    wait(browser, "th button", "p95 ms").click()
    wait(browser, "th[aria-sort=descending]", "p95 ms")
    wait(browser, "td.path a", "/report/repaired/").click()
    wait(browser, "tbody tr", "/report/repaired/")
    assert "route=%2Freport%2Frepaired%2F" in browser.current_url


def test_the_tree_by_keyboard_alone(browser: Any, shop: str) -> None:
    open_list(browser, shop, "#page=requests&route=/report/&sort=-wall_ms")
    link = wait(browser, "td.path a")
    browser.execute_script("arguments[0].focus()", link)
    ActionChains(browser).send_keys(Keys.ENTER).perform()
    wait(browser, ".tree .row", "copy.deepcopy")
    for _ in range(60):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        if browser.switch_to.active_element.get_attribute("role") == "row":
            break
    else:
        pytest.fail("the tree cannot be reached by Tab")
    press = lambda *keys: ActionChains(browser).send_keys(*keys).perform()  # noqa: E731
    active = lambda: browser.switch_to.active_element  # noqa: E731
    press(Keys.HOME)
    assert active().text.startswith("▾[request]") or "[request]" in active().text
    before = int(browser.find_element(By.CSS_SELECTOR, ".tree").get_attribute("aria-rowcount"))
    press(Keys.ARROW_LEFT)
    assert active().get_attribute("aria-expanded") == "false"
    assert browser.find_element(By.CSS_SELECTOR, ".tree").get_attribute("aria-rowcount") == "1"
    press(Keys.ARROW_RIGHT)
    assert int(browser.find_element(By.CSS_SELECTOR, ".tree").get_attribute("aria-rowcount")) == before
    press(Keys.ARROW_DOWN)
    assert active().get_attribute("aria-level") == "2"
    press(Keys.END)
    press(Keys.HOME)
    for _ in range(100):
        if "reports.build" in active().text:
            break
        press(Keys.ARROW_DOWN)
    assert "called at books/views.py" in active().text
    node = active().get_attribute("data-node")
    assert f"node={node}" in browser.current_url
    url = browser.current_url
    browser.get("about:blank")
    browser.get(url)
    WebDriverWait(browser, 10).until(lambda _: browser.find_elements(
        By.CSS_SELECTOR, f".tree .row[data-node='{node}'][tabindex='0']"))


def test_branches_are_fetched_when_opened(browser: Any, shop: str) -> None:
    open_list(browser, shop, "#page=requests&q=/api/books/")
    wait(browser, "td.path a").click()
    wait(browser, ".tree .row", "[request]")
    count = lambda: int(browser.find_element(By.CSS_SELECTOR, ".tree").get_attribute("aria-rowcount"))  # noqa: E731
    before = count()
    closed = wait(browser, ".tree .row[aria-expanded=false]")
    closed.find_element(By.CSS_SELECTOR, ".twist").click()
    WebDriverWait(browser, 10).until(lambda _: count() > before)


def test_functions_view_and_download(browser: Any, shop: str) -> None:
    open_list(browser, shop, "#page=requests&route=/report/")
    wait(browser, "td.path a").click()
    wait(browser, "[role=tab]", "Functions").click()
    wait(browser, "[aria-label=Functions] td", "copy.deepcopy")
    assert wait(browser, "[role=tab][aria-selected=true]").text == "Functions"
    wait(browser, ".menu summary", "Download").click()
    link = wait(browser, ".menu a", "slowlens, everything").get_attribute("href")
    from slowlens import _core

    assert json.loads(_core.Profile(fetch(link)).meta())["meta"]["route"] == "/report/"


def test_new_requests_appear_by_themselves(browser: Any, shop: str) -> None:
    open_list(browser, shop)
    fetch(shop + "/books/1234/")
    wait(browser, "td.path a", "/books/1234/")


def test_an_empty_filter_says_so(browser: Any, shop: str) -> None:
    browser.get(shop + VIEWER + "#page=requests&q=no-such-thing")
    assert "No stored request matches" in wait(browser, ".empty").text


def test_a_deleted_request_is_gone(browser: Any, shop: str) -> None:
    fetch(shop + "/books/999/")
    time.sleep(1)
    open_list(browser, shop, "#page=requests&q=/books/999/")
    wait(browser, "td.path a").click()
    wait(browser, ".answer")
    wait(browser, "button", "Delete").click()
    assert "No stored request matches" in wait(browser, ".empty").text, "the list as it was left"
    wait(browser, ".toast button", "Undo").click()
    wait(browser, "h1", "GET /books/999/")
    wait(browser, "button", "Delete").click()
    wait(browser, ".toast button", "Undo")
    browser.get("about:blank")
    browser.get(shop + VIEWER + "#page=requests&q=/books/999/")
    assert "No stored request matches" in wait(browser, ".empty").text
