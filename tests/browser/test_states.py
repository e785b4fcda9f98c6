"""What a reader meets beside the usual: a server that is away or no longer his, views that come late, forced colours,
a window of half the size, paper."""

from __future__ import annotations

import time
from typing import Any

import pytest
from selenium.webdriver import Keys
from selenium.webdriver.common.by import By
from test_answer import element, until
from test_views import press, show, slowest

from conftest import VIEWER, open_list, size, wait

#: The page's own requests, as the test wants them: `away`: no server; `refused`: a status; `late`: what a URL has, and
#: for how many ms that waits; `lost`: what no answer comes to.
WEATHER = """
const ask = window.fetch;
window.weather = {};
window.fetch = async (url, options) => {
  const { away, refused, late, lost } = window.weather;
  if (late && String(url).includes(late[0])) await new Promise((go) => setTimeout(go, late[1]));
  if (away || lost?.test(url)) throw new TypeError('Failed to fetch');
  return refused ? new Response('<h1>Log in</h1>', { status: refused }) : ask(url, options);
};
"""


def weather(browser: Any, text: str) -> None:
    browser.execute_script(f"window.weather = {{ {text} }}")


def media(browser: Any, **features: str) -> None:
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {
        "features": [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]})


def test_a_server_that_is_away_is_told_until_it_is_back(browser: Any, shop: str) -> None:
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WEATHER})
    open_list(browser, shop)
    many = len(browser.find_elements(By.CSS_SELECTOR, "tbody tr"))
    weather(browser, "away: true")
    wait(browser, "#notice", "Not up to date: the server does not answer.")
    weather(browser, "refused: 401")
    wait(browser, "#notice", "Not up to date: not found, or you may not look any more.")
    assert len(browser.find_elements(By.CSS_SELECTOR, "tbody tr")) == many, "what is known stays"
    weather(browser, "")
    until(browser, lambda: element(browser, "#notice").text == "")
    # A view says it in its own place, and no longer when another is there.
    browser.execute_script("location.hash = arguments[0]", f"#r={slowest(shop, '/report/')}")
    wait(browser, ".tree .row", "copy.deepcopy")
    weather(browser, "refused: 403")
    wait(browser, "[role=tab]", "Functions").click()
    assert "or you may not look any more." in wait(browser, "#panel [role=alert]").text
    weather(browser, "")
    wait(browser, "#panel button", "Try again").click()
    wait(browser, "table.functions td", "copy.deepcopy")
    assert element(browser, "#notice").text == ""
    # What comes behind what is seen first, and does not come.
    weather(browser, "lost: /requests[/]aggregate[?](?!.*glance)/")
    browser.execute_script("location.hash = '#r=aggregate&route=/report/&method=GET'")
    assert wait(browser, "#notice", "Not up to date").is_displayed()
    assert "copy.deepcopy" in element(browser, ".answer").text


def test_a_view_that_comes_late_takes_nothing_of_the_next(browser: Any, shop: str) -> None:
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WEATHER})
    show(browser, shop, f"#r={slowest(shop, '/report/')}")
    wait(browser, ".tree .row", "copy.deepcopy")
    weather(browser, "late: ['permille', 1500]")
    browser.execute_script("""
        for (const view of ['graph', 'functions']) document.querySelector(`[data-view=${view}]`).click();""")
    wait(browser, "table.functions td", "copy.deepcopy")
    time.sleep(0.5)  # "Loading..." would stand there after a quarter of a second
    assert element(browser, "#panel table.functions").is_displayed()
    # There and back, many times: the last place is shown.
    for _ in range(3):
        browser.back()
        browser.forward()
    wait(browser, "[role=tab][aria-selected=true]", "Functions")
    wait(browser, "#panel table.functions td", "copy.deepcopy")
    time.sleep(1.5)  # until the late ones are there
    assert element(browser, "#panel table.functions").is_displayed()


def test_merged_profiles_know_who_calls(browser: Any, shop: str) -> None:
    show(browser, shop, "#r=aggregate&route=/report/&method=GET")
    wait(browser, ".tree .row .name", "copy.deepcopy").click()
    assert "reports.build" in wait(browser, "#side .pairs", "Called by").text, "its own numbers of functions"
    wait(browser, "#side .acts button", "Callers and callees").click()
    wait(browser, ".chosen .middle", "copy.deepcopy")


def test_the_focus_stays_where_the_hand_was(browser: Any, shop: str) -> None:
    show(browser, shop, "#page=routes")
    wait(browser, "table.routes td.path a")
    press(browser, "j", "j", "j")
    focused = browser.switch_to.active_element.text
    press(browser, Keys.ENTER)
    wait(browser, "table.requests td.path")
    browser.back()
    wait(browser, "table.routes td.path a")
    until(browser, lambda: browser.switch_to.active_element.text == focused)
    show(browser, shop, f"#r={slowest(shop, '/report/')}")
    wait(browser, ".tree .row", "copy.deepcopy").click()
    press(browser, "4")
    wait(browser, "table.functions td", "copy.deepcopy")
    assert browser.switch_to.active_element.text == "Functions", "not nowhere"
    assert [tab.text for tab in browser.find_elements(By.CSS_SELECTOR, "[role=tab][tabindex='0']")] == ["Functions"]
    # On the head that was pressed, whichever table it is of; not where that drew nothing, and the hand went on.
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WEATHER})
    show(browser, shop, "")
    weather(browser, "away: true")
    wait(browser, "th button", "Wall ms").send_keys(Keys.ENTER)
    wait(browser, "#notice", "the server does not answer")
    weather(browser, "")
    element(browser, "#nav-routes").click()
    wait(browser, "table.routes td.path a")
    browser.back()
    wait(browser, "table.requests td.path")
    assert browser.switch_to.active_element.tag_name != "button"
    for page, column in (("", "Wall ms"), ("#page=routes", "p95 ms")):
        show(browser, shop, page)
        for sort in ("descending", "ascending"):
            wait(browser, "th button", column).send_keys(Keys.ENTER)
            wait(browser, f"th[aria-sort={sort}]", column)
            until(browser, lambda column=column: column in browser.switch_to.active_element.text)


@pytest.mark.parametrize("page", ["list", "profile"])
def test_forced_colours_half_a_window_and_paper(browser: Any, shop: str, page: str) -> None:
    size(browser, 1440, 900)
    media(browser, forced_colors="active")
    if page == "list":
        open_list(browser, shop)
    else:
        show(browser, shop, f"#r={slowest(shop, '/report/')}")
        wait(browser, ".tree .row[aria-selected=true]")
    colors = browser.execute_script("""
        const of = (one) => getComputedStyle(one).backgroundColor;
        return [...new Set([...document.querySelectorAll('.bar span')].map(of))]""")
    assert len(colors) >= 2, "parts are told apart"
    if page == "profile":
        assert browser.execute_script(
            "return getComputedStyle(document.querySelector('.row[aria-selected=true]')).outlineStyle") == "solid"
    media(browser, forced_colors="none", prefers_reduced_motion="reduce")
    for width in (720, 650):  # 1440 and 1300 pixels at 200 %
        size(browser, width, 450)
        cut = browser.execute_script("""
            const wide = (one) => one && one.scrollWidth > one.clientWidth + 1;
            return wide(document.documentElement) || wide(document.querySelector('.tree'))""")
        assert not cut, "nothing scrolls sideways at 200 %"
    size(browser, 794, 1123)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    if page == "list":
        wrong = browser.execute_script("""
            const shown = (css) => [...document.querySelectorAll(css)].filter((one) => one.offsetWidth);
            const left = (one) => Math.round(one.getBoundingClientRect().left);
            const heads = shown('th'), cells = shown('tbody tr:first-child td');
            return heads.length !== cells.length || heads.some((one, i) => left(one) !== left(cells[i]))""")
        assert not wrong, "columns stand below their titles"


def test_a_session_that_ended_while_nothing_was_open(browser: Any, shop: str) -> None:
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument",
                            {"source": WEATHER + "window.weather.refused = 401;"})
    browser.get(shop + VIEWER)
    wait(browser, "main h1", "Nothing to show")
    assert "or you may not look any more." in wait(browser, "main [role=alert]").text
    weather(browser, "")
    wait(browser, "main button", "Try again").click()
    wait(browser, "tbody td.path")
