"""Every view leads to the guilty line: flame graph, timeline, functions, treemap, graph, source, repeats, diff."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait
from test_hostile import record

from conftest import VIEWER, fetch, open_list, rows, served, wait

RULER = 20  # pixels of the time axis
MODULES = Path(__file__).resolve().parents[2]
PAINTED = """
const canvas = document.querySelector(arguments[0]);
if (!canvas || !canvas.width) return 0;
const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
const seen = new Set();
for (let i = 0; i < data.length; i += 4 * 97) if (data[i + 3]) seen.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]);
return seen.size;
"""


def slowest(shop: str, route: str) -> str:
    listed = json.loads(fetch(f"{shop}{VIEWER}api/requests?route={route}&mode=deterministic&sort=-wall_ms"))["requests"]
    return str(listed[0]["id"])


def show(browser: Any, shop: str, fragment: str) -> None:
    browser.get("about:blank")
    browser.get(shop + VIEWER + fragment)


def press(browser: Any, *keys: str) -> None:
    ActionChains(browser).send_keys(*keys).perform()


def painted(browser: Any, css: str) -> int:
    """How many colours a canvas shows."""
    return int(browser.execute_script(PAINTED, css))


def look_for(browser: Any, text: str) -> str:
    field = wait(browser, "form.search input")
    field.clear()
    field.send_keys(text, Keys.ENTER)
    return wait(browser, ".found", "of the request").text


def test_the_flame_graph_by_search_and_by_keyboard(browser: Any, shop: str) -> None:
    show(browser, shop, f"#r={slowest(shop, '/report/')}&view=flame")
    wait(browser, ".live")
    WebDriverWait(browser, 10).until(lambda _: painted(browser, "canvas.flame") > 4)
    found = look_for(browser, "copy.deepcopy")
    match = re.fullmatch(r"1 of (\d+) · (\d+)\.\d % of the request", found)
    assert match and int(match[1]) > 2, found
    assert 50 < int(match[2]) <= 100, "matches within matches count once"
    wait(browser, ".live", "copy.deepcopy · ")
    assert "node=" in browser.current_url
    canvas = browser.find_element(By.CSS_SELECTOR, "canvas.flame")
    browser.execute_script("arguments[0].focus()", canvas)
    press(browser, Keys.ARROW_UP)
    wait(browser, ".live", "reports.build")
    press(browser, Keys.ENTER)
    press(browser, Keys.ARROW_DOWN)
    wait(browser, ".live", "copy.deepcopy")
    press(browser, "0")
    url = browser.current_url
    show(browser, shop, "#" + url.split("#")[1])
    wait(browser, ".live", "copy.deepcopy")
    field = wait(browser, "form.search input")
    field.clear()
    field.send_keys("/^copy\\.(deepcopy|_deepcopy_list)$/", Keys.ENTER)
    wait(browser, ".found", "of the request")
    field.clear()
    field.send_keys("/(/", Keys.ENTER)
    wait(browser, ".found", "cannot be read")


def test_the_flame_graph_by_pointer(browser: Any, shop: str) -> None:
    show(browser, shop, f"#r={slowest(shop, '/report/')}&view=flame&color=module")
    WebDriverWait(browser, 10).until(lambda _: painted(browser, "canvas.flame") > 4)
    canvas = browser.find_element(By.CSS_SELECTOR, "canvas.flame")
    left, top = -canvas.size["width"] // 2, -canvas.size["height"] // 2
    ActionChains(browser).move_to_element_with_offset(canvas, left + 100, top + RULER + 5).click().perform()
    wait(browser, ".live", "[request]")
    third = top + RULER + 18 * 3 + 5
    ActionChains(browser).move_to_element_with_offset(canvas, left + 100, third).double_click().perform()
    assert "[request]" not in wait(browser, ".live").text
    wait(browser, ".flame-tools button", "+").click()
    wait(browser, ".flame-tools button", "Reset").click()


def test_a_part_of_the_flame_graph(browser: Any, shop: str) -> None:
    show(browser, shop, f"#r={slowest(shop, '/report/')}&view=flame")
    look_for(browser, "reports.build")
    wait(browser, ".live", "reports.build")
    wait(browser, "button", "Only this box").click()
    wait(browser, "button", "All of it")
    assert "root=" in browser.current_url
    browser.execute_script("document.querySelector('canvas.flame').focus()")
    press(browser, Keys.ARROW_UP)
    wait(browser, ".live", "reports.build")
    wait(browser, "button", "All of it").click()
    WebDriverWait(browser, 10).until(lambda _: "root=" not in browser.current_url)


def test_recursion_is_merged_on_demand(browser: Any, shop: str) -> None:
    show(browser, shop, f"#r={slowest(shop, '/report/')}&view=tree")
    wait(browser, ".tree .row", "copy.deepcopy")
    assert sum("copy.deepcopy" in row for row in rows(browser)) > 1
    wait(browser, "label.choice", "Merge recursion").find_element(By.CSS_SELECTOR, "input").click()
    WebDriverWait(browser, 10).until(lambda _: "recursion=1" in browser.current_url)
    guilty = wait(browser, ".tree .row", "copy.deepcopy")
    assert "157" in guilty.text, "every call of it"
    assert sum("copy.deepcopy" in row for row in rows(browser)) == 1


def test_the_timeline(browser: Any, shop: str) -> None:
    show(browser, shop, f"#r={slowest(shop, '/report/')}&view=timeline")
    WebDriverWait(browser, 10).until(lambda _: painted(browser, "canvas.flame") > 3)
    look_for(browser, "views.report")
    wait(browser, ".live", "views.report")


def test_callers_and_callees(browser: Any, shop: str) -> None:
    show(browser, shop, f"#r={slowest(shop, '/report/')}&view=functions")
    wait(browser, "[aria-label=Functions] button.link", "copy.deepcopy").click()
    wait(browser, "[aria-label='Called by'] td.path", "reports.build")
    wait(browser, "[aria-label=Calls] td.path", "copy._deepcopy_dict")
    assert "fn=" in browser.current_url
    wait(browser, "[aria-label='Called by'] button.link", "reports.build").click()
    wait(browser, ".chosen .middle", "reports.build")
    wait(browser, ".chosen button", "Source").click()
    wait(browser, "table.source tr", "copy.deepcopy(TEMPLATE)")


def test_source_lines(browser: Any, shop: str) -> None:
    show(browser, shop, f"#r={slowest(shop, '/report/')}&view=source")
    wait(browser, "table.source tr.hot")
    hot = wait(browser, "table.source tr", "row = copy.deepcopy(TEMPLATE)")  # on a busy machine others may be hot, too
    assert re.search(r"\d\d\.\d % ([\d.]+ .?s )?800 ", hot.text), hot.text  # samples may see the line itself, too
    source = (MODULES / "examples/shop/books/reports.py").read_text().splitlines()
    line = int(hot.find_element(By.CSS_SELECTOR, "td").text)
    assert "copy.deepcopy(TEMPLATE)" in source[line - 1]


def test_source_lines_that_were_counted(browser: Any, shop: str) -> None:
    """Line mode: each line's hits, where it was asked for."""
    def stored() -> set[str]:
        listed = json.loads(fetch(shop + VIEWER + "api/requests?filter=path:/report/&limit=500"))["requests"]
        return {str(row["id"]) for row in listed}

    before = stored()
    fetch(shop + "/report/?slowlens=lines")
    one = max(WebDriverWait(browser, 30).until(lambda _: stored() - before))  # the newest
    show(browser, shop, f"#r={one}&view=source")
    wait(browser, "table.source tr.hot")
    assert "Hits" in [head.text for head in browser.find_elements(By.CSS_SELECTOR, "table.source th")]
    loop = wait(browser, "table.source tr", "row = copy.deepcopy(TEMPLATE)")
    assert re.search(r"\b800\b", loop.text), loop.text


def test_the_treemap_and_the_call_graph(browser: Any, shop: str) -> None:
    one = slowest(shop, "/report/")
    show(browser, shop, f"#r={one}&view=treemap")
    wait(browser, ".live", "copy.deepcopy")
    assert painted(browser, "canvas.treemap") > 4
    browser.execute_script("document.querySelector('canvas.treemap').focus()")
    press(browser, Keys.ARROW_DOWN)
    press(browser, Keys.ENTER)
    wait(browser, "button", "Whole request")
    show(browser, shop, f"#r={one}&view=graph")
    box = wait(browser, "svg.graph g.box", "copy.deepcopy")
    assert "157" in box.text or "×" in box.text
    assert len(browser.find_elements(By.CSS_SELECTOR, "svg.graph path.arrow")) > 5
    browser.execute_script("arguments[0].focus()", box)
    press(browser, Keys.ENTER)
    wait(browser, "#side .chosen-box h2", "copy.deepcopy")


@pytest.mark.parametrize("view", ["tree", "treemap", "graph", "difference"])
def test_search_in_the_other_views(browser: Any, shop: str, view: str) -> None:
    one = slowest(shop, "/report/")
    if view == "difference":
        show(browser, shop, f"#page=diff&a={one}&b={slowest(shop, '/report/repaired/')}&view=flame")
    else:
        show(browser, shop, f"#r={one}&view={view}")
    wait(browser, "#panel *")
    found = look_for(browser, "copy.deepcopy")
    assert found.startswith("1 of ")
    wait(browser, "form.search button[type=submit]").click()
    WebDriverWait(browser, 10).until(lambda _: wait(browser, ".found").text.startswith("2 of "))
    if view == "graph":
        faded = [box.text for box in browser.find_elements(By.CSS_SELECTOR, "svg.graph g.box.faded")]
        assert faded and not any("copy.deepcopy\n" in text for text in faded)
    elif view == "tree":
        wait(browser, ".tree .row.found", "copy.deepcopy")
    else:
        wait(browser, ".live", "copy.deepcopy")
    url = browser.current_url
    assert "q=copy.deepcopy" in url
    show(browser, shop, "#" + url.split("#")[1])
    assert wait(browser, ".found", " of ").text.startswith("0 of ")


def test_repeats_name_the_line_of_the_query_in_a_loop(browser: Any, shop: str) -> None:
    show(browser, shop, f"#r={slowest(shop, '/authors/')}&view=repeats")
    first = wait(browser, "ol.repeats li").text
    found = re.match(r"query\.QuerySet\.__iter__ 20[01] times from views\.py:(\d+), (\d+)\.\d % of the request", first)
    assert found, first
    source = (MODULES / "examples/shop/books/views.py").read_text().splitlines()
    assert "author.books.all()" in source[int(found[1]) - 1]
    assert int(found[2]) > 50
    wait(browser, "ol.repeats button").click()
    wait(browser, ".tree .row", "QuerySet.__iter__")


def test_what_two_requests_differ_in(browser: Any, shop: str) -> None:
    open_list(browser, shop, "#page=requests&q=/report/")
    boxes = {row.find_element(By.CSS_SELECTOR, "a").text: row.find_element(By.CSS_SELECTOR, "input")
             for row in browser.find_elements(By.CSS_SELECTOR, "tbody tr")}
    assert not any("Compare two" in one.text for one in browser.find_elements(By.TAG_NAME, "button")), "two are needed"
    boxes["/report/"].click()
    boxes["/report/repaired/"].click()
    wait(browser, "button", "Compare two").click()
    wait(browser, ".tree .row .less", "−")
    changed = next(row for row in rows(browser) if "copy.deepcopy" in row)
    assert "800 → 0" in changed, "what the repair saved"
    wait(browser, "[role=tab]", "Flame graph").click()
    WebDriverWait(browser, 10).until(lambda _: painted(browser, "canvas.flame") > 2)
    wait(browser, "[role=tab]", "Functions").click()
    wait(browser, "[aria-label='Functions before and after'] tr", "copy.deepcopy")
    before = wait(browser, ".answer").text
    assert before.startswith("−")
    wait(browser, "button", "Exchange").click()
    WebDriverWait(browser, 10).until(lambda _: wait(browser, ".answer").text.startswith("+"))


def test_a_route_as_one_tree(browser: Any, shop: str) -> None:
    show(browser, shop, "#page=routes")
    wait(browser, "tbody tr", "/authors/")
    row = next(one for one in browser.find_elements(By.CSS_SELECTOR, "tbody tr") if one.text.startswith("/authors/ "))
    row.find_element(By.LINK_TEXT, "merged").click()
    wait(browser, ".tree .row", "author_list")
    names = [one.text for one in browser.find_elements(By.CSS_SELECTOR, ".tree [role=columnheader]")]
    assert names == ["Function", "Mean ms", "Share", "p95 ms", "Worst ms", "Calls each"]
    row = next(one for one in rows(browser) if "QuerySet.__iter__" in one)
    assert re.search(r"\n20[01]$", row), row
    wait(browser, ".tree .row", "author_list").click()
    wait(browser, "button", "this node is worst").click()
    wait(browser, "h1", "GET /authors/")
    wait(browser, ".menu summary", "Compare").click()
    wait(browser, ".menu a", "with the mean of its route").click()
    wait(browser, "h1", "Difference")
    wait(browser, ".tree .row", "author_list")


def test_a_request_is_kept(browser: Any, shop: str) -> None:
    open_list(browser, shop, "#page=requests&route=/error/")
    wait(browser, "button.keep", "☆").click()
    wait(browser, "button.keep", "★")
    show(browser, shop, "#page=requests&route=/error/")
    wait(browser, "button.keep", "★").click()
    wait(browser, "button.keep", "☆")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_for_assistive_technology(browser: Any, shop: str, scheme: str, axe: str) -> None:
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia",
                            {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    one, other = slowest(shop, "/report/"), slowest(shop, "/report/repaired/")
    pages = ["#page=requests", "#page=requests&status=5xx&tag=a", "#page=routes", "#page=live",
             f"#page=diff&a={other}&b={one}", f"#page=diff&a={other}&b={one}&view=functions",
             "#r=aggregate&route=/report/&method=GET"]
    pages += [f"#r={one}&view={view}" for view in
              ("tree", "flame", "timeline", "functions", "functions&fn=5", "treemap", "graph", "source", "queries",
               "repeats")]
    for page in pages:
        show(browser, shop, page)
        wait(browser, "main .page > *" if "page=" in page and "diff" not in page else "#panel > :not(.loading)")
        if page == pages[0]:
            wait(browser, "tbody td")
            wait(browser, "#palette").click()
            wait(browser, "dialog.palette li")
        elif page == pages[2]:
            wait(browser, "tbody td")
            wait(browser, "#help").click()
        browser.execute_script(axe)
        found = browser.execute_async_script(
            "axe.run(document, {resultTypes: ['violations']}).then(r => arguments[0](r.violations))")
        serious = [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in found
                   if one["impact"] in ("moderate", "serious", "critical")]
        assert serious == [], page


def test_who_held_the_event_loop_up(browser: Any, tmp_path: Path) -> None:
    culprit = record(lambda: sum(range(1000)), tmp_path / "slow.slowlens", path="/slow", route="/slow",
                     step_ns=150_000_000, cpu_ns=0)
    victim = record(lambda: None, tmp_path / "fast.slowlens", path="/fast", route="/fast", cpu_ns=0, loop_ns=10**15,
                    held_ns=140_000_000, held_by="GET /slow: views.resize_image > ImagingCore.resize",
                    held_id=culprit, sampled_from_ns=2_000_000_000)
    with served(tmp_path / "slow.slowlens", tmp_path / "fast.slowlens") as base:
        browser.get(f"{base}#r={victim}")
        notice = wait(browser, "p.notice", "busy with GET /slow")
        assert "For 140 ms this request could have gone on" in notice.text
        assert "views.resize_image > ImagingCore.resize" in notice.text
        assert wait(browser, "p.notice", "from 2.00 s on by sampling")
        assert wait(browser, ".bar [title*='event loop']").size["width"] > 100
        notice.find_element(By.TAG_NAME, "a").click()
        assert wait(browser, ".findings li", "It kept the event loop for"), "no longer than it took itself"
        assert f"r={culprit}" in browser.current_url


def test_queries_by_text_and_line(browser: Any, shop: str) -> None:
    """The N+1 of the demo's authors: 200 queries of one shape, from the template's line; a click leads to its place."""
    show(browser, shop, f"#r={slowest(shop, '/authors/')}&view=queries")
    table = wait(browser, "table[aria-label=Queries]")
    first = table.find_element(By.CSS_SELECTOR, "tbody tr")
    cells = [cell.text for cell in first.find_elements(By.CSS_SELECTOR, "td")]
    assert cells[0].startswith("SELECT")
    assert int(cells[1].replace("\u202f", "")) >= 100
    first.find_element(By.CSS_SELECTOR, "button").click()
    assert wait(browser, "[role=tab][aria-selected=true]", "Call tree")
    assert wait(browser, ".tree .row.chosen, .tree .row[aria-selected=true]")
