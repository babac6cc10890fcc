"""``report.html``: one file that opens anywhere, without a network, and that no reply in it can take over."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from orchestrator.core.summary import Summary
from orchestrator.report import sections, words
from orchestrator.report.answers import answers
from orchestrator.report.charts import difference_chart, rate_chart, turn_chart, verdict_chart
from orchestrator.report.charts_headline import headline_chart, headlines
from orchestrator.report.charts_money import executed_usd, month_chart, pareto_chart
from orchestrator.report.charts_roofline import roofline_chart
from orchestrator.report.charts_running import distribution_charts
from orchestrator.report.charts_speed import speed_charts, speed_turn_chart
from orchestrator.report.charts_timeline import timeline_charts
from orchestrator.report.errors import ReportError
from orchestrator.report.failures import browser_data
from orchestrator.report.figure import Chart
from orchestrator.report.load import Run, combine, load_run
from orchestrator.report.markup import Html, join, json_script, tag
from orchestrator.report.series import differences

__all__ = ["render", "write_report"]


def write_report(run_dirs: Sequence[Path | str], out: Path | str) -> Path:
    """Write one self-contained page for one or several runs and return its path.

    Raises:
        ReportError: when a run cannot be read or the page cannot be written.
    """
    run = combine([load_run(folder) for folder in run_dirs])
    target = Path(out)
    if target.is_dir():
        raise ReportError(f"{target} is a folder; name the page's file, and put --html after the run folders.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(render(run), encoding="utf-8", errors="replace")
    except OSError as error:
        raise ReportError(f"{target} cannot be written: {error.strerror or error}.") from error
    return target


def render(run: Run) -> str:
    """The page as text."""
    from plotly.offline import get_plotlyjs

    summary = run.summary()
    evidence = run.evidence(summary)
    found = differences(summary, evidence.rows)
    charts: list[Chart] = []

    def draw(*made: Chart | None) -> Html:
        kept = [chart for chart in made if chart is not None]
        charts.extend(kept)
        return join(_figure(chart) for chart in kept)

    browser = browser_data(run, summary)
    body = [
        _section("answers", "In a minute", sections.answer_cards(answers(summary, found), summary.synthetic)),
        _section("table", "What was solved", draw(rate_chart(summary)), sections.headline_table(summary)),
        _headline_section(
            [
                (made.sentence, draw(headline_chart(made, number)))
                for number, made in enumerate(headlines(summary, evidence.rows), 1)
            ]
        ),
        _section(
            "differences",
            "Is the difference real?",
            draw(difference_chart(found, summary.synthetic)),
            sections.differences_list(found, summary.synthetic),
        ),
        _section(
            "cost",
            "What it cost",
            draw(pareto_chart(summary, executed_usd(run, summary))),
            sections.cost_section(run, summary),
            draw(month_chart(summary, run)),
        ),
        _section("claims", "The article's claims", sections.claims_section(evidence)),
        _section(
            "turns",
            "What repair adds",
            draw(turn_chart(summary, evidence.rows), speed_turn_chart(run, summary))
            or _none("No system here repairs."),
        ),
        _section("running", "Time and memory", draw(*distribution_charts(summary, evidence.rows))),
        _gpu(run, summary, draw(*speed_charts(summary, evidence.rows), roofline_chart(summary, evidence.rows))),
        _section(
            "failures",
            "Failures, to read",
            draw(verdict_chart(summary)),
            sections.reasons_table(run),
            _browser(browser.said),
        ),
        _section(
            "timeline",
            "Timeline",
            draw(*timeline_charts(run, summary.synthetic)) or _none("No steps were recorded."),
        ),
        _section("again", "Reproduce it", sections.reproduction(run, summary)),
    ]
    scripts = [Html(get_plotlyjs()), Html(_asset("report.js"))]
    return _document(
        run,
        summary,
        join(part for part in body if part is not None),
        [json_script("charts", [{"id": c.id, **c.figure} for c in charts]), json_script("trials", browser.data)],
        scripts,
    )


def _document(run: Run, summary: Summary, body: Html, data: Sequence[Html], scripts: Sequence[Html]) -> str:
    # Only these two scripts may run: markup that slipped through would still be inert.
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts)
    policy = f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:"
    suite = (run.plan.get("suite") or {}).get("name") or "run"
    title = f"{suite}: {run.name}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Html(_asset("report.css"))),
    )
    banner = (
        tag("div", tag("strong", words.SYNTHETIC), class_="banner", role="alert") if summary.synthetic else None
    )
    page = tag(
        "body",
        tag("header", _headline(run, summary), banner),
        tag("nav", *_links(body), tag("button", "dark / light", id="theme", type="button")),
        tag("main", body),
        *data,
        *[Html(f"<script>{script}</script>") for script in scripts],
    )
    return f"<!doctype html>\n{tag('html', head, page, lang='en')}\n"


def _headline(run: Run, summary: Summary) -> Html:
    suite = run.plan.get("suite") or {}
    created = run.plan.get("created")
    when = f"{datetime.fromtimestamp(created, UTC):%Y-%m-%d %H:%M} UTC" if isinstance(created, int | float) else ""
    status = run.plan.get("status")
    partial = f"the run is {status}, so this is a part of it" if status not in (None, "done", "running") else ""
    problems = _problems(run, summary)
    facts = [
        f"{problems} problems",
        f"{len(summary.cells)} systems",
        f"{len(run.rows):,} trials",
        when,
        partial,
    ]
    return join(
        [
            tag("h1", f"{suite.get('name') or 'run'}: what was solved, and at what cost"),
            tag("p", f"{run.name} · {' · '.join(fact for fact in facts if fact)}", class_="facts"),
        ]
    )


def _problems(run: Run, summary: Summary) -> int:
    planned = (run.plan.get("suite") or {}).get("problems") or []
    return len(planned) or max((cell.problems for cell in summary.cells), default=0)


SECTIONS = {
    "answers": "In a minute",
    "table": "Solved",
    "headline": "Dollars",
    "differences": "Differences",
    "cost": "Cost",
    "claims": "Claims",
    "turns": "Repair",
    "running": "Time, memory",
    "gpu": "GPU",
    "failures": "Failures",
    "timeline": "Timeline",
    "again": "Reproduce",
}


def _links(body: Html) -> list[Html]:
    return [tag("a", name, href=f"#{key}") for key, name in SECTIONS.items() if f'<section id="{key}"' in body]


def _section(identifier: str, title: str, *children: Html | None) -> Html:
    return tag("section", tag("h2", title), *children, id=identifier)


def _headline_section(made: Sequence[tuple[str, Html]]) -> Html | None:
    if not made:
        return None
    parts = [join([tag("p", sentence, class_="lead"), drawn]) for sentence, drawn in made]
    return _section("headline", "What a dollar solves", *parts)


def _gpu(run: Run, summary: Summary, charts: Html) -> Html | None:
    made = sections.gpu_table(run, summary)
    on_card = any(cell.gpu is not None and cell.gpu.on_card for cell in summary.cells)
    title = "On the card" if on_card else "Speed, on CPUs: no card was there"
    return None if made is None else _section("gpu", title, made, charts)


def _figure(chart: Chart) -> Html:
    height = chart.figure["layout"]["height"]
    return tag(
        "figure",
        tag("h3", chart.title),
        tag("div", id=f"chart-{chart.id}", class_="chart", style=f"min-height:{int(height)}px"),
        tag("figcaption", chart.caption),
    )


def _browser(said: str) -> Html:
    return tag(
        "div",
        tag(
            "form",
            tag("input", type="search", id="find", placeholder="search problems, reasons, programs, replies"),
            tag("select", id="by-verdict", aria_label="Verdict"),
            tag("select", id="by-cell", aria_label="System"),
            tag("output", id="found"),
            id="filters",
        ),
        tag("p", said, class_="notes") if said else None,
        tag("div", id="list"),
        tag("button", "more", id="more", type="button"),
        id="browser",
    )


def _none(text: str) -> Html:
    return tag("p", text, class_="notes")


def _asset(name: str) -> str:
    return files("orchestrator.report").joinpath("assets", name).read_text(encoding="utf-8")


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
