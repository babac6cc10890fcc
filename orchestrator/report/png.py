"""The main plots as PNG, for trackers that show images. Matplotlib comes with MLflow and needs no browser."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from orchestrator.core.claims import claimed_system
from orchestrator.core.cost import pareto_front
from orchestrator.core.findings import is_humaneval
from orchestrator.core.rows import Row
from orchestrator.core.summary import Summary
from orchestrator.report import words
from orchestrator.report.charts_headline import SPAN, drawn_line, headlines
from orchestrator.report.load import load_run
from orchestrator.report.series import COLOURS, VERDICT_COLOURS, judged, turn_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["main_plots_png", "warm_up"]

Rows = Mapping[str, Sequence[Row]]
MARKS = {"single": "o-", "best": "s--", "oracle": "s:", "repaired": "D-"}
Draw = Callable[["Axes", Summary, Rows], bool]


def warm_up() -> None:
    """Import what the plots need, which takes longer than drawing one: for a moment when nobody waits."""
    import matplotlib.backends.backend_agg
    import matplotlib.figure  # noqa: F401


def main_plots_png(run_dir: Path | str, out_dir: Path | str) -> list[Path]:
    """Write those of :data:`PLOTS` that the run has something for, e.g. ``headline.png``.

    Returns:
        The paths of those written.

    Raises:
        ReportError: when the run cannot be read.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    run = load_run(run_dir)
    summary = run.summary()
    rows = run.evidence(summary).rows
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, draw in PLOTS.items():
        # A figure of its own and no pyplot: pyplot keeps global state, and the driver is a long-lived process.
        figure = Figure(figsize=(8, 1.8 + 0.5 * max(3, len(summary.cells))), dpi=110, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        if not draw(axes, summary, rows):
            continue
        if summary.synthetic:
            _band(axes)
        path = folder / f"{name}.png"
        figure.savefig(path)
        written.append(path)
    return written


def _rates(axes: Axes, summary: Summary, rows: Rows) -> bool:
    cells = [c for c in reversed(summary.cells) if c.pass_at_1 is not None]
    for i, cell in enumerate(cells):
        rate = cell.pass_at_1
        if rate is None:
            continue
        spread = [[(rate.value - rate.low) * 100], [(rate.high - rate.value) * 100]]
        axes.errorbar([rate.value * 100], [i], xerr=spread, fmt="o", color=COLOURS[0], capsize=4)
        claim = claimed_system(cell.system)
        if claim is not None and claim.pass_at_1 is not None and is_humaneval(cell):
            axes.plot([claim.pass_at_1 * 100], [i], "D", mfc="none", color=COLOURS[1])
    axes.set_yticks(range(len(cells)), [_plain(c.label) for c in cells])
    axes.set_xlabel("pass@1 in percent, with 95% interval (diamond: the article's claim)")
    axes.set_ylim(-0.6, len(cells) - 0.4)
    return bool(cells)


def _pareto(axes: Axes, summary: Summary, rows: Rows) -> bool:
    order = {cell.id: i for i, cell in enumerate(summary.cells)}
    points = []
    for cell in judged(summary):
        if not cell.usd_per_problem or cell.pass_at_1 is None:
            continue
        point = (cell.usd_per_problem, cell.pass_at_1.value)
        points.append(point)
        colour = COLOURS[order[cell.id] % len(COLOURS)]
        axes.plot([point[0]], [point[1] * 100], "o", color=colour, label=_plain(cell.label))
    if not points:
        return False
    front = pareto_front(points)
    axes.step([x for x, _ in front], [y * 100 for _, y in front], where="post", color="#888888", ls=":", lw=1)
    axes.set_xscale("log")
    axes.set_xlabel("API dollars for one try at one problem")
    axes.set_ylabel("pass@1 in percent")
    axes.legend(fontsize="small")
    return True


def _headline(axes: Axes, summary: Summary, rows: Rows) -> bool:
    made = headlines(summary, rows)
    if not made:
        return False
    headline = made[0]
    starts: list[float] = []
    ends: list[float] = []
    for one in headline.found:
        line = drawn_line(one, headline.budget)
        if not line:
            continue
        kind = one.kind.split()[0]
        colour = headline.colours[f"{one.cell.id} {one.kind}"]
        xs, ys = [usd for usd, _ in line], [solved for _, solved in line]
        name = _plain(one.label) + (" (upper bound)" if one.bound else "")
        axes.plot(
            xs,
            ys,
            MARKS[kind],
            color=colour,
            label=name,
            markevery=[-1],
            mfc="none" if one.bound else colour,
            ms=8,
            lw=1.6,
        )
        starts.append(xs[0])
        ends.append(xs[-1])
    axes.set_xscale("log")
    axes.set_xlim(max(min(starts), min(ends) / SPAN), max(ends) * 1.15)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(
        _plain(f"dollars spent, up to {words.dollars(headline.budget.usd)} each ({headline.budget.why})")
    )
    axes.set_ylabel("problems solved")
    axes.set_title(_plain("\n".join(wrap(headline.sentence, 92))), fontsize="small", loc="left")
    axes.legend(fontsize="small")
    return True


def _turns(axes: Axes, summary: Summary, rows: Rows) -> bool:
    drawn = False
    for i, cell in enumerate(summary.cells):
        curve = turn_curve(rows.get(cell.id, ()))
        if len(curve) > 1:
            xs, ys = [t for t, _ in curve], [s * 100 for _, s in curve]
            axes.plot(xs, ys, "o-", color=COLOURS[i % len(COLOURS)], label=_plain(cell.label))
            axes.set_xticks(xs)
            drawn = True
    axes.set_xlabel("turn")
    axes.set_ylabel("solved in percent")
    if drawn:
        axes.legend(fontsize="small")
    return drawn


def _verdicts(axes: Axes, summary: Summary, rows: Rows) -> bool:
    cells = list(reversed(summary.cells))
    left = [0] * len(cells)
    for verdict, colour in VERDICT_COLOURS.items():
        counts = [cell.verdicts.get(verdict, 0) for cell in cells]
        if verdict == "passed" or not any(counts):
            continue
        axes.barh(range(len(cells)), counts, left=left, color=colour, label=verdict)
        left = [a + b for a, b in zip(left, counts, strict=True)]
    axes.set_yticks(range(len(cells)), [_plain(c.label) for c in cells])
    axes.set_xlabel("trials that did not pass")
    if any(left):
        axes.legend(fontsize="small")
    return any(left)


def _band(axes: Axes) -> None:
    from matplotlib.patches import Rectangle

    place: dict[str, Any] = {"transform": axes.transAxes, "zorder": 10}
    axes.add_patch(Rectangle((0, 0.43), 1, 0.14, color="#eab308", alpha=0.28, **place))
    axes.text(0.5, 0.5, "SYNTHETIC: no model was called", ha="center", va="center", weight="bold", **place)


def _plain(label: str) -> str:
    # Matplotlib reads text between dollar signs as a formula.
    return label.replace("$", r"\$")


PLOTS: dict[str, Draw] = {
    "headline": _headline,
    "pass_at_1": _rates,
    "pareto": _pareto,
    "turns": _turns,
    "verdicts": _verdicts,
}
