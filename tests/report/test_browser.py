"""The page in a real browser: what people see, do, and never notice."""

import gc
import itertools
import json
import shutil
import subprocess
import sys
import threading
import time
import warnings
from typing import Any

import pytest
import yaml
from tests.helpers import ROOT
from tests.report.helpers import ALARMS, HOSTILE, MIXTURE, STEPS, deliver, fill, make_run, results

from evolvent.report.files import write
from evolvent.report.page import page as html_of
from evolvent.report.reading import read
from evolvent.report.server import Serving
from evolvent.session import search
from evolvent.types import Budget, Candidate, Result

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on this machine: the page is not looked at"
)
COUNT = 60  # candidates of the run that is looked at


@pytest.fixture(scope="module")
def browser():
    sync = pytest.importorskip(
        "playwright.sync_api", reason="no playwright: the page is not looked at"
    )
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Served:
    """Starts servers that end after the windows are closed; a second one ends the one before."""

    def __init__(self) -> None:
        self._running: list[tuple[Serving, threading.Thread]] = []

    def __call__(self, folder, port=0):
        self.stop()
        server = Serving(folder, host="127.0.0.1", port=port)
        thread = threading.Thread(target=server.run)
        self._running.append((server, thread))
        thread.start()
        return server

    def stop(self) -> None:
        while self._running:
            server, thread = self._running.pop()
            server.stop()
            thread.join()
        with warnings.catch_warnings():  # a browser's connections end with the server's loop
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


@pytest.fixture
def served():
    served = Served()
    yield served
    served.stop()


class Opened:
    """Opens addresses in fresh windows, and notes what goes wrong and what is asked for."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser
        self.contexts: list[Any] = []
        self.wrong: list[str] = []
        self.asked: list[str] = []

    def __call__(self, address, width=1280, dark=False):
        context = self.browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
        )
        self.contexts.append(context)
        window = context.new_page()
        window.set_default_timeout(15_000)
        window.on("console", lambda m: self.wrong.append(m.text) if m.type == "error" else None)
        window.on("pageerror", lambda error: self.wrong.append(str(error)))
        window.on("request", lambda request: self.asked.append(request.url))
        window.goto(address)
        return window


@pytest.fixture
def opened(browser, served):
    """At the end nothing has failed or left the machine."""
    opened = Opened(browser)
    yield opened
    for context in opened.contexts:
        context.close()
    assert opened.wrong == []
    here = ("file:", "data:", "http://127.0.0.1:")
    assert [url for url in opened.asked if not url.startswith(here)] == []


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A delivered run with a front, some failures, and a winner that has ancestors."""
    folder = make_run(tmp_path_factory.mktemp("page") / "run")
    fill(folder, results(COUNT))
    told = [(c, r) for c, r in results(COUNT) if r.ok]
    winner = max((pair for pair in told if pair[0].parents), key=lambda pair: pair[1].score)
    deliver(folder, winner[0].id)
    write(folder)
    return folder


@pytest.fixture(scope="module")
def winner(run):
    return read(run)["state"]["card"]["candidate"]


def address(run):
    return (run / "report.html").as_uri()


def chosen(window):
    return window.locator("#candidate h2").inner_text()


def dots(window):
    return int(window.locator("#dots .plot").get_attribute("data-dots") or 0)


def wait(window, script, value=True):
    """Wait until a script says `value`; the page's policy forbids the browser's own way to wait."""
    for _ in range(300):
        if window.evaluate(script) == value:
            return
        window.wait_for_timeout(50)
    assert window.evaluate(script) == value


def place_of(window, id):
    """Where the dot of a candidate is in the window."""
    x, y = window.evaluate("id => ev.app.dots.plot.places.find((place) => place[2].id === id)", id)[
        :2
    ]
    box = window.locator("#dots .plot").bounding_box()
    return box["x"] + x, box["y"] + y


def test_the_page_opens_offline_with_the_winner_chosen(run, winner, opened):
    window = opened(address(run))
    window.wait_for_selector("#candidate dl")
    assert window.title() == "amoebanet · run"
    assert chosen(window) == f"Candidate #{winner}winner"
    assert dots(window) == sum(result.ok for _, result in results(COUNT))
    text = window.inner_text("body")
    for said in (
        "0.9833",
        "28,490",
        "control: a plain convolutional network, made by hand",
        "0.9791",
    ):
        assert said in text
    assert "evolvent search digits --recipe amoebanet --budget 200t --seed 3" in text
    assert "2 failed: out of memory: 8 GB" in text
    assert "Mean accuracy of the last 20 results" in text


def test_a_click_on_a_dot_shows_its_network_beside_its_parent(run, opened):
    window = opened(address(run))
    window.wait_for_selector(".pictures svg")
    child = next(c for c, r in results(COUNT) if c.id > 40 and r.ok)
    window.mouse.click(*place_of(window, child.id))
    window.wait_for_selector(f"#candidate h2:text-is('Candidate #{child.id}')")
    assert f"{child.operator} of #{child.parents[0]}" in window.inner_text("#candidate dl")
    window.wait_for_selector(f"text=parent #{child.parents[0]}")
    parent, own = window.locator(".pair .drawing").all()
    marked = [p.locator(".added, .removed, .changed").count() for p in (parent, own)]
    assert max(marked) > 0
    assert window.locator(".changes li").count() > 0
    assert window.locator("#candidate .plot canvas").first.is_visible()
    if child.weights_from:
        assert "began with those of" in window.inner_text("#candidate dl")
    assert window.evaluate("location.hash") == f"#{child.id}"


def test_a_failed_candidate_is_marked_and_says_why(run, opened):
    window = opened(address(run))
    window.wait_for_selector(".pictures svg")
    window.mouse.move(*place_of(window, 22))
    assert "out of memory: 8 GB" in window.locator("#dots .tip").inner_text()
    window.mouse.click(*place_of(window, 22))
    window.wait_for_selector("#candidate h2:text-is('Candidate #22')")
    assert "failed" in window.inner_text("#candidate .big")


def test_the_ancestry_is_stepped_through_by_buttons_and_keys(run, winner, opened):
    window = opened(address(run))
    window.wait_for_selector("#ancestry .chip")
    line = [
        int(chip.split("\n")[0].lstrip("#"))
        for chip in window.locator("#ancestry .chip").all_inner_texts()
    ]
    by_id = {c.id: c for c, _ in results(COUNT)}
    assert line[-1] == winner and not by_id[line[0]].parents
    assert all(by_id[b].parents[0] == a for a, b in itertools.pairwise(line))
    window.click("#older")
    window.wait_for_selector(f"#candidate h2:text-is('Candidate #{line[-2]}')")
    window.click("#younger")
    assert chosen(window).startswith(f"Candidate #{winner}")
    window.focus("#dots .plot")
    window.keyboard.press("ArrowUp")
    assert chosen(window) == f"Candidate #{line[-2]}"
    window.keyboard.press("ArrowRight")
    assert chosen(window).startswith(f"Candidate #{line[-2] + 1}")
    window.keyboard.press("Home")
    assert chosen(window).startswith(f"Candidate #{winner}")


def test_the_front_and_other_axes(run, opened):
    window = opened(address(run))
    window.wait_for_selector("#front .chip")
    told = [r for _, r in results(COUNT) if r.ok]
    front = {
        r.candidate.id
        for r in told
        if not any(o.params <= r.params and o.score > r.score for o in told)
        and not any(o.params < r.params and o.score >= r.score for o in told)
    }
    assert set(window.evaluate("ev.app.run.front('params').map((row) => row.id)")) == front
    window.select_option("#axis", "params")
    assert window.evaluate("ev.app.dots.plot.view.x.label").startswith("parameters [count]")
    window.select_option("#axis", "time")
    assert "search time" in window.evaluate("ev.app.dots.plot.view.x.label")
    window.locator("#front .chip").first.click()
    assert int(chosen(window).split("#")[1].split("winner")[0]) in front


@pytest.mark.parametrize("dark", [False, True])
def test_it_follows_the_scheme_of_the_reader_and_can_be_turned(run, opened, dark):
    window = opened(address(run), dark=dark)
    window.wait_for_selector("#candidate dl")

    def background():
        return window.evaluate("getComputedStyle(document.body).backgroundColor")

    paper = {False: "rgb(247, 247, 244)", True: "rgb(18, 21, 24)"}
    assert background() == paper[dark]
    window.click("#theme")
    assert background() == paper[not dark]


@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_the_width_of_a_phone_and_of_a_laptop(run, opened, width):
    window = opened(address(run), width=width)
    window.wait_for_selector(".pictures svg")
    assert window.evaluate("document.documentElement.scrollWidth") == width
    assert window.locator("#dots .plot").bounding_box()["width"] > 0.8 * min(width, 850)


def test_hostile_names_are_text(tmp_path, opened):
    folder = make_run(tmp_path / "run", space={"name": "listed"}, recipe=HOSTILE)
    archs = [f"{HOSTILE[:60]}|a", "<b>x</b>|b"]
    fill(
        folder,
        [
            (
                c := Candidate(0, archs[0], operator=HOSTILE, note=HOSTILE),
                Result(c, 0.5, metrics={HOSTILE: 1.25}),
            ),
            (
                c := Candidate(1, archs[1], parents=(0,), operator="<i>"),
                Result(c, 0.25, metrics={HOSTILE: 2.5}),
            ),
            (c := Candidate(2, archs[1]), Result(c, status="failed", reason=HOSTILE)),
        ],
    )
    window = opened(write(folder).as_uri())
    window.wait_for_selector(".drawing")
    assert window.locator("img, i:not(.key), body script + script + script").count() == 0
    assert "</script><img src=x onerror=alert(1)>" in window.inner_text("h1")
    assert "</script><img" in window.inner_text("#reasons")
    assert window.locator(".node text").first.text_content().startswith("field 1: </script>")
    window.evaluate("ev.app.select(2)")
    wait(window, "document.querySelector('#candidate dd').textContent", "sample")
    assert window.evaluate("document.documentElement.scrollWidth") <= 1280


def test_shared_weights_have_curves_alarms_and_a_heat_map(run, tmp_path, opened):
    data = read(run)
    data["steps"] = STEPS
    data["state"] |= {"shared": True, "alarms": ALARMS, "mixture": MIXTURE}
    file = tmp_path / "shared.html"
    file.write_text(html_of(data, title="shared"))
    window = opened(file.as_uri())
    window.wait_for_selector("#shared .plot canvas")
    assert window.locator("#shared .plot").count() == 2
    text = window.inner_text("#shared")
    assert "skip connections, seen at #90: 6 of 8 edges of the normal cell are skips" in text
    assert text.startswith("Weight sharing") and "entropy" in text and "stop earlier" in text
    cells = window.locator("#shared .heat td")
    assert cells.all_inner_texts() == [f"{v:.2f}" for row in MIXTURE[0]["values"] for v in row]
    colours = [
        cell.evaluate("cell => getComputedStyle(cell).backgroundColor") for cell in cells.all()
    ]
    assert len(set(colours)) == len({v for row in MIXTURE[0]["values"] for v in row})


def test_a_comparison_is_a_page_of_the_same_design(tmp_path, opened):
    from tests.report.test_files import comparison

    window = opened(write(comparison(tmp_path / "c", "regularized-evolution")).as_uri(), width=390)
    assert window.locator("svg.ev-figure").count() == 2
    assert window.evaluate("document.documentElement.scrollWidth") == 390
    ink = "getComputedStyle(document.querySelector('.ev-figure text')).fill"
    before = window.evaluate(ink)
    window.click("#theme")
    assert window.evaluate(ink) != before


# ---- live ----------------------------------------------------------------------------------------


def until(window, count):
    wait(window, "document.querySelector('#dots .plot').dataset.dots", str(count))


def test_dots_appear_while_a_search_runs(tmp_path, served, opened):
    seen = threading.Event()

    class Held:
        """The search waits in its midst until somebody has looked."""

        def on_result(self, result):
            if result.candidate.id == 60:
                seen.wait(120)

    folder = tmp_path / "run"
    options = {"strategy": "regularized-evolution", "budget": "150t", "workers": 0, "out": folder}
    thread = threading.Thread(
        target=search, args=("table:digits201",), kwargs=options | {"callbacks": [Held()]}
    )
    thread.start()
    try:
        while not (folder / "config.yaml").exists():
            time.sleep(0.01)
        window = opened(served(folder).address)
        wait(window, "document.querySelector('#dots .plot').dataset.dots > 0")
        early = dots(window)
        seen.set()
        until(window, 150)
        assert early < 150
        window.wait_for_selector("#state:has-text('done')")
        assert "live" in window.inner_text("#state")
        window.wait_for_selector(".pictures svg")
    finally:
        seen.set()
        thread.join()


def test_a_server_that_comes_back_goes_on_without_losing_or_doubling_a_dot(
    tmp_path, served, opened
):
    every = list(results(40))
    folder = make_run(tmp_path / "run")
    fill(folder, every[:20])
    server = served(folder)
    window = opened(server.address)
    until(window, 20)
    served.stop()
    fill(folder, every[20:30])
    window.wait_for_selector("#state:has-text('waiting for the server')")
    served(folder, server.port)
    until(window, 29)
    fill(folder, every[30:])
    until(window, 39)
    assert window.evaluate("ev.app.run.list.map((row) => row.id)") == list(range(40))
    opened.wrong.clear()  # the browser itself notes that nobody listened for a while


def test_an_answer_that_is_no_stream_is_not_the_end(tmp_path, served, opened):
    every = list(results(30))
    folder = make_run(tmp_path / "run")
    fill(folder, every[:20])
    server = served(folder)
    window = opened(server.address)
    until(window, 20)
    refused: list[str] = []

    def refuse_once(route):
        if refused:
            route.continue_()
        else:
            refused.append(route.request.url)
            route.fulfill(status=503, body="about to end")

    window.route("**/events*", refuse_once)
    served.stop()
    fill(folder, every[20:])
    served(folder, server.port)
    until(window, 29)
    assert refused
    assert window.evaluate("ev.app.run.list.map((row) => row.id)") == list(range(30))
    opened.wrong.clear()  # the browser itself notes the refusal


def test_a_chosen_candidate_stays_chosen_while_others_come(tmp_path, served, opened):
    folder = make_run(tmp_path / "run")
    fill(folder, list(results(10)))
    window = opened(served(folder).address)
    until(window, 10)
    window.evaluate("ev.app.select(4)")
    candidate = Candidate(10, None, budget=Budget(2.0))
    fill(folder, [(candidate, Result(candidate, 0.999))])
    until(window, 11)
    assert chosen(window) == "Candidate #4"
    assert window.evaluate("ev.app.run.winner.id") == 10


def test_a_folder_of_runs_is_a_list_that_leads_to_pages(tmp_path, served, opened):
    for name in ("a & b", "c"):
        fill(make_run(tmp_path / "all" / name), results(5))
    config = tmp_path / "all" / "c" / "config.yaml"
    config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text()) | {"recipe": "other"}))
    window = opened(served(tmp_path / "all").address)
    window.click("text=a & b")
    until(window, 5)
    window.wait_for_selector(".pictures svg")
    window.go_back()
    window.click("td a:text-is('c')")
    window.wait_for_selector("h1:text-is('other on digits')")
    window.wait_for_selector(".pictures svg")


@pytest.mark.slow
def test_twenty_thousand_candidates_are_a_page_of_moderate_size():
    done = subprocess.run(
        [sys.executable, "benchmarks/page.py", "--candidates", "20000"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    print(done.stdout)
    told = json.loads(done.stdout)
    assert told["file [MB]"] < 8
