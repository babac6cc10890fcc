"""The page in a real browser, without a network: no errors, filters work, failures open, nothing escapes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.report import write_report

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture(scope="module")
def page_file(hostile_run: Path, plain_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both runs in one page: the hostile texts must not reach the plain run's part either."""
    return write_report([plain_run, hostile_run], tmp_path_factory.mktemp("page") / "report.html")


class Opened:
    """A page that was opened offline, with what it complained about and asked for."""

    def __init__(
        self, browser: Any, file: Path, viewport: dict[str, int], scheme: str = "light", tail: str = ""
    ) -> None:
        self.context = browser.new_context(viewport=viewport, color_scheme=scheme, offline=True)
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.as_uri() + tail)
        self.page.wait_for_selector("html[data-drawn=yes]", timeout=60_000)

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()


@pytest.mark.parametrize(("viewport", "scheme"), [(WIDE, "light"), (NARROW, "dark")])
def test_it_opens_offline_without_complaint(
    browser: Any, page_file: Path, viewport: dict[str, int], scheme: str
) -> None:
    with Opened(browser, page_file, viewport, scheme) as opened:
        page = opened.page
        # Printing draws every chart; before it only those near the window are.
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert opened.errors == []
        assert [url for url in opened.requests if not url.startswith(("file:", "data:", "blob:"))] == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        drawn = page.eval_on_selector_all(
            ".chart", "all => all.map(c => c.querySelectorAll('svg.main-svg').length)"
        )
        assert len(drawn) >= 8
        assert all(drawn)
        light = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert light == (scheme == "light")


@pytest.fixture(scope="module")
def shared(browser: Any, page_file: Path) -> Iterator[Opened]:
    """One wide page for all that only looks at the list of trials."""
    with Opened(browser, page_file, WIDE) as opened:
        yield opened


@pytest.fixture
def page(shared: Opened) -> Any:
    """The shared page with its filters as they are at first."""
    shared.page.evaluate("location.hash = ''")
    shared.page.fill("#find", "")
    shared.page.select_option("#by-cell", index=0)
    shared.page.select_option("#by-verdict", "passed")
    # The change of verdict filters at once, so what is waited for is this page's own answer to it.
    shared.page.select_option("#by-verdict", "failed")
    shared.errors.clear()
    return shared.page


def until(page: Any, expression: str) -> None:
    """Wait for an expression; Playwright's own way would evaluate text in the page, which its policy forbids."""
    deadline = time.monotonic() + 30
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(40)


def test_charts_are_drawn_as_they_come_near(browser: Any, page_file: Path) -> None:
    with Opened(browser, page_file, NARROW) as opened:
        assert not opened.page.evaluate("!!document.querySelector('#chart-slots svg')")
        opened.page.evaluate("document.getElementById('chart-slots').scrollIntoView()")
        until(opened.page, "!!document.querySelector('#chart-slots svg')")


def texts(page: Any, selector: str) -> list[str]:
    return [str(t) for t in page.eval_on_selector_all(selector, "all => all.map(e => e.textContent)")]


def test_the_theme_can_be_switched(page: Any, shared: Opened) -> None:
    def colours() -> list[str]:
        found = page.evaluate(
            "[getComputedStyle(document.body).backgroundColor,"
            " getComputedStyle(document.querySelector('.xtick text')).fill]"
        )
        return [str(colour) for colour in found]

    before = colours()
    page.click("#theme")
    until(page, "document.documentElement.dataset.theme === 'dark'")
    after = colours()
    assert all(a != b for a, b in zip(before, after, strict=True))
    assert shared.errors == []


def test_filters(page: Any) -> None:
    assert "passed" not in texts(page, "#list .chip")
    page.select_option("#by-verdict", "wrong_answer")
    assert set(texts(page, "#list .chip")) == {"wrong_answer"}
    everything = int(page.inner_text("#found").split()[0])
    page.select_option("#by-cell", label="generate_only · sonnet · run=plain")
    assert 0 < int(page.inner_text("#found").split()[0]) < everything
    page.select_option("#by-cell", index=0)
    page.select_option("#by-verdict", "")
    assert len(texts(page, "#list .chip")) == 40
    page.click("#more")
    assert len(texts(page, "#list .chip")) == 80
    page.fill("#find", "stopped after 4.0 s of CPU")
    until(page, "document.querySelectorAll('#list .chip').length < 40")
    assert "timeout" in texts(page, "#list .chip")
    page.fill("#find", "there is no such text")
    until(page, "document.getElementById('found').textContent.startsWith('0 of')")
    assert texts(page, "#list .chip") == []


def test_a_whole_id_means_that_problem_alone(page: Any) -> None:
    page.fill("#ask", "humaneval/1")
    page.click("#ask-form button")
    ids = texts(page, "#list .id")
    assert set(ids) == {"HumanEval/1"}
    assert len(ids) == 6
    # The first failure is open at once, with what the model wrote.
    page.wait_for_selector("#list details[open] .inside")
    opened = page.inner_text("#list details[open] .inside")
    assert "Here is the function." in opened
    assert "graded on scoring tests" in opened.lower()


@pytest.mark.parametrize("viewport", [WIDE, NARROW])
def test_failures_open_and_hostile_texts_stay_texts(
    browser: Any, page_file: Path, viewport: dict[str, int]
) -> None:
    with Opened(browser, page_file, viewport) as opened:
        page = opened.page
        page.fill("#find", "window.pwned")
        until(page, "document.querySelectorAll('#list .trial').length > 3")
        for i in range(4):
            page.click(f"#list .trial:nth-child({i + 1}) > summary")
        until(page, "document.querySelectorAll('#list .inside pre').length > 8")
        assert "</script><script>window.pwned = 1</script><img src=x" in page.inner_text("#list")
        assert page.evaluate("window.pwned") is None
        assert page.evaluate("document.querySelectorAll('main img, main script, main iframe').length") == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert opened.errors == []


def test_markup_that_slipped_through_would_be_inert(page: Any, shared: Opened) -> None:
    # The policy is the second wall: even markup that gets into the page runs nothing.
    page.evaluate("document.getElementById('list').innerHTML = '<img src=x onerror=\"window.pwned = 3\">'")
    page.wait_for_timeout(200)
    assert page.evaluate("window.pwned") is None
    assert any("Content Security Policy" in error for error in shared.errors)


def test_a_trial_has_a_link_of_its_own(page: Any) -> None:
    page.click("#list .trial:nth-child(3) > summary")
    page.wait_for_selector("#list .trial:nth-child(3) .inside a")
    tail = page.get_attribute("#list .trial:nth-child(3) .inside a", "href")
    wanted = page.inner_text("#list .trial:nth-child(3) .id")
    page.fill("#find", "something else")
    until(page, "document.querySelectorAll('#list .trial').length === 0")
    page.evaluate("tail => { location.hash = tail }", tail)
    page.wait_for_selector("#list details[open] .inside")
    assert texts(page, "#list details[open] .id") == [wanted]


def test_reasons_lead_to_their_example(page: Any) -> None:
    link = page.locator("[data-find]").first
    wanted = link.inner_text()
    link.click()
    assert set(texts(page, "#list .id")) == {wanted}
