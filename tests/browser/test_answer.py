"""The answer above the fold, places that are kept, the filter box, keys: by pointer and by keyboard, at four widths."""

from __future__ import annotations

import json
import re
import sqlite3
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from threading import Event, Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select
from selenium.webdriver.support.wait import WebDriverWait
from test_hostile import record
from test_views import painted, press, show, slowest

from slowlens.insight import regressions
from slowlens.request import new_id
from slowlens.wsgi import ProfilerMiddleware

from conftest import VIEWER, fetch, open_list, served, size, wait
from releases import made

DAY_NS = 86_400_000_000_000
WIDTHS = {1440: 900, 1280: 720, 768: 1024, 360: 740}
VIEWS = ("tree", "flame", "timeline", "functions", "source", "queries", "repeats", "treemap", "graph")


def until(browser: Any, truth: Any) -> Any:
    return WebDriverWait(browser, 15, ignored_exceptions=[Exception]).until(lambda _: truth())


def all_pages(shop: str) -> dict[str, str]:
    one, other = slowest(shop, "/report/"), slowest(shop, "/report/repaired/")
    return {
        "requests": "#page=requests", "routes": "#page=routes", **{view: f"#r={one}&view={view}" for view in VIEWS},
        "merged": "#r=aggregate&route=/report/&method=GET",
        **{f"difference-{view}": f"#page=diff&a={one}&b={other}&view={view}"
           for view in ("tree", "flame", "functions")},
    }


def loaded(browser: Any, page: str) -> None:
    wait(browser, "tbody td.path" if page in ("requests", "routes") else "#panel > :not(.loading)")


def element(browser: Any, css: str) -> Any:
    return browser.find_element(By.CSS_SELECTOR, css)


# ---- layout ----

@pytest.mark.parametrize(("width", "height", "least"), [(1440, 900, 28), (1280, 720, 20)])
def test_the_view_has_what_the_top_leaves(browser: Any, shop: str, width: int, height: int, least: int) -> None:
    size(browser, width, height)
    one = slowest(shop, "/report/")
    show(browser, shop, f"#r={one}&fold=0")
    wait(browser, ".tree .row", "copy.deepcopy")
    for view in VIEWS:
        show(browser, shop, f"#r={one}&view={view}")
        loaded(browser, view)
        box = element(browser, "#panel").rect
        assert box["y"] <= 140, view
        assert box["y"] + box["height"] >= height - 1, f"{view} goes down to the edge"
        assert browser.execute_script("return document.documentElement.scrollHeight") <= height, "the page is no longer"
    # Rows of the answer: as many as the view has room for.
    show(browser, shop, f"#r={one}&fold=0")
    wait(browser, ".tree .row", "copy.deepcopy")
    for _ in range(40):
        if int(element(browser, ".tree").get_attribute("aria-rowcount")) >= least + 5:
            break
        browser.find_elements(By.CSS_SELECTOR, ".tree .row[aria-expanded=false] .twist")[0].click()
    seen = browser.execute_script("""
        const box = document.querySelector('.tree').getBoundingClientRect();
        const head = document.querySelector('.tree .top').getBoundingClientRect();
        return [...document.querySelectorAll('.tree .row')].map((row) => row.getBoundingClientRect())
            .filter((row) => row.top >= head.bottom - 1 && row.bottom <= Math.min(box.bottom, innerHeight) + 1)
            .length""")
    assert seen >= least
    assert element(browser, "#side").rect["x"] > element(browser, "#panel").rect["x"] + 500, "beside it"
    press(browser, "s")
    until(browser, lambda: not element(browser, "#side").is_displayed())
    assert "side=0" in browser.current_url


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_scrolls_sideways(browser: Any, shop: str, width: int) -> None:
    size(browser, width, WIDTHS[width])
    for name, page in all_pages(shop).items():
        show(browser, shop, page)
        loaded(browser, name)
        wide = browser.execute_script("return document.documentElement.scrollWidth")
        assert wide <= width, name
        if name in ("tree", "flame"):
            answer = element(browser, ".answer").rect
            assert answer["x"] >= 0 and answer["x"] + answer["width"] <= width
            panel = element(browser, "#panel").rect
            assert panel["width"] >= min(width, 340) and panel["height"] >= 300, "there is something to be seen"
    if width < 1000:
        below = element(browser, "#side").rect["y"] - element(browser, "#panel").rect["y"]
        assert below >= 300, "the panel stands below"


#: Of what explains colours, an item is there whole or not at all; of what can be pressed, all can be reached.
CUT = """
const wrong = [];
for (const list of document.querySelectorAll('ul.inline')) {
    const line = list.getBoundingClientRect();
    for (const item of list.children) {
        const box = item.getBoundingClientRect();
        if (box.top < line.bottom - 2 && box.right > line.right + 1) wrong.push(`half of ${item.textContent}`);
    }
    if (!list.hidden && line.height < 15) wrong.push('no colour is explained');
}
const parts = '.toolbar button, .toolbar select, .viewtools > *, .viewbar > button, .search *, .actions > *';
for (const one of document.querySelectorAll(parts)) {
    if (one.getBoundingClientRect().width === 0) continue;
    if (innerWidth < 640) one.scrollIntoView({ block: 'nearest' }); // where the page itself scrolls
    const { left, right, top, height } = one.getBoundingClientRect();
    const seen = document.elementFromPoint(right - 3, top + height / 2);
    if (left < 0 || right > innerWidth || !one.contains(seen)) wrong.push(`covered: ${one.outerHTML}`);
}
for (const one of document.querySelectorAll('.tree :is(.head, .row) > :not(:first-child)'))
    if (one.scrollWidth > one.clientWidth + 1) wrong.push(`cut: ${one.textContent}`);
for (const one of document.querySelectorAll('svg.graph .box text:last-child'))
    if (one.textContent.includes('…') || one.getBBox().x + one.getBBox().width > 230) wrong.push(one.textContent);
const brief = document.querySelector('.brief');
if (brief && innerWidth <= 1400 && brief.scrollWidth > brief.clientWidth + 1) wrong.push(`cut: ${brief.textContent}`);
return wrong;
"""


def test_nothing_is_cut_in_half_or_covered(browser: Any, shop: str, feed: str) -> None:
    one, other = slowest(shop, "/report/"), slowest(shop, "/report/repaired/")
    for base, page in ((feed, "#page=requests"), (shop, f"#r={one}"), (shop, f"#r={one}&view=flame&node=3&root=3"),
                       (shop, f"#page=diff&a={one}&b={other}"), (shop, "#r=aggregate&route=/report/&method=GET"),
                       (shop, f"#r={one}&view=graph")):
        legends = page in ("#page=requests", f"#r={one}") or "root" in page
        size(browser, 1440, 900)
        show(browser, base, page)
        loaded(browser, "requests" if "page=r" in page else "tree")
        if legends:
            until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "ul.inline li"))
        for width in (1600, 1440, 1425, 1366, 1280, 1201, 1024, 768, 360) if legends else (1280, 768, 360):
            size(browser, width, 800)
            until(browser, lambda width=width: browser.execute_script("return innerWidth") == width)
            assert browser.execute_script(CUT) == [], (page, width)


def test_rows_of_the_list(browser: Any, shop: str) -> None:
    size(browser, 1440, 900)
    for _ in range(2):
        for path in ("/", "/books/3/", "/api/books/"):
            fetch(shop + path)
    open_list(browser, shop)
    row = wait(browser, "tbody tr", "/report/")
    assert row.rect["height"] <= 28
    # One bar that adds up to the wall time, to scale with the slowest row shown.
    bars = browser.execute_script("""
        return [...document.querySelectorAll('tbody tr')].map((row) => [row.request.wall_ms,
            row.querySelector('.bar').getBoundingClientRect().width,
            [...row.querySelectorAll('.bar span')].reduce(
                (sum, one) => sum + one.getBoundingClientRect().width, 0)])""")
    most = max(bars)
    for wall, width, pieces in bars:
        assert pieces == pytest.approx(width, abs=1)
        assert width == pytest.approx(max(most[1] * wall / most[0], most[1] / 100), abs=1)
    for width, height, least in ((1440, 900, 26), (1280, 720, 20)):
        size(browser, width, height)
        assert browser.execute_script("""
            return [...document.querySelectorAll('tbody tr')].map((row) => row.getBoundingClientRect())
                .filter((row) => row.top >= 0 && row.bottom <= innerHeight).length""") >= least
    # Each colour in a row is one of the legend's, and each part of the legend is in a row.
    size(browser, 1440, 900)
    legend, drawn = browser.execute_script("""
        const kinds = (css) => [...new Set([...document.querySelectorAll(css)].map(
            (one) => one.className.match(/k-\\w+/)[0]))];
        return [kinds('.toolbar .key').sort(), kinds('tbody .bar span').sort()]""")
    assert legend == drawn and "k-cpu" in legend
    assert [int(one.text) for one in browser.find_elements(By.CSS_SELECTOR, "tbody td.queries") if one.text]
    said = element(browser, "tbody .bar").get_attribute("aria-label")
    assert re.match(r"Wall time: [a-zA-Z ]+ [\d.]+ (ms|µs) \(", said)


# ---- places are kept ----

def test_another_view_keeps_rows_chosen_and_focus(browser: Any, shop: str) -> None:
    show(browser, shop, f"#r={slowest(shop, '/report/')}")
    row = wait(browser, ".tree .row", "shortcuts.render")
    many = int(element(browser, ".tree").get_attribute("aria-rowcount"))
    row.find_element(By.CSS_SELECTOR, ".twist").click()
    until(browser, lambda: int(element(browser, ".tree").get_attribute("aria-rowcount")) > many)
    opened = int(element(browser, ".tree").get_attribute("aria-rowcount"))
    wait(browser, ".tree .row", "reports.build").click()
    wait(browser, "#side .chosen-box h2", "reports.build")
    tab = wait(browser, "[role=tab]", "Flame graph")
    tab.click()
    wait(browser, ".live", "reports.build")
    assert browser.switch_to.active_element == tab, "the focus stays where the hand is"
    wait(browser, "[role=tab]", "Source").click()
    wait(browser, "table.source", "copy.deepcopy(TEMPLATE)")
    assert "reports.build" in element(browser, "#panel select option:checked").text
    wait(browser, "[role=tab]", "Functions").click()
    wait(browser, ".chosen .middle", "reports.build")
    wait(browser, "[role=tab]", "Treemap").click()
    wait(browser, ".live", "reports.build")
    wait(browser, "[role=tab]", "Call graph").click()
    wait(browser, "svg.graph g.chosen", "reports.build")
    wait(browser, "[role=tab]", "Call tree").click()
    wait(browser, ".tree .row[aria-selected=true]", "reports.build")
    assert int(element(browser, ".tree").get_attribute("aria-rowcount")) == opened, "the row that was opened"
    browser.back()
    wait(browser, "svg.graph g.chosen", "reports.build")


def test_what_a_link_names_wins_over_what_was_chosen_before(browser: Any, shop: str) -> None:
    show(browser, shop, f"#r={slowest(shop, '/report/')}")
    wait(browser, ".tree .row", "shortcuts.render").click()
    wait(browser, "#side .chosen-box h2", "shortcuts.render")
    wait(browser, "[role=tab]", "Repeats").click()
    wait(browser, "ol.repeats button", "copy.deepcopy").click()
    until(browser, lambda: "copy.deepcopy" in element(browser, ".tree .row[aria-selected=true]").text)
    wait(browser, "#side .chosen-box h2", "copy.deepcopy")


def test_zoom_and_opened_rows_outlive_a_reload(browser: Any, shop: str) -> None:
    one = slowest(shop, "/report/")
    show(browser, shop, f"#r={one}")
    wait(browser, ".tree .row", "shortcuts.render").find_element(By.CSS_SELECTOR, ".twist").click()
    opened = int(element(browser, ".tree").get_attribute("aria-rowcount"))
    browser.refresh()
    wait(browser, ".tree .row", "shortcuts.render")
    until(browser, lambda: int(element(browser, ".tree").get_attribute("aria-rowcount")) == opened)
    show(browser, shop, f"#r={one}&view=flame")
    until(browser, lambda: painted(browser, "canvas.flame") > 4)
    wait(browser, ".live", "copy.deepcopy")  # all of it is there
    for _ in range(3):
        wait(browser, ".flame-tools button", "+").click()
    time.sleep(0.3)
    pixels = "return document.querySelector('canvas.flame').toDataURL()"
    zoomed = browser.execute_script(pixels)
    browser.refresh()
    until(browser, lambda: browser.execute_script(pixels) == zoomed)


def test_the_list_is_found_as_it_was_left(browser: Any, shop: str) -> None:
    size(browser, 1280, 500)

    def stored() -> int:
        return len(json.loads(fetch(shop + VIEWER + "api/requests?limit=200"))["requests"])

    asked = max(0, 70 - stored())
    for _ in range(asked):
        fetch(shop + "/api/books/")
    # One that is stored later may be a slow one, and move the rows.
    until(browser, lambda: stored() >= 70)
    open_list(browser, shop, "#page=requests&sort=-wall_ms")
    browser.execute_script("scrollTo(0, document.body.scrollHeight)")
    wait(browser, ".page > button", "More").click()
    until(browser, lambda: len(browser.find_elements(By.CSS_SELECTOR, "tbody tr")) > 60)
    row = browser.find_elements(By.CSS_SELECTOR, "tbody tr")[58]
    link = row.find_element(By.CSS_SELECTOR, "td.path a")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", link)
    before, one = browser.execute_script("return scrollY"), row.get_attribute("data-id")
    link.click()

    def same() -> bool:
        focused = browser.execute_script("return document.activeElement.closest('tr')?.dataset.id")
        return abs(browser.execute_script("return scrollY") - before) < 40 and focused == one

    for back in (browser.back, lambda: press(browser, Keys.ESCAPE),
                 lambda: element(browser, ".back").click()):
        wait(browser, ".answer")
        back()
        wait(browser, f"tr[data-id='{one}']")
        until(browser, same)
        press(browser, Keys.ENTER)
    wait(browser, ".answer")
    browser.back()
    until(browser, same)
    browser.refresh()
    wait(browser, f"tr[data-id='{one}']")
    until(browser, lambda: abs(browser.execute_script("return scrollY") - before) < 40)


def test_new_rows_wait_while_somebody_reads(browser: Any, shop: str) -> None:
    size(browser, 1280, 500)
    open_list(browser, shop)
    browser.execute_script("scrollTo(0, 200)")
    before = browser.execute_script("return scrollY")
    assert before > 100
    fetch(shop + "/books/77/")
    wait(browser, "button.news", "1 new")
    assert browser.execute_script("return scrollY") == before
    assert "/books/77/" not in element(browser, "tbody tr").text
    element(browser, "button.news").click()
    wait(browser, "tbody tr:first-child", "/books/77/")
    assert not element(browser, "button.news").is_displayed()


def test_deleting_in_the_list_can_be_undone(browser: Any, shop: str) -> None:
    fetch(shop + "/books/55/")
    fetch(shop + "/books/55/")
    time.sleep(1)
    open_list(browser, shop, "#page=requests&q=/books/55/")
    for box in browser.find_elements(By.CSS_SELECTOR, "tbody input"):
        box.click()
    wait(browser, "button", "Delete chosen").click()
    until(browser, lambda: not browser.find_elements(By.CSS_SELECTOR, "tbody tr"))
    wait(browser, ".toast", "2 deleted").find_element(By.TAG_NAME, "button").click()
    until(browser, lambda: len(browser.find_elements(By.CSS_SELECTOR, "tbody tr")) == 2)
    time.sleep(9)
    assert len(json.loads(fetch(shop + VIEWER + "api/requests?q=/books/55/"))["requests"]) == 2


# ---- the filter box ----

def test_errors_stand_in_the_box_and_nothing_is_lost(browser: Any, shop: str) -> None:
    open_list(browser, shop)
    before = len(browser.find_elements(By.CSS_SELECTOR, "tbody tr"))
    box = element(browser, ".filter input")
    box.send_keys("/authors/ colour:red", Keys.ENTER)
    assert "no field is called 'colour': there are path, function, tag" in wait(
        browser, ".filter .problem", "colour").text
    assert box.get_attribute("value") == "/authors/ colour:red"
    assert box.get_attribute("aria-invalid") == "true"
    assert len(browser.find_elements(By.CSS_SELECTOR, "tbody tr")) == before
    box.send_keys(Keys.BACKSPACE * len(" colour:red"), Keys.ENTER)
    wait(browser, ".chip", "/authors/")
    until(browser, lambda: box.get_attribute("value") == "" == element(browser, ".filter .problem").text)
    until(browser, lambda: all("/authors/" in row.text for row in browser.find_elements(By.CSS_SELECTOR, "tbody tr")))
    # A link with a fault is no blank page either.
    show(browser, shop, "#page=requests&status=abc&filter=det")
    wait(browser, ".filter .problem", "status: is 404, a class such as 5xx, or error")
    box = element(browser, ".filter input")
    assert box.get_attribute("value") == "status:abc det"
    box.clear()
    box.send_keys("det", Keys.ENTER)
    wait(browser, ".chip", "det")
    wait(browser, "tbody tr")
    browser.get_log("browser")  # where the refusal is told, too


def test_chips_and_completion(browser: Any, shop: str) -> None:
    open_list(browser, shop)
    box = element(browser, ".filter input")
    box.send_keys("sta")
    wait(browser, ".offers li", "status:")
    box.send_keys(Keys.TAB)
    assert box.get_attribute("value") == "status:"
    wait(browser, ".offers li", "status:5xx")
    box.send_keys("5")
    box.send_keys(Keys.TAB)
    wait(browser, ".chip", "5xx")
    until(browser, lambda: all("/error/" in row.text for row in browser.find_elements(By.CSS_SELECTOR, "tbody tr")))
    box.send_keys("/authors", Keys.BACKSPACE * 8, "det", Keys.ENTER)
    wait(browser, ".chip", "det")
    until(browser, lambda: "filter=5xx+det" in browser.current_url)
    assert browser.switch_to.active_element == box, "the reader goes on writing"
    box.send_keys(Keys.BACKSPACE)
    until(browser, lambda: box.get_attribute("value") == "det")
    until(browser, lambda: browser.current_url.endswith("filter=5xx"))
    wait(browser, ".chip", "5xx").click()
    until(browser, lambda: "filter=" not in browser.current_url)


def test_quick_filters_say_how_many_there_are(browser: Any, shop: str) -> None:
    open_list(browser, shop)
    for title, term in (("errors", "error"), ("n+1", "finding:n+1")):
        chip = wait(browser, ".quick button", title)
        assert chip.get_attribute("aria-pressed") == "false"
        many = int(chip.find_element(By.TAG_NAME, "b").text)
        assert many > 0
        chip.click()
        wait(browser, ".chip", term)
        until(browser, lambda many=many: len(browser.find_elements(By.CSS_SELECTOR, "tbody tr")) == min(50, many))
        chip = wait(browser, ".quick button[aria-pressed=true]", title)
        assert int(chip.find_element(By.TAG_NAME, "b").text) == many
        chip.click()
        until(browser, lambda: not browser.find_elements(By.CSS_SELECTOR, ".chip"))
    Select(element(browser, ".toolbar select")).select_by_visible_text("last hour")
    wait(browser, ".chip", "last:1h")
    Select(browser.find_elements(By.CSS_SELECTOR, ".toolbar select")[1]).select_by_visible_text("sampled")
    wait(browser, ".empty", "No stored request matches this filter.")
    wait(browser, ".quick button[disabled]", "errors 0")


def test_tags_are_links(browser: Any, tmp_path: Path) -> None:
    for i, who in enumerate(("anna", "anna", "bert")):
        record(lambda: sum(range(1000)), tmp_path / f"{i}.slowlens", path=f"/{i}", route="/", **{"tag.user": who})
    with served(*(tmp_path / f"{i}.slowlens" for i in range(3))) as base:
        browser.get(base)
        wait(browser, "a.tag", "user=anna").click()
        wait(browser, ".chip", "tag:user=anna")
        until(browser, lambda: len(browser.find_elements(By.CSS_SELECTOR, "tbody tr")) == 2)
        box = element(browser, ".filter input")
        box.send_keys("tag:user=bert", Keys.ENTER)
        until(browser, lambda: [row.find_element(By.CSS_SELECTOR, "a").text for row in browser.find_elements(
            By.CSS_SELECTOR, "tbody tr")] == ["/2"])
        element(browser, "td.path a").click()
        wait(browser, "#side a.tag", "user=bert")
        browser.get("about:blank")  # the list asks on, and the server goes


@pytest.mark.parametrize("width", [1440, 360])
def test_when_and_how_long_are_whole_whatever_the_day(browser: Any, tmp_path: Path, width: int) -> None:
    now = time.time_ns()
    rows = ((now, 1_000), (now - 5 * DAY_NS, 30_000_000_000), (now - 400 * DAY_NS, DAY_NS))
    for i, (started, wall) in enumerate(rows):
        record(lambda: sum(range(1000)), tmp_path / f"{i}.slowlens", id=new_id(started), started=started, wall_ns=wall)
    with served(tmp_path) as base:
        size(browser, width, WIDTHS[width])
        browser.get(base)
        until(browser, lambda: len(browser.find_elements(By.CSS_SELECTOR, "tbody tr")) == 3)
        cut = browser.execute_script("""
            return [...document.querySelectorAll('td.when, td.wall')]
                .filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.textContent)""")
        assert cut == []
        assert element(browser, "tbody tr:last-child .wall").text == "86400 s"
        units = browser.execute_script("""
            return [...document.querySelectorAll('td.wall span')]
                .map((one) => getComputedStyle(one, '::after').content)""")
        assert units == (['" ms"', '" ms"', "none"] if width == 360 else ["none"] * 3)
        browser.get("about:blank")


def test_releases_findings_and_what_was_killed(browser: Any, tmp_path: Path) -> None:
    for i, meta in enumerate(({"release": "v1"}, {"release": "v2", "findings": "n+1,slow query"}, {"flags": "killed"})):
        record(lambda: sum(range(1000)), tmp_path / f"{i}.slowlens", path=f"/{i}", route="/", **meta)

    def paths() -> list[str]:
        return sorted(one.text for one in browser.find_elements(By.CSS_SELECTOR, "tbody td.path a[data-row]"))

    with served(*(tmp_path / f"{i}.slowlens" for i in range(3))) as base:
        browser.get(base)
        assert wait(browser, "tr.killed td.status", "killed")
        wait(browser, "a.finding", "n+1").click()
        wait(browser, ".chip", "finding:n+1")
        until(browser, lambda: paths() == ["/1"])
        element(browser, ".chip").click()
        until(browser, lambda: len(paths()) == 3)
        box = element(browser, ".filter input")
        box.send_keys("rel", Keys.TAB, "v1", Keys.TAB)
        wait(browser, ".chip", "release:v1")
        until(browser, lambda: paths() == ["/0"])
        browser.get("about:blank")  # the list asks on, and the server goes


# ---- keys ----

def test_the_first_request_within_two_tabs(browser: Any, shop: str) -> None:
    open_list(browser, shop)
    press(browser, Keys.TAB)
    assert browser.switch_to.active_element.get_attribute("id") == "skip"
    press(browser, Keys.ENTER)
    first = browser.switch_to.active_element
    assert first == element(browser, "tbody tr:first-child td.path a")
    press(browser, Keys.ENTER)
    wait(browser, ".answer")


@pytest.mark.parametrize("width", WIDTHS)
def test_everything_by_keyboard_alone(browser: Any, shop: str, width: int) -> None:
    size(browser, width, WIDTHS[width])
    open_list(browser, shop)
    press(browser, "/")
    assert browser.switch_to.active_element == element(browser, ".filter input")
    press(browser, "route:/report/ det", Keys.ENTER)
    wait(browser, ".chip", "det")
    press(browser, Keys.ESCAPE, "j", "j", "k")
    assert browser.switch_to.active_element == element(browser, "tbody tr:first-child td.path a")
    press(browser, Keys.ENTER)
    wait(browser, ".tree .row", "copy.deepcopy")
    press(browser, "j", "k", "k")
    assert "reports.build" in element(browser, ".tree .row[aria-selected=true]").text
    press(browser, "2")
    wait(browser, ".live", "reports.build")
    press(browser, "j")
    wait(browser, ".live", "copy.deepcopy")
    press(browser, "/", "deepcopy", Keys.ENTER)
    wait(browser, ".found", "1 of ")
    press(browser, Keys.ESCAPE, "n")
    wait(browser, ".found", "2 of ")
    press(browser, "N")
    wait(browser, ".found", "1 of ")
    press(browser, "?")
    wait(browser, "dialog.help h2", "Keys")
    press(browser, Keys.ESCAPE)
    until(browser, lambda: not browser.find_elements(By.CSS_SELECTOR, "dialog"))
    press(browser, Keys.ESCAPE)
    wait(browser, "tbody td.path a", "/report/")
    press(browser, "g", "o")
    wait(browser, "table.routes")
    press(browser, "g", "r")
    wait(browser, "table.requests")


def test_the_palette_goes_anywhere(browser: Any, shop: str) -> None:
    def go(text: str, found: str) -> None:
        ActionChains(browser).key_down(Keys.CONTROL).send_keys("k").key_up(Keys.CONTROL).perform()
        field = wait(browser, "dialog.palette input")
        field.send_keys(text)
        wait(browser, "dialog.palette li[aria-selected=true]", found)
        field.send_keys(Keys.ENTER)

    open_list(browser, shop)
    go("authors repaired", "GET /authors/repaired/")
    wait(browser, ".chip", "route:/authors/repaired/")
    show(browser, shop, f"#r={slowest(shop, '/report/')}")
    wait(browser, ".tree .row", "copy.deepcopy")
    go("Timeline", "Timeline")
    wait(browser, "[role=tab][aria-selected=true]", "Timeline")
    go("reports.build", "reports.build")
    wait(browser, "#side .chosen-box h2", "reports.build")
    go("/export.csv", "/export.csv")
    until(browser, lambda: "export" in browser.current_url or "export" in element(browser, "h1").text)


def test_single_keys_can_be_switched_off(browser: Any, shop: str) -> None:
    open_list(browser, shop)
    press(browser, "?")
    wait(browser, "dialog.help")
    browser.execute_script("""
        const one = [...document.querySelectorAll('dialog select')].find(
            (one) => one.closest('label').textContent.startsWith('Single'));
        one.value = 'off'; one.dispatchEvent(new Event('change'));""")
    press(browser, Keys.ESCAPE)
    until(browser, lambda: not browser.find_elements(By.CSS_SELECTOR, "dialog"))
    press(browser, "/")
    assert browser.switch_to.active_element != element(browser, ".filter input")


# ---- one request ----

def test_the_sentence_can_be_followed(browser: Any, shop: str) -> None:
    show(browser, shop, f"#r={slowest(shop, '/report/')}&view=flame")
    wait(browser, ".answer button", "reports.build").click()
    wait(browser, ".live", "reports.build")
    line = wait(browser, ".answer button", "books/reports.py:")
    number = line.text.split(":")[1]
    line.click()
    hot = wait(browser, "table.source tr.hot")
    assert hot.get_attribute("data-line") == number


def at(browser: Any, row: int, x: int = 60) -> ActionChains:
    canvas = element(browser, "canvas.flame")
    return ActionChains(browser).move_to_element_with_offset(
        canvas, -canvas.size["width"] // 2 + x, -canvas.size["height"] // 2 + 20 + 18 * row + 5)


def row_with(browser: Any, text: str) -> int:
    """The row of the picture whose box at the left has a card with this text: above the timeline stand marks."""
    def found(row: int) -> bool:
        at(browser, row).perform()
        return text in element(browser, ".card").text
    return int(until(browser, lambda: next((row + 1 for row in range(9) if found(row)), 0))) - 1


def test_middleware_is_folded_and_the_card_says_it(browser: Any, shop: str) -> None:
    one = slowest(shop, "/report/")
    for view in ("flame", "timeline"):
        show(browser, shop, f"#r={one}&view={view}")
        until(browser, lambda: painted(browser, "canvas.flame") > 3)
        row = row_with(browser, "frames of django")
        assert re.match(r"\d+ frames of django, from ", element(browser, ".card").text)
        at(browser, row + 1).perform()
        card = wait(browser, ".card", "views.report").text
        for part in ("books/views.py:", "total", "self", "of its caller", " %"):
            assert part in card, part
        wait(browser, ".viewtools label", "Fold").click()
        at(browser, row + 1, 65).perform()
        until(browser, lambda: "views.report" not in element(browser, ".card").text)
        assert "fold=0" in browser.current_url


def test_what_was_asked_of_others_stands_above_the_timeline(browser: Any, shop: str) -> None:
    show(browser, shop, f"#r={slowest(shop, '/authors/')}&view=timeline")
    until(browser, lambda: painted(browser, "canvas.flame") > 3)

    def query() -> str:
        for x in range(1, 40):
            at(browser, 1, x).perform()
            text = str(element(browser, ".card").text)
            if "SELECT" in text:
                return text
        return ""

    card = until(browser, query)
    for part in ("db, asked by ", "took", "began at"):
        assert part in card, card


def test_upside_down_what_took_the_time_comes_first(browser: Any, shop: str) -> None:
    """As in a flame graph that is inverted: below a function all who called it, over as many steps as there are."""
    one = slowest(shop, "/report/")
    show(browser, shop, f"#r={one}")
    wait(browser, ".tree .row.project")
    wait(browser, ".viewtools label", "Invert").click()
    first = wait(browser, ".tree .row[aria-level='2']", "deepcopy")
    assert "invert=1" in browser.current_url
    first.click()  # which is open where what was chosen before stands below it
    press(browser, Keys.ARROW_RIGHT)
    callers = wait(browser, ".tree .row[aria-level='3']", "deepcopy")
    callers.click()
    press(browser, Keys.ARROW_RIGHT)
    wait(browser, ".tree .row[aria-level='4']")
    show(browser, shop, f"#r={one}&view=flame&invert=1")
    until(browser, lambda: painted(browser, "canvas.flame") > 3)
    at(browser, 1).perform()
    wait(browser, ".card", "deepcopy")
    wait(browser, ".answer button.link", "copy.deepcopy").click()  # a node of the tree as it was called
    until(browser, lambda: "invert" not in browser.current_url)
    wait(browser, ".live", "copy.deepcopy")


def test_what_recording_took_is_told_and_is_nothing_of_the_app(browser: Any, shop: str) -> None:
    listed = json.loads(fetch(f"{shop}{VIEWER}api/requests?filter=path:/report/&mode=deterministic&sort=wall_ms"))
    one = next(row["id"] for row in listed["requests"] if row["path"] == "/report/")
    summary = json.loads(fetch(f"{shop}{VIEWER}api/requests/{one}"))
    wall, shared = summary["wall_ns"], summary["shared_ns"]
    assert 0 < shared < wall
    show(browser, shop, f"#r={one}")
    chosen = wait(browser, ".tree .row[aria-selected=true]", "copy.deepcopy")
    brief = wait(browser, ".brief").text
    assert bool(re.search(r" m?s \(≈ [\d.]+ m?s unprofiled\)", brief)) == (wall - shared > wall / 50), brief
    # Shares are of the app's own time, as in the sentence.
    node = int(chosen.get_attribute("data-node"))
    total = next(step["total_ns"] for step in summary["hot_path"] if step["node"] == node)
    assert f" {total / shared:.1%}".replace("%", " %") in " ".join(chosen.text.split("\n"))
    assert "100.0 %" in wait(browser, ".tree .row[aria-level='1']").text
    wait(browser, ".tree .row .where", "what recording every call took")
    wait(browser, "#side .legend li", "recording it")
    assert "own cost" not in wait(browser, "[aria-label='Heaviest functions']").text


def test_tasks_take_nothing_of_the_requests_own_flame(browser: Any, feed: str) -> None:
    listed = json.loads(fetch(f"{feed}{VIEWER}api/requests?q=/feed/&sort=-wall_ms"))["requests"]
    for view in ("flame", "timeline"):
        show(browser, feed, f"#r={listed[0]['id']}&view={view}")
        until(browser, lambda: painted(browser, "canvas.flame") > 3)
        wide = element(browser, "canvas.flame").size["width"]
        at(browser, 0, wide - 8).click().perform()
        wait(browser, ".live", "[request]")
        # A task may have run at any time of the request.
        row, x = next((row, x) for row in range(3, 25) for x in range(60, wide, wide // 12) if task_at(browser, row, x))
        was = lanes(browser)
        at(browser, row, x).click().perform()
        until(browser, lambda was=was: lanes(browser) != was)
        wait(browser, ".live", "beside the request")
        browser.execute_script("document.querySelector('canvas.flame').focus()")
        press(browser, Keys.SPACE)
        until(browser, lambda was=was: lanes(browser) == was)


def lanes(browser: Any) -> set[str]:
    """Those that stand open, as the URL says."""
    fragment = urllib.parse.parse_qs(urllib.parse.urlsplit(browser.current_url).fragment)
    return set(fragment.get("lanes", [""])[0].split(".")) - {""}


def task_at(browser: Any, row: int, x: int) -> bool:
    at(browser, row, x).perform()
    card = element(browser, ".card")
    return card.is_displayed() and card.text.startswith(("[task]", "[thread]"))


LONG = "GET /slow: views.resize > images.Resizer.scale_to_the_width_of_the_page > ImagingCore.resize_with_antialiasing"


def test_who_waited_for_the_loop_is_told_by_the_first_sentence(browser: Any, tmp_path: Path) -> None:
    one = record(lambda: sum(range(1000)), tmp_path / "x.slowlens", path="/one", route="/one", cpu_ns=0, loop_ns=10**15,
                 held_ns=140_000_000, held_by=LONG, held_id="0" * 26)
    with served(tmp_path / "x.slowlens") as base:
        browser.get(f"{base}#r={one}")
        size(browser, 1280, 720)
        said = wait(browser, ".answer").text
        # Also under a sentence of two lines.
        until(browser, lambda: element(browser, "#panel").rect["y"] <= 140)
        assert f"waiting for the event loop, which was busy with {LONG} (140 ms in a row)" in said
        assert element(browser, ".answer a").get_attribute("href").endswith("#r=" + "0" * 26)


def test_few_samples_look_few(browser: Any, shop: str) -> None:
    fetch(shop + "/report/repaired/?slowlens=sampling")
    time.sleep(1)
    listed = json.loads(fetch(f"{shop}{VIEWER}api/requests?mode=sampling&q=/report/repaired/"))["requests"]
    show(browser, shop, f"#r={listed[0]['id']}")
    brief = wait(browser, ".brief", "sampled").text
    samples = int(re.search(r"([\d\u202f]+) sample", brief)[1].replace("\u202f", ""))  # type: ignore[index]
    assert ("(few)" in brief) == (samples < 30)
    shares = [row.find_elements(By.CSS_SELECTOR, "[role=gridcell]")[1].text for row in browser.find_elements(
        By.CSS_SELECTOR, ".tree .row")]
    assert all("." not in share for share in shares) == (samples < 100), shares
    wait(browser, "[data-view=functions]").click()
    assert "Samples" in wait(browser, "table.functions thead", "Function").text
    cells = browser.find_elements(By.CSS_SELECTOR, "table.functions tbody tr:first-child td")
    heads = browser.find_elements(By.CSS_SELECTOR, "table.functions th")
    assert len(cells) == len(heads) == 5, "what a call took is not known"


def test_search_steps_through_every_view(browser: Any, shop: str) -> None:
    one = slowest(shop, "/report/")
    for view in ("tree", "flame", "timeline", "functions", "treemap", "graph", "repeats"):
        show(browser, shop, f"#r={one}&view={view}")
        loaded(browser, view)
        field = wait(browser, "form.search input")
        field.clear()
        field.send_keys("deepcopy" if view != "repeats" else "reports", Keys.ENTER)
        found = wait(browser, ".found", "1 of ").text
        many = int(re.match(r"1 of ([\d\u202f]+)", found)[1].replace("\u202f", ""))  # type: ignore[index]
        element(browser, "form.search button[type=button]").click()
        wait(browser, ".found", f"{many if many < 1000 else ''}")
        element(browser, "form.search button[type=submit]").click()
        wait(browser, ".found", "1 of ")
    show(browser, shop, f"#r={one}&view=source")
    wait(browser, "table.source")
    element(browser, "form.search input").send_keys("TEMPLATE", Keys.ENTER)
    wait(browser, "tr.found", "copy.deepcopy(TEMPLATE)")


# ---- difference ----

def test_a_difference_says_what_is_compared_and_which_function_it_is(browser: Any, shop: str) -> None:
    one, other = slowest(shop, "/report/"), slowest(shop, "/report/repaired/")
    show(browser, shop, f"#page=diff&a={one}&b={other}")
    wait(browser, ".brief a", "GET /report/")
    wait(browser, ".brief a", "GET /report/repaired/")
    answer = wait(browser, ".answer", "copy.deepcopy").text
    said = r"−.* of it in copy\.deepcopy, called by reports\.build: 800 calls before, none after\.$"
    assert re.match(said, answer), answer
    assert "Two routes" in element(browser, ".splitline").text
    sides = wait(browser, "table.sides").text
    assert "exact: " in sides
    fetch(shop + "/report/?slowlens=sampling")
    time.sleep(1)
    sampled = json.loads(fetch(f"{shop}{VIEWER}api/requests?mode=sampling&route=/report/"))["requests"][0]["id"]
    show(browser, shop, f"#page=diff&a={one}&b={sampled}")
    wait(browser, ".caution", "Not of one kind: exact before, sampled after")
    head = wait(browser, ".tree .head", "Relative").text
    assert "Calls" not in head and "Samples" not in head, "calls and samples do not stand beside each other"


# ---- habits ----

def test_queries_of_both_sides_of_a_difference(browser: Any, shop: str) -> None:
    for path in ("/authors/", "/authors/repaired/"):
        fetch(shop + path)
    show(browser, shop, f"#page=diff&a={slowest(shop, '/authors/')}&b={slowest(shop, '/authors/repaired/')}")
    wait(browser, "[role=tab]", "Queries").click()
    row = wait(browser, "table[aria-label='Queries before and after'] tbody tr", "books_book")
    numbers = [cell.text for cell in row.find_elements(By.CSS_SELECTOR, "td.number")]
    assert numbers[:2] == ["200", "0"] and numbers[-1].startswith("−")
    assert "view=queries" in browser.current_url


def test_copies(browser: Any, shop: str) -> None:
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": """
        window.copied = [];
        const writeText = async (text) => { window.copied.push(text); };
        Object.defineProperty(navigator, 'clipboard', {value: {writeText}});"""})
    one = slowest(shop, "/report/")
    show(browser, shop, f"#r={one}")
    for what in ("link", "curl command", "slowlens command", "markdown"):
        wait(browser, ".menu summary", "Copy").click()
        wait(browser, ".menu[open] button", what).click()
        wait(browser, ".toast", "copied")
    link, curl, command, markdown = browser.execute_script("return window.copied")
    assert link == browser.current_url
    assert curl == f"curl -H 'X-Slowlens: deterministic' '{shop}/report/'"
    assert command == f"slowlens tree {one}"
    assert "copy.deepcopy" in markdown and "books/reports.py:35" in markdown and link in markdown


def test_the_editor_of_the_reader(browser: Any, shop: str) -> None:
    show(browser, shop, f"#r={slowest(shop, '/report/')}")
    browser.execute_script("localStorage.setItem('slowlens.editor', 'vscode://file/{file}:{line}');"
                           "localStorage.setItem('slowlens.paths', '/=/mapped/');")
    browser.refresh()
    wait(browser, ".tree .row", "reports.build").click()
    href = wait(browser, "#side .chosen-box a.where").get_attribute("href")
    assert re.match(r"vscode://file//mapped/.*/books/reports\.py:31$", href), href
    assert wait(browser, ".answer a").get_attribute("href").endswith("/books/reports.py:35")


def test_handing_over_to_the_firefox_profiler(browser: Any, shop: str) -> None:
    one = slowest(shop, "/report/")
    browser.get(f"{shop}{VIEWER}firefox?r={one}")
    browser.execute_script("""
        const other = new MessageChannel().port1;
        window.sent = []; window.opened = [];
        other.postMessage = (message, origin) => {
            window.sent.push([message, origin]);
            if (message.name === 'is-ready' && window.sent.length === 2) dispatchEvent(new MessageEvent('message', {
                source: other, origin: 'https://profiler.firefox.com', data: {name: 'is-ready'}}));
        };
        window.open = (url) => { window.opened.push(url); return other; };""")
    wait(browser, "#open").click()
    wait(browser, "#said", "Handed over")
    sent = browser.execute_script(
        "return window.sent.map(([message, origin]) => [message.name, origin, message.profile?.meta?.product])")
    assert {origin for _, origin, _ in sent} == {"https://profiler.firefox.com"}
    assert sent[-1][0] == "inject-profile" and sent[-1][2], "a profile of theirs"
    assert browser.execute_script("return window.opened") == ["https://profiler.firefox.com/from-post-message/"]


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


@contextmanager
def site(app: Any, store: Path) -> Iterator[str]:
    """The address of a WSGI app of the test's own, under development."""
    wrapped = ProfilerMiddleware(app, debug=True, log=False, store=str(store))
    server = make_server("127.0.0.1", 0, wrapped, Server, Quiet)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def test_all_requests_of_a_route_as_one_flame_graph(browser: Any, tmp_path: Path) -> None:
    def app(environ: Any, start: Any) -> Any:
        start("200 OK", [("Content-Type", "text/plain")])
        return [b"x"]

    with site(app, tmp_path) as base:
        for _ in range(3):
            fetch(base + "/often")
        fetch(base + VIEWER + "pprof?seconds=60")  # has what was gathered stored
        browser.get(base + VIEWER + "#page=routes")
        wait(browser, "td.links a", "flame").click()
        wait(browser, "h1", "/often")
        until(browser, lambda: painted(browser, "canvas.flame") > 2)
        assert "last=1d" in browser.current_url and "view=flame" in browser.current_url
        assert "/often" in json.loads(fetch(
            base + VIEWER + "api/requests/aggregate?route=/often&method=GET&last=1d"))["meta"]["route"]
        press(browser, Keys.ESCAPE)
        wait(browser, "td.path a", "/often")


@pytest.mark.parametrize("apart", [-5000, 5000])
def test_a_badge_where_the_clocks_differ(browser: Any, tmp_path: Path, apart: int) -> None:
    def app(environ: Any, start: Any) -> Any:
        start("200 OK", [("Content-Type", "text/html")])
        return [b"<!doctype html><title>x</title><link rel=icon href=data:,><p>page"
                b"<script src=/__slowlens__/static/badge.js defer></script>"]

    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": f"""
        const now = Date.now;
        Date.now = () => now() + {apart};
        Object.defineProperty(performance, 'timeOrigin', {{ value: performance.timeOrigin + {apart} }});"""})
    with site(app, tmp_path) as base:
        for path in ("/caf%C3%A9",) if apart < 0 else ("/a%2Cb", "/100%"):
            fetch(base + path)

            def found(path: str = path) -> bool:
                time.sleep(0.7)  # clocks are known as well as half of an answer's way
                browser.get(base + path)
                wait(browser, "slowlens-badge")
                shown = browser.execute_script(
                    "return document.querySelector('slowlens-badge').shadowRoot.querySelector('a').href")
                newest = json.loads(fetch(base + VIEWER + "api/requests?limit=1&sort=-started&q=" + path[:2]))
                return bool(shown.endswith(newest["requests"][0]["id"]))

            until(browser, found)  # once more where the machine had other things to do


def test_the_badge_is_the_developers_own_doing(browser: Any, tmp_path: Path) -> None:
    def app(environ: Any, start: Any) -> Any:
        start("200 OK", [("Content-Type", "text/html")])
        sqlite3.connect(":memory:").execute("select 1")
        badge = "<script src=/__slowlens__/static/badge.js defer></script>" if environ["PATH_INFO"] == "/with" else ""
        return [f"<!doctype html><title>x</title><link rel=icon href=data:,><p>page{badge}".encode()]

    with site(app, tmp_path) as base:
        browser.get(base + "/without")
        browser.get(base + "/with")
        wait(browser, "slowlens-badge")
        text, href = browser.execute_script("""
            const link = document.querySelector('slowlens-badge').shadowRoot.querySelector('a');
            return [link.textContent, link.href];""")
        assert re.match(r"[\d.]+ ms · 1 query$", text)
        browser.get(href)
        wait(browser, "h1", "GET /with")
        browser.get(base + "/without")
        time.sleep(1)
        assert not browser.find_elements(By.CSS_SELECTOR, "slowlens-badge")


def test_what_runs_now(browser: Any, tmp_path: Path) -> None:
    go_on = Event()

    def app(environ: Any, start: Any) -> Any:
        if environ["PATH_INFO"] == "/slow":
            go_on.wait(30)
        start("200 OK", [("Content-Type", "text/plain")])
        return [b"x"]

    with site(app, tmp_path) as base:
        fetch(base + "/quick")
        slow = Thread(target=fetch, args=(base + "/slow",))
        slow.start()
        browser.get(base + VIEWER)
        wait(browser, "#nav-live").click()
        wait(browser, "h1", "Running now")
        # Rows are drawn anew each second.
        until(browser, lambda: re.search(r"[\d.]+ m?s", wait(browser, "table.live tbody tr", "/slow").text))
        # It can be opened once it has run for two; the hand that is on it stays there.
        until(browser, lambda: element(browser, "table.live a[data-row]"))
        press(browser, "j")
        first = browser.switch_to.active_element
        until(browser, lambda: browser.switch_to.active_element != first)
        assert browser.switch_to.active_element.text == "/slow"
        go_on.set()
        slow.join()
        wait(browser, ".empty", "No request is running")
        browser.get("about:blank")  # the list asks on, and the server goes


def test_light_and_dark_by_choice(browser: Any, shop: str) -> None:
    def paper() -> int:
        color = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        return sum(int(one) for one in re.findall(r"\d+", color)[:3])

    browser.execute_cdp_cmd("Emulation.setEmulatedMedia",
                            {"features": [{"name": "prefers-color-scheme", "value": "dark"}]})
    open_list(browser, shop)
    assert paper() < 150
    browser.execute_script("localStorage.setItem('slowlens.theme', 'light')")
    browser.refresh()
    wait(browser, "tbody tr")
    assert paper() > 700


@pytest.mark.parametrize("page", ["#r=01zzzzzzzzzzzzzzzzzzzzzzzz", "#r=nonsense"])
def test_what_is_not_there_is_no_blank_page(browser: Any, shop: str, page: str) -> None:
    show(browser, shop, page)
    wait(browser, "main h1", "Nothing to show")
    wait(browser, "main a", "All requests").click()
    wait(browser, "tbody tr")
    browser.get_log("browser")  # the 404 is told there, too


def test_in_print_the_answer_stands_alone(browser: Any, shop: str) -> None:
    show(browser, shop, f"#r={slowest(shop, '/report/')}")
    wait(browser, ".tree .row", "copy.deepcopy")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert element(browser, ".answer").is_displayed()
    for css in ("#nav", ".actions", "form.search"):
        assert not element(browser, css).is_displayed(), css


# ---- eight tasks, and what they take ----

class Counted:
    """Clicks, from the list on; a tick counts as one."""

    def __init__(self, browser: Any) -> None:
        self.browser, self.clicks = browser, 0

    def click(self, css: str, text: str = "") -> None:
        def found() -> Any:
            all_ = [one for one in self.browser.find_elements(By.CSS_SELECTOR, css) if text in one.text]
            return next((one for one in all_ if one.text == text), all_[0])
        until(self.browser, found).click()
        self.clicks += 1


@pytest.mark.parametrize("width", WIDTHS)
def test_eight_tasks_take_three_clicks_at_most(
        browser: Any, shop: str, feed: str, tmp_path: Path, width: int) -> None:
    size(browser, width, WIDTHS[width])
    taken: dict[str, int] = {}

    def task(name: str, at: str = shop, fragment: str = "", visit: tuple[str, ...] = ()) -> Counted:
        """Begins at the list, after a visit of what is looked into."""
        for path in visit:
            fetch(at + path)
        time.sleep(1 if visit else 0)
        browser.get("about:blank")
        browser.get((at if at.endswith("/") else at + VIEWER) + fragment)
        wait(browser, "tbody tr")
        counted[0] = Counted(browser)
        names.append(name)
        return counted[0]

    def done() -> None:
        taken[names[-1]] = counted[0].clicks
        assert counted[0].clicks <= 3, names[-1]

    counted = [Counted(browser)]
    names: list[str] = []

    one = task("the slowest route")
    one.click("#nav-routes")
    if width > 640:
        one.click("th button", "p95 ms")
    else:
        one.click(".order option[value='-p95_ms']")  # in a list that opens by a click
        one.clicks += 1
    routes = json.loads(fetch(f"{shop}{VIEWER}api/routes"))["routes"]
    assert wait(browser, "tbody tr:first-child td.path").text == max(routes, key=lambda one: one["p95_ms"])["route"]
    done()

    one = task("the line of the N+1", visit=("/authors/",))
    one.click("td.path a", "/authors/")
    one.click("[role=tab]", "Repeats")
    assert "views.py:" in wait(browser, "ol.repeats li").text
    done()

    one = task("who calls deepcopy", visit=("/report/",))
    one.click("td.path a", "/report/")
    assert "reports.build at books/reports.py:" in wait(browser, ".answer").text
    one.click(".answer button, .tree .name", "copy.deepcopy")  # a machine that others keep busy is told of first
    wait(browser, "#side .pairs", "reports.build")
    done()

    one = task("before and after", visit=("/report/", "/report/repaired/"))
    for path in ("/report/", "/report/repaired/"):
        row = next(row for row in browser.find_elements(By.CSS_SELECTOR, "tbody tr")
                   if row.find_element(By.CSS_SELECTOR, "td.path a").text == path)
        row.find_element(By.CSS_SELECTOR, "input").click()
        one.clicks += 1
    one.click("button", "Compare two")
    wait(browser, ".answer", "copy.deepcopy")
    done()

    one = task("where the awaited time went", feed)
    one.click("td.path a", "/feed/")
    assert re.search(r"fetch_author|thumbnail|event loop", wait(browser, ".answer").text)
    assert re.search("awaiting|event loop", element(browser, ".splitline").text)  # at whose expense, others decide
    done()

    one = task("what blocked the loop", feed, "#page=requests&q=/one-by-one/&sort=-wall_ms")
    one.click("td.path a", "/one-by-one/")
    wait(browser, "#side .notice", "event loop was busy with GET /blocking/")
    one.click("#side .notice a")
    wait(browser, "h1", "/blocking/")
    done()

    for i, who in enumerate(("anna", "bert")):
        record(lambda: sum(range(1000)), tmp_path / f"{i}.slowlens", path=f"/{i}", route="/", **{"tag.user": who})
    with served(tmp_path / "0.slowlens", tmp_path / "1.slowlens") as base:
        one = task("one user's requests", base)
        one.click("a.tag", "user=anna")
        until(browser, lambda: len(browser.find_elements(By.CSS_SELECTOR, "tbody tr")) == 1)
        done()
        browser.get("about:blank")  # the list asks on, and the server goes

    one = task("a link for a colleague", visit=("/report/",))
    one.click("td.path a", "/report/")
    one.click(".menu summary", "Copy")
    one.click(".menu[open] button", "link")
    assert "r=" in urllib.parse.urlsplit(browser.current_url).fragment
    done()
    assert len(taken) == 8


# ---- many requests ----

def quick() -> int:
    return sum(range(20_000))


def rebuild() -> int:
    return sum(value * value for value in range(120_000))


def of_every_tenth(slow: bool) -> int:
    return quick() + (rebuild() if slow else 0)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a viewer over a hundred requests of one route, a tenth of which does more."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(100):
        slow = number % 10 == 0
        record(lambda: of_every_tenth(slow), folder / f"{number}.slowlens", path=f"/page/{number}",  # noqa: B023
               route="/page/{id}", release="b" if slow else "a")
    with served(folder) as address:
        yield address


@pytest.mark.parametrize("width", [1440, 360])
def test_what_the_slow_ones_of_a_route_do_differently(browser: Any, many: str, width: int) -> None:
    size(browser, width, WIDTHS[width])
    browser.get(many + ("#page=routes" if width > 700 else "#page=cohort&route=/page/{id}&method=GET"))
    if width > 700:
        wait(browser, "td.links a", "why slow").click()
    assert "rebuild" in wait(browser, "p.answer").text
    assert "the slowest tenth" in browser.find_element(By.CSS_SELECTOR, "p.answer + .hint").text
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth"), "no sideways scroll"
    wait(browser, "td.path a", "rebuild").click()
    assert "rebuild" in wait(browser, "#panel").text
    browser.back()
    wait(browser, "input[name=where]").send_keys("release=b", Keys.ENTER)
    until(browser, lambda: "release=b" in browser.find_element(By.CSS_SELECTOR, "p.answer + .hint").text)
    assert "where=release" in browser.current_url
    assert "rebuild" in browser.find_element(By.CSS_SELECTOR, "p.answer").text


def test_what_a_release_made_worse(browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = made(shift=1.3, more=1)
    told = regressions.regressions
    monkeypatch.setattr(regressions, "regressions", lambda store: told(known))
    with site(lambda environ, start: [start("200 OK", []), b"ok"][1:], tmp_path) as base:
        browser.get(base + VIEWER)
        wait(browser, "#nav-changes", "Changes").click()
        assert "b after a" in wait(browser, "h2").text
        rows = [row.text for row in browser.find_elements(By.CSS_SELECTOR, "tbody tr")]
        assert len(rows) == 2 and all(row.startswith("GET /a") for row in rows)
        assert re.search(r"queries 3 4 \+33 %", rows[0].replace("\n", " ")), "counts first"
        href = browser.find_element(By.CSS_SELECTOR, "tbody a").get_attribute("href")
        assert "page=cohort" in href and urllib.parse.quote("release=b", safe="") in href
