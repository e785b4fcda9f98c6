"""The viewer's pages, JSON, downloads and locks."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from slowlens import _core
from slowlens.auth import make_token
from slowlens.viewer import source
from slowlens.viewer.profiles import Profiles
from slowlens.wsgi import ProfilerMiddleware

from conftest import Stored, wsgi_call
from programs import library

KEY = "a secret of some length"
BASE = "/__slowlens__/"


def app(environ: Any, start_response: Any) -> list[bytes]:
    library()
    start_response("404 Not Found" if environ["PATH_INFO"].startswith(BASE) else "200 OK", [("X-App", "1")])
    return [b"the app's own"]


@pytest.fixture
def site(store_path: str) -> tuple[ProfilerMiddleware, str]:
    """A middleware with one stored profile, and its id."""
    middleware = ProfilerMiddleware(app, store=store_path, debug=True, key=KEY)
    wsgi_call(middleware, "/some/path")
    return middleware, Stored(middleware.recorder).rows()[0]["id"]


def ask(site: Any, path: str, query: str = "", **environ: Any) -> tuple[int, dict[str, str], bytes]:
    status, headers, body = wsgi_call(site[0], BASE + path, query, **environ)
    return int(status[:3]), dict(headers), body


def ask_json(site: Any, path: str, query: str = "", **environ: Any) -> Any:
    status, headers, body = ask(site, path, query, **environ)
    assert status == 200, body
    assert headers["Content-Type"] == "application/json"
    return json.loads(body)


def test_the_page_and_its_files(site: Any) -> None:
    status, headers, body = ask(site, "")
    assert status == 200 and headers["Content-Type"].startswith("text/html")
    for name in re.findall(r'(?:src|href)="static/([^"]+)"', body.decode()):
        assert ask(site, "static/" + name)[0] == 200
    assert "<script>" not in body.decode() and "style=" not in body.decode()
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Length"] == str(len(body))


def test_modules_import_only_files_that_are_there(site: Any) -> None:
    static = Path(_core.__file__).parent / "viewer" / "static"
    size = 0
    for file in static.iterdir():
        text = file.read_text()
        size += len(gzip.compress(file.read_bytes()))
        for name in re.findall(r'from "\./([^"]+)"', text):
            assert ask(site, "static/" + name)[1]["Content-Type"].startswith("text/javascript")
        if file.suffix == ".js":
            text = text.replace('"http://www.w3.org/2000/svg"', "")  # a name that nobody asks for
            if file.name == "firefox.js":  # opened by a click, in a window of its own
                text = text.replace('"https://profiler.firefox.com"', "")
            assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|https?://", text), file
    assert size < 90_000


def test_what_is_called_of_another_module_is_imported() -> None:
    """Else its page is blank, and only who opens it hears of that."""
    static = Path(_core.__file__).parent / "viewer" / "static"
    texts = {file.name: re.sub(r'//[^\n]*|/\*.*?\*/|"[^"\n]*"', "", file.read_text(), flags=re.S)
             for file in static.glob("*.js")}
    exported = {name for text in texts.values()
                for name in re.findall(r"^export (?:async )?(?:function|const|class) (\w+)", text, re.M)}
    missing = []
    for file, text in texts.items():
        known = {name.split(" as ")[-1].strip() for names in re.findall(r"import \{([^}]*)\}", text)
                 for name in names.split(",")}
        known |= set(re.findall(r"(?:const|let|function|class) (\w+)", text))  # its own
        known |= set(re.findall(r"[\[({,] ?(\w+)(?=[,)}\] ])", text))  # parameters
        known |= set(re.findall(r"(?<![.\w])(\w+)\([^()]*\) \{", text))  # methods
        missing += [(file, name) for name in exported - known if re.search(rf"(?<![\w.$]){name}\(", text)]
    assert missing == []


def test_one_page_alone_may_hold_a_window_of_another_origin(site: Any) -> None:
    status, headers, body = ask(site, "firefox")
    assert status == 200 and b"firefox.js" in body
    assert headers["Cross-Origin-Opener-Policy"] == "unsafe-none"
    for name in ("", "static/main.js", "api/status"):
        assert ask(site, name)[1]["Cross-Origin-Opener-Policy"] == "same-origin", name


def test_what_can_be_downloaded_is_the_servers_word(site: Any) -> None:
    formats = json.loads(ask(site, "api/status")[2])["formats"]
    assert [one["name"] for one in formats] == ["slowlens", *_core.EXPORT_FORMATS]
    assert all(one["title"] for one in formats)


@pytest.mark.parametrize("path", [
    "static/../app.py", "static/%2e%2e/app.py", "static/app.py", "static/", "static/__init__.py", "../x", "api/../x",
    "api/requests/" + "x" * 26, "requests/../../etc/passwd/profile", "static//etc/passwd",
])
def test_no_path_reaches_another_file(site: Any, path: str) -> None:
    assert ask(site, path)[0] == 404


def test_redirect_to_the_slash(site: Any) -> None:
    status, headers, _ = wsgi_call(site[0], "/__slowlens__")
    assert status.startswith("308") and dict(headers)["Location"] == BASE
    status, headers, _ = wsgi_call(site[0], "/__slowlens__", SCRIPT_NAME="/prefix")
    assert dict(headers)["Location"] == "/prefix" + BASE
    assert wsgi_call(site[0], "/__slowlens__x")[2] == b"the app's own"


def test_list_and_routes(site: Any) -> None:
    (row,) = ask_json(site, "api/requests")["requests"]
    assert {"id", "started", "method", "path", "route", "status", "wall_ms", "cpu_ms", "mode", "bytes"} <= set(row)
    assert row["path"] == "/some/path"
    assert ask_json(site, "api/requests", "min_ms=99999")["requests"] == []
    assert len(ask_json(site, "api/requests", "q=some&sort=-wall_ms&status=2xx")["requests"]) == 1
    (route,) = ask_json(site, "api/routes")["routes"]
    assert route["count"] == 1 and route["worst"] == site[1]
    assert abs(route["p50_ms"] - route["max_ms"]) <= 0.022 * route["max_ms"] and route["all_requests"]
    status = ask_json(site, "api/status")
    assert status["problem"] is None and status["counters"]["stored"] == 1


def test_the_filter_is_one_text(site: Any) -> None:
    listed = ask_json(site, "api/requests", "filter=/SOME+det+%3E0ms+sort:slowest&zone=-60")
    assert [row["id"] for row in listed["requests"]] == [site[1]]
    assert [term["text"] for term in listed["terms"]] == ["/SOME", "det", ">0ms", "sort:slowest"]
    assert listed["sort"] == "-wall_ms"
    assert ask_json(site, "api/requests", "filter=5xx")["requests"] == []
    status, _, body = ask(site, "api/requests", "filter=colour:red")
    assert status == 400 and "no field is called 'colour'" in json.loads(body)["error"]
    assert ask(site, "api/requests", "zone=1440")[0] == ask(site, "api/counts", "filter=tag:")[0] == 400
    counts = ask_json(site, "api/counts", "filter=det")["counts"]
    assert {row["term"]: row["count"] for row in counts}["error"] == 0 and len(counts) == 4
    assert {row["name"] for row in ask_json(site, "api/status")["fields"]} >= {"path", "function", "tag", "layer"}


@pytest.mark.parametrize("gathers", [True, False])
def test_routes_say_whether_all_requests_were_gathered(store_path: str, gathers: bool) -> None:
    middleware = ProfilerMiddleware(app, store=store_path, debug=True, key=KEY, continuous=gathers)
    wsgi_call(middleware, "/some/path")
    Stored(middleware.recorder).rows()
    assert ask_json((middleware, ""), "api/routes")["windows"] is gathers


def test_what_a_profile_has_not_is_said_in_words(site: Any) -> None:
    for report in ("tree?node=999999", "flame?node=999999", "lines?function=999999", "source?function=999999"):
        path, query = report.split("?")
        status, _, body = ask(site, f"api/requests/{site[1]}/{path}", query)
        assert status == 400 and json.loads(body)["error"] == "this profile has no such function or node"


def test_summary_tree_functions(site: Any) -> None:
    base = f"api/requests/{site[1]}"
    summary = ask_json(site, base)
    assert summary["meta"]["path"] == "/some/path"
    assert sum(summary["self_ns"].values()) == summary["wall_ns"]
    assert len(summary["heaviest"]) == 5
    tree = ask_json(site, base + "/tree", "depth=2&hot=1")
    known = {row["node"] for row in tree["rows"]}
    assert tree["rows"][0]["node"] == 0
    assert all(row["parent"] in known for row in tree["rows"])
    unopened = next(row for row in tree["rows"] if row["children"] and not
                    any(other["parent"] == row["node"] and other["node"] for other in tree["rows"]))
    more = ask_json(site, base + "/tree", f"node={unopened['node']}")
    assert len(more["rows"]) == unopened["children"]
    totals = [row["total_ns"] for row in more["rows"]]
    assert totals == sorted(totals, reverse=True)
    assert len(ask_json(site, base + "/functions", "limit=3")["rows"]) == 3


@pytest.mark.parametrize(("path", "query", "status"), [
    ("api/requests", "sort=nonsense", 400), ("api/requests", "limit=-1", 400), ("api/requests", "min_ms=x", 400),
    ("api/requests", "cursor=x", 400), ("api/requests", "&".join(["a=1"] * 100), 400),
    ("api/requests/{id}/tree", "node=99999999", 400), ("api/requests/{id}/tree", "node=x", 400),
    ("api/requests/{id}/tree", "depth=1000", 400), ("requests/{id}/profile", "format=exe", 400),
    ("api/requests/01aaaaaaaaaaaaaaaaaaaaaaaa", "", 404), ("api/nothing", "", 404),
])
def test_nonsense_gets_a_clear_answer(site: Any, path: str, query: str, status: int) -> None:
    found, _, body = ask(site, path.format(id=site[1]), query)
    assert found == status
    assert json.loads(body)["error"]


def test_a_damaged_blob_gets_a_clear_answer(site: Any) -> None:
    store = site[0].recorder.store
    blob = store.get(site[1])
    file = next(Path(store.folder).iterdir())
    data = file.read_bytes()
    file.write_bytes(data.replace(blob, blob[:-10] + bytes(10)))
    status, _, body = ask(site, f"api/requests/{site[1]}")
    assert status == 422
    assert "truncated or damaged" in json.loads(body)["error"]


def test_downloads(site: Any, tmp_path: Path) -> None:
    status, headers, body = ask(site, f"requests/{site[1]}/profile")
    assert status == 200
    assert re.fullmatch(r'attachment; filename="GET-some-path-\d+ms-[0-9a-z]{26}\.slowlens"',
                        headers["Content-Disposition"])
    assert json.loads(_core.Profile(body).meta())["meta"]["id"] == site[1]
    file = tmp_path / "x.slowlens"
    file.write_bytes(body)
    try:
        assert subprocess.run(["zstd", "-tq", str(file)]).returncode == 0
    except FileNotFoundError:
        pass  # the judge is not here; tests/run.sh installs it
    wall = json.loads(_core.Profile(body).summary())["wall_ns"]
    speedscope = json.loads(ask(site, f"requests/{site[1]}/profile", "format=speedscope")[2])
    assert sum(speedscope["profiles"][0]["weights"]) == wall
    collapsed = ask(site, f"requests/{site[1]}/profile", "format=collapsed")[2].decode().splitlines()
    assert abs(sum(int(line.rsplit(" ", 1)[1]) for line in collapsed) - wall / 1000) <= 1


def test_head_and_methods(site: Any) -> None:
    status, headers, body = ask(site, "api/requests", method="HEAD")
    assert status == 200 and body == b"" and int(headers["Content-Length"]) > 10
    assert ask(site, "api/requests", method="POST")[0] == 405
    assert ask(site, "api/delete", f"id={site[1]}")[0] == 405


def test_deleting_takes_the_viewers_own_header(site: Any) -> None:
    query = f"id={site[1]}"
    assert ask(site, "api/delete", query, method="POST")[0] == 400
    assert ask(site, "api/delete", query, method="POST", HTTP_X_SLOWLENS_VIEWER="1",
               HTTP_ORIGIN="http://evil.example")[0] == 400
    assert ask(site, "api/delete", query, method="POST", HTTP_X_SLOWLENS_VIEWER="1",
               HTTP_SEC_FETCH_SITE="cross-site")[0] == 400
    status, _, body = ask(site, "api/delete", query, method="POST", HTTP_X_SLOWLENS_VIEWER="1",
                          HTTP_ORIGIN="http://localhost")
    assert (status, json.loads(body)) == (200, {"deleted": True})
    assert ask_json(site, "api/requests")["requests"] == []


@pytest.mark.parametrize("environ", [
    {"REMOTE_ADDR": "192.0.2.1"}, {"HTTP_HOST": "evil.example"}, {"HTTP_HOST": "127.0.0.1.evil.example"},
    {"HTTP_HOST": ""}, {"REMOTE_ADDR": ""}, {"REMOTE_ADDR": "192.0.2.1", "HTTP_X_FORWARDED_FOR": "127.0.0.1"},
])
@pytest.mark.parametrize("path", ["", "api/requests", "static/main.js"])
def test_strangers_get_the_apps_own_answer(site: Any, path: str, environ: dict[str, str]) -> None:
    status, headers, body = ask(site, path, **environ)
    assert (status, headers, body) == (404, {"X-App": "1"}, b"the app's own")


def test_other_sites_cannot_read(site: Any) -> None:
    """Nor have it work for them, not even what they could not read: all of a day in one file."""
    for path in ("api/requests", "pprof", "firefox", "static/main.js", "requests/aggregate/profile", "nothing"):
        assert ask(site, path, HTTP_SEC_FETCH_SITE="cross-site")[0] == (404 if path == "nothing" else 400), path
    assert ask(site, "", HTTP_SEC_FETCH_SITE="cross-site")[0] == 200, "they may lead to the page"
    assert "Access-Control-Allow-Origin" not in ask(site, "api/requests")[1]


STRANGER = {"REMOTE_ADDR": "192.0.2.1", "HTTP_HOST": "shop.example", "wsgi.url_scheme": "https"}


def link(*purposes: str, seconds: int = 60, host: str = "shop.example") -> str:
    return make_token(KEY, seconds, purposes or ("view",), host)


def test_a_link_becomes_a_cookie(site: Any) -> None:
    status, headers, _ = ask(site, "", "token=" + link(), **STRANGER)
    assert (status, headers["Location"]) == (303, BASE)
    assert headers["Referrer-Policy"] == "no-referrer" and headers["Cache-Control"] == "no-store"
    cookie = headers["Set-Cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=Strict", "Secure", f"Path={BASE}", "Max-Age=43200"))
    value = cookie.split(";")[0]
    assert KEY not in cookie
    assert ask(site, "api/requests", HTTP_COOKIE="a=b; " + value, **STRANGER)[0] == 200
    assert ask(site, "api/requests", HTTP_COOKIE=value[:-1] + "x", **STRANGER)[0] == 404
    assert ask(site, "api/requests", HTTP_COOKIE=value, **{**STRANGER, "HTTP_HOST": "other.example"})[0] == 404
    assert ask(site, "", "token=" + link(seconds=-1), **STRANGER)[0] == 404
    assert ask(site, "", "token=" + link(host="other.example"), **STRANGER)[0] == 404
    assert ask(site, "api/requests", HTTP_COOKIE=f"slowlens_session={link()}", **STRANGER)[0] == 404


def test_a_link_opens_the_page_and_nothing_else(site: Any) -> None:
    for path in ("api/requests", "api/status", f"api/requests/{site[1]}", "static/main.js"):
        assert ask(site, path, "token=" + link(), **STRANGER)[0] == 404
    assert ask(site, "", "a=b&token=" + link(), **STRANGER)[0] == 404


@pytest.mark.parametrize("said", [
    {"HTTP_X_FORWARDED_PROTO": "https"}, {"HTTP_FORWARDED": "for=192.0.2.60;proto=https"}, {"wsgi.url_scheme": "https"},
])
def test_the_cookie_is_secure_where_the_clients_side_is(site: Any, said: dict[str, str]) -> None:
    plain = {**STRANGER, "wsgi.url_scheme": "http"}
    assert "Secure" not in ask(site, "", "token=" + link(), **plain)[1]["Set-Cookie"]
    assert "; Secure" in ask(site, "", "token=" + link(), **{**plain, **said})[1]["Set-Cookie"]


def test_a_link_is_for_reading_unless_it_says_more(site: Any) -> None:
    def session(*purposes: str) -> dict[str, str]:
        cookie = ask(site, "", "token=" + link(*purposes), **STRANGER)[1]["Set-Cookie"].split(";")[0]
        return {**STRANGER, "HTTP_COOKIE": cookie, "HTTP_X_SLOWLENS_VIEWER": "1"}

    reader, keeper = session("view"), session("view", "change")
    assert ask_json(site, "api/status", **reader)["may"] == ["view"]
    assert ask_json(site, "api/status", **keeper)["may"] == ["change", "view"]
    assert ask(site, "api/delete", f"id={site[1]}", method="POST", **reader)[0] == 403
    assert ask(site, "api/pin", f"id={site[1]}", method="POST", **reader)[0] == 403
    assert ask(site, "", "token=" + link("trigger"), **STRANGER)[0] == 404, "not for looking"
    assert ask(site, "api/pin", f"id={site[1]}", method="POST", **keeper)[0] == 200
    assert ask(site, "api/delete", f"id={site[1]}", method="POST", **keeper)[0] == 200


def test_viewing_is_not_profiled(site: Any) -> None:
    for _ in range(3):
        ask(site, "api/requests")
    assert len(Stored(site[0].recorder).rows()) == 1


# ---- the reports of one profile, and of a route's merged ----


@pytest.mark.parametrize("ref", ["one", "aggregate"])
def test_every_report_of_a_profile(site: Any, ref: str) -> None:
    query = ""
    where = f"api/requests/{site[1]}"
    if ref == "aggregate":
        query, where = "route=/some/path&method=GET", "api/requests/aggregate"
    summary, glance = ask_json(site, where, query), ask_json(site, where, query + "&glance=1")
    assert summary.pop("findings") is not None and glance == summary, "the sentence as it was stored, too"
    flame = ask_json(site, where + "/flame", query)
    size = len(flame["nodes"])
    assert size > 10 and not flame["truncated"]
    assert all(len(flame[name]) == size for name in ("parents", "function", "calls", "self_ns", "total_ns", "strands"))
    assert all(parent < i for i, parent in enumerate(flame["parents"]) if i)
    assert len(ask_json(site, where + "/flame", query + "&limit=5")["nodes"]) <= 5
    everything = ask_json(site, where + "/calls", query + "&permille=0")
    names = {one["id"]: one["name"] for one in everything["functions"]}
    chosen = next(one for one, name in names.items() if name == "library")
    one = ask_json(site, where + "/calls", f"{query}&function={chosen}")
    assert one["pairs"] and all(chosen in (pair["caller"], pair["callee"]) for pair in one["pairs"])
    repeats = ask_json(site, where + "/repeats", query)
    assert repeats["exact"]
    assert all(row["calls"] >= 10 for row in repeats["rows"])
    assert "rows" in ask_json(site, where + "/timeline", query)
    assert ask_json(site, where + "/lines", f"{query}&function={chosen}")["name"] == "library"
    diff = ask_json(site, where + "/diff", f"{query}&to={site[1]}")
    assert diff["before_ns"] == diff["after_ns"]
    assert ask(site, where + "/flame", query + "&node=99999999")[0] == 400
    assert ask(site, where + "/calls", query + "&function=99999999")[0] == 400
    assert ask(site, where + "/diff", query + "&to=../x")[0] == 400
    assert ask(site, where + "/diff", query + "&to=0" + "0" * 25)[0] == 404


def test_many_profiles_of_a_route_are_merged(site: Any) -> None:
    for _ in range(4):
        wsgi_call(site[0], "/some/path")
    rows = Stored(site[0].recorder).rows(limit=5)
    spread = ask_json(site, "api/requests/aggregate/spread", "route=/some/path&method=GET")
    assert spread["count"] == 5 and sorted(spread["ids"]) == sorted(row["id"] for row in rows)
    root = spread["rows"][0]
    assert root["total_ns"] == pytest.approx(sum(row["wall_ns"] for row in rows), rel=0.01)
    assert root["max_ns"] == root["p95_ns"] <= root["total_ns"]
    assert root["present"] == 5
    data = ask(site, "requests/aggregate/profile", "route=/some/path&method=GET")[2]
    merged = json.loads(_core.Profile(data).summary())
    assert merged["meta"]["merged"] == 5
    one = json.loads(_core.Profile(ask(site, f"requests/{rows[0]['id']}/profile")[2]).summary())
    assert merged["calls"] == pytest.approx(5 * one["calls"], rel=0.05)
    assert ask(site, "api/requests/aggregate/spread", "route=/no/such")[0] == 404
    assert ask(site, "api/requests/aggregate", "route=/no/such")[0] == 404


def test_source_is_of_this_profile_and_this_project_only(site: Any, tmp_path: Path) -> None:
    where = f"api/requests/{site[1]}"
    functions = {row["function"]["name"]: row["function"] for row in
                 ask_json(site, where + "/functions", "limit=10000")["rows"]}
    shown = ask_json(site, where + "/source", f"function={functions['library']['id']}")
    assert shown["why"] is None
    assert any(text.startswith("def library") for _, text in shown["text"])
    assert dict(shown["text"])[shown["line"]].startswith("def library")
    foreign = next(one for one in functions.values()
                   if one["origin"] == "stdlib" and one["kind"] == "python" and one["file"].endswith(".py"))
    hidden = ask_json(site, where + "/source", f"function={foreign['id']}")
    assert hidden["text"] == [] and "not under the project" in hidden["why"]
    # Names of files come from the blob, which may come from anywhere.
    (tmp_path / "secret.py").write_text("PASSWORD = 1\n")
    (tmp_path / "linked.py").symlink_to("/etc/passwd")
    for hostile in ("/etc/passwd", "/etc/hostname.py", str(tmp_path / "secret.py"), "secret.py",
                    str(tmp_path / "linked.py"), str(Path.cwd() / "../../../../etc/passwd"), "/proc/self/environ"):
        text, why = source.read_lines(hostile, 1, 5)
        assert text == [] and why, hostile


def test_source_is_off_when_not_debugging(store_path: str) -> None:
    for options, seen in (({"debug": False}, False), ({"debug": False, "viewer_source": True}, True),
                          ({"debug": True, "viewer_source": False}, False)):
        middleware = ProfilerMiddleware(
            app, store=store_path, authorize=lambda environ: True, mode="deterministic", keep="all", **options)
        wsgi_call(middleware, "/some/path")
        one = (middleware, Stored(middleware.recorder).rows()[0]["id"])
        functions = ask_json(one, f"api/requests/{one[1]}/functions", "limit=10000")["rows"]
        chosen = next(row["function"]["id"] for row in functions if row["function"]["name"] == "library")
        found = ask_json(one, f"api/requests/{one[1]}/source", f"function={chosen}")
        assert bool(found["text"]) is seen, options
        assert bool(found["why"]) is not seen


def test_a_profile_is_pinned_by_the_viewer_alone(site: Any) -> None:
    send = {"REQUEST_METHOD": "POST"}
    assert ask(site, "api/pin", f"id={site[1]}", **send)[0] == 400, "not from elsewhere"
    own = {**send, "HTTP_X_SLOWLENS_VIEWER": "1"}
    assert json.loads(ask(site, "api/pin", f"id={site[1]}", **own)[2]) == {"pinned": True}
    assert ask_json(site, "api/requests")["requests"][0]["pinned"] is True
    assert json.loads(ask(site, "api/pin", f"id={site[1]}&on=0", **own)[2]) == {"pinned": False}
    assert ask_json(site, "api/requests")["requests"][0]["pinned"] is False
    assert ask(site, "api/pin", "id=../../x", **own)[0] == 400
    assert ask(site, "api/pin", f"id={site[1]}")[0] == 405


def test_live_lists_by_mark(site: Any) -> None:
    first = json.loads(ask(site, "api/requests")[2])
    assert first["mark"]
    again = json.loads(ask(site, "api/requests", f"stored_since={first['mark']}")[2])
    assert again["requests"] == []
    assert ask(site, "api/requests", "stored_since=nonsense")[0] == 400
    row = first["requests"][0]
    assert isinstance(row["findings"], list), "whatever was found: a busy machine is a finding"
    assert row["kind"] == "profile"
    by_host = json.loads(ask(site, "api/requests", f"host={row['host']}")[2])
    assert len(by_host["requests"]) == len(first["requests"])
    assert json.loads(ask(site, "api/requests", "host=elsewhere")[2])["requests"] == []


def test_reports_that_are_asked_for_at_once_decode_a_profile_once(site: Any) -> None:
    """A page asks for a summary and a flame graph together: of a large profile each would take its time to decode."""
    store, asked, others_ask = site[0].recorder.store, [], threading.Event()

    class Slow:
        def get(self, profile_id: str) -> bytes | None:
            asked.append(profile_id)
            others_ask.wait(20)
            data: bytes | None = store.get(profile_id)
            return data

    profiles: Any = Profiles(Slow())  # type: ignore[arg-type]
    got: list[Any] = []
    threads = [threading.Thread(target=lambda: got.append(profiles.get(site[1]))) for _ in range(3)]
    for thread in threads:
        thread.start()
    others_ask.set()
    for thread in threads:
        thread.join(20)
    assert len(asked) == 1 and len(got) == 3
    assert got[0] is not None and all(one is got[0] for one in got)
