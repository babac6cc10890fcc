"""The page's sections that are text and tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.core.benefit import benefit_table
from orchestrator.core.cost import assumptions, break_even, break_even_calls, cell_cost, hourly_rates
from orchestrator.core.findings import Evidence, findings, is_claude
from orchestrator.core.rows import Row, by_cell
from orchestrator.core.statistics import median
from orchestrator.core.summary import CellSummary, Summary
from orchestrator.report import words
from orchestrator.report.answers import Answer, difference_sentence
from orchestrator.report.charts_speed import reference_name
from orchestrator.report.failures import top_reasons
from orchestrator.report.load import Run, other_prices
from orchestrator.report.markup import Html, join, table, tag
from orchestrator.report.series import Difference

SYSTEMS = {
    "generate_only": "the model writes, its program is graded once, nothing goes back",
    "execute_only": "the suite's own reference programs, which says whether tests and machine are sound",
    "hybrid": "the model writes, its program is run on public tests, what went wrong goes back, a few times",
}
"""What each system is, for people who see it for the first time."""
NO_CARD = (
    "No card was there, so programs and references ran in torch on this machine's CPU. These figures compare "
    "programs with each other and say nothing about any GPU."
)
NO_BREAK_EVEN = "No hardware of this run has a purchase price: the break-even is drawn for the article's card."

__all__ = [
    "answer_cards",
    "claims_section",
    "cost_section",
    "differences_list",
    "gpu_table",
    "headline_table",
    "reasons_table",
    "reproduction",
]


def answer_cards(found: Sequence[Answer], synthetic: bool) -> Html:
    """The four questions as cards; the last one carries the search field."""
    cards = []
    for i, answer in enumerate(found):
        extra = None
        if i == len(found) - 1 and len(found) > 1:
            extra = tag(
                "form",
                tag(
                    "input",
                    type="search",
                    id="ask",
                    placeholder="a problem, e.g. HumanEval/7",
                    aria_label="Problem",
                ),
                tag("button", "Show", type="submit"),
                id="ask-form",
            )
        cards.append(
            tag(
                "article",
                tag("h3", answer.question, " ", tag("span", "synthetic", class_="mark") if synthetic else None),
                tag("p", answer.short, class_="short"),
                tag("p", answer.detail, class_="detail"),
                extra,
                class_="card",
            )
        )
    return tag("div", *cards, class_="cards")


def headline_table(summary: Summary) -> Html:
    """Table 1's form: what was solved; then what it took and cost, the article's figure beside each."""
    ks = sorted({k for c in summary.cells for k in c.pass_at_k})
    selected = sorted({k for c in summary.cells for k in c.selected_at_k})
    hybrid = any(c.first_turn is not None for c in summary.cells)
    headings = ["system", "solved", "pass@1", "95% interval", "article"]
    headings += [f"pass@{k} (oracle)" for k in ks] + [f"selected@{k}" for k in selected]
    headings += ["first turn", "mended"] if hybrid else []
    headings += ["graded / planned"]
    rows, effort = [], []
    for cell in summary.cells:
        row: list[str] = [_who(cell), f"{cell.passed}/{cell.graded}", _rate(cell.pass_at_1)]
        row += [words.interval(cell.pass_at_1), _given(words.claimed_rate(cell))]
        row += [_rate(cell.pass_at_k.get(k)) for k in ks] + [_rate(cell.selected_at_k.get(k)) for k in selected]
        if hybrid:
            row += ["", ""] if cell.first_turn is None else [_rate(cell.first_turn), _rate(cell.repaired)]
        rows.append([*row, _graded(cell)])
        spent = [words.dollars(v) for v in (cell.api_usd, cell.usd_per_problem, cell.usd_per_solved)]
        effort.append(
            [
                _who(cell),
                words.seconds(cell.execute_s_median),
                words.seconds(cell.execute_s_p95),
                _given(words.claimed_time(cell)),
                *map(words.size, words.memory(cell)),
                _given(words.claimed_memory(cell)),
                *(["no model", "", ""] if cell.model is None else spent),
            ]
        )
    took = ["system", "time a problem", "p95", "article", "memory", "max", "article"]
    took += ["API total", "a problem", "a solved one"]
    said = [
        f"{name}: {meaning}." for name, meaning in SYSTEMS.items() if any(c.system == name for c in summary.cells)
    ]
    said += words.notes(summary.cells)
    said.append("Time and memory: the median over graded trials, beside it the 95th percentile and the largest.")
    if hybrid:
        said.append(
            "First turn: the first program's own grade. Mended: of the trials whose first turn failed, the share "
            "that passed in the end."
        )
    if ks:
        said.append("pass@k: at least one of k samples passes, which only an oracle could pick.")
    if selected:
        said.append("selected@k: the sample that public tests pick passes.")
    notes = tag("ul", *[tag("li", sentence) for sentence in said], class_="notes")
    first = table(headings, rows, numbers=range(1, len(headings)))
    return join([first, table(took, effort, numbers=range(1, len(took))), notes])


def differences_list(found: Sequence[Difference], synthetic: bool) -> Html:
    """One sentence a comparison."""
    if not found:
        return tag("p", "There are no two systems here that were graded on the same problems.")
    lead = "These are rehearsal figures: they say nothing about any model. " if synthetic else ""
    holm = f", p-values corrected for {len(found)} comparisons (Holm)" if len(found) > 1 else ""
    said = f"{lead}Paired on the same problems{holm}."
    return join([tag("p", said), tag("ul", *[tag("li", difference_sentence(d)) for d in found])])


def claims_section(evidence: Evidence) -> Html:
    """Every claim with its word and its sentence, and Table 2 with its formulas."""
    found = findings(evidence)
    judged = [f for f in found if f.status != "not measured"]
    rows = [
        [tag("span", f.status, class_=f"chip {_slug(f.status)}"), f.subject, f.claimed, f.sentence] for f in judged
    ]
    rest = [[f.subject, f.claimed, f.sentence] for f in found if f.status == "not measured"]
    benefit = [
        [
            row.system + (" (synthetic)" if row.synthetic else ""),
            row.quantity,
            row.claimed,
            row.computed,
            row.formula,
        ]
        for row in benefit_table(evidence)
    ]
    return join(
        [
            table(["finding", "claim", "claimed", "why"], rows) if rows else None,
            tag("h3", "Not measured in this run") if rest else None,
            table(["claim", "claimed", "why not"], rest) if rest else None,
            tag("h3", "Cost and benefit (the article's Table 2)"),
            table(["system", "figure", "claimed", "computed here", "formula"], benefit),
        ]
    )


def cost_section(run: Run, summary: Summary) -> Html:
    """Total, per problem and per solved problem, formulas, break-even, and every assumption."""
    rates = run.rates
    hourly = {name: hourly_rates(card, rates) for name, card in run.hardware.items()}
    costs = [(cell, cell_cost(cell, hourly.get(cell.hardware or ""))) for cell in summary.cells]
    rows = [[_who(cell), *_money(cell)] for cell in summary.cells]
    parts = [
        tag("h3", "API dollars"),
        table(["system", "total", "per problem", "per solved problem"], rows, numbers=(1, 2, 3)),
    ]
    whole = [
        [
            _who(cell),
            *map(words.dollars, (c.execution_usd, c.energy_usd, c.total, c.per_problem, c.per_solved)),
            c.formula,
        ]
        for cell, c in costs
    ]
    headings = ["system", "execution", "of it energy", "total", "per problem", "per solved problem", "formula"]
    parts += [tag("h3", "API and execution together"), table(headings, whole, numbers=range(1, 6))]
    if others := other_prices(run):
        said = (
            f"Execution is priced for all with the rates and hardware of {run.parts[0].name}; others were set in "
        )
        parts.append(tag("p", f"{said}{', '.join(others)}.", class_="notes"))
    parts.append(_break_even(run, summary) or tag("p", NO_BREAK_EVEN, class_="notes"))
    parts.append(tag("h3", "Assumptions"))
    prices = run.plan.get("prices") or []
    listed = assumptions(list(run.hardware.values()), rates, [p for p in prices if isinstance(p, dict)])
    if listed:
        parts.append(table(["key", "value", "source"], [[a.key, a.value, a.source] for a in listed]))
    parts.append(tag("ul", *[tag("li", h.formula) for h in hourly.values()], class_="notes"))
    return join(parts)


def gpu_table(run: Run, summary: Summary) -> Html | None:
    """fast_p, speedups and the card's memory, time and energy."""
    cells = [(cell, cell.gpu) for cell in summary.cells if cell.gpu is not None]
    if not cells:
        return None
    fast = sorted({p for _, gpu in cells for p in gpu.fast_p}, key=float)
    on_card = any(gpu.on_card for _, gpu in cells)
    headings = ["system", "correct", *[f"fast_{p}" for p in fast], "speedup", "failures as 0"]
    headings += ["against CPU" if on_card else "against NumPy", "against the reference", "roofline", "compile"]
    headings += ["card memory", "energy per call", "pays back after"] if on_card else []
    rows = []
    grouped = by_cell(run.rows)
    for cell, gpu in cells:
        counts = ", ".join(f"{n} {word}" for word, n in sorted(gpu.comparisons.items())) or words.NA
        rows.append(
            [
                _who(cell),
                words.percent(gpu.correct.value),
                *[_rate(gpu.fast_p.get(p)) for p in fast],
                _times(gpu.speedup),
                _times(gpu.speedup_failures_zero),
                _times(gpu.cpu_speedup),
                counts,
                words.percent(gpu.roofline_share_median),
                words.seconds(gpu.compile_s_median),
            ]
        )
        if on_card:
            rows[-1] += [
                words.size(gpu.peak_memory_bytes),
                words.joules(gpu.joules_per_call_median),
                _pay_back(run, cell, grouped.get(cell.id, ())),
            ]
    notes = (
        "fast_p: share of graded trials that are correct and more than p times as fast as "
        f"{reference_name(summary)}, without correct programs whose time could not be measured. "
        "speedup: geometric mean over correct programs; failures as 0: arithmetic mean with failed trials at 0. "
    )
    if on_card:
        notes += (
            "pays back after: median number of calls after which a faster program has saved, at the hardware's "
            "price, what its own generation cost."
        )
    lead = None if on_card else tag("p", NO_CARD, class_="lead")
    right = [i for i, heading in enumerate(headings) if i and heading != "against the reference"]
    return join([lead, table(headings, rows, numbers=right), tag("p", notes, class_="notes")])


def _pay_back(run: Run, cell: CellSummary, rows: Sequence[Row]) -> str:
    hourly = hourly_rates(run.hardware.get(cell.hardware or "", {}), run.rates)
    calls = median(break_even_calls(rows, hourly.chosen))
    return words.NA if calls is None else words.calls(calls)


def reasons_table(run: Run) -> Html | None:
    """The commonest ways to fail."""
    found = top_reasons(run.rows)
    if not found:
        return None
    rows = [
        [_chip(verdict), reason, f"{n:,}", tag("a", problem, href="#failures", data_find=problem)]
        for verdict, reason, n, problem in found
    ]
    return table(["verdict", "reason", "trials", "for example"], rows, numbers=(2,))


def reproduction(run: Run, summary: Summary) -> Html:
    """What it takes to do it again."""
    parts = []
    for part in run.parts or (run,):
        plan = part.plan
        suite = plan.get("suite") or {}
        rows = [
            ["command", _code(plan.get("command"))],
            ["commit", _code(plan.get("git_commit"))],
            ["seed", _text(plan.get("seed"))],
            ["suite", f"{_text(suite.get('name'))}, {len(suite.get('problems') or [])} problems"],
            ["suite digest", _code(suite.get("digest"))],
            ["isolation", _text(plan.get("isolation"))],
            ["status", _text(plan.get("status"))],
            ["versions", ", ".join(f"{k} {v}" for k, v in (plan.get("versions") or {}).items()) or words.NA],
            ["hardware", "; ".join(_card(card) for card in part.hardware.values()) or words.NA],
            [
                "prompts",
                ", ".join(f"{k} {str(v)[:12]}" for k, v in (plan.get("prompts") or {}).items()) or words.NA,
            ],
        ]
        parts.append(tag("h3", part.name))
        parts.append(table(["what", "value"], rows))
    seen = sorted({name for cell in summary.cells for name in (*cell.isolation, *cell.gpus)})
    parts.append(tag("p", f"Recorded by the trials: {'; '.join(seen) or 'nothing'}.", class_="notes"))
    return join(parts)


def _break_even(run: Run, summary: Summary) -> Html | None:
    api_only = [
        c for c in summary.cells if c.system == "generate_only" and c.usd_per_solved is not None and is_claude(c)
    ]
    rows = []
    for cell in summary.cells:
        card = run.hardware.get(cell.hardware or "", {})
        if cell.system == "generate_only" or not cell.passed or cell.lease_s is None:
            continue
        rival = next((c for c in api_only if c.model == cell.model), api_only[0] if api_only else None)
        for found in break_even(
            card,
            run.rates,
            lease_s_per_solved=cell.lease_s / cell.passed,
            # What only runs the suite's own programs is no alternative to a system that writes them.
            api_usd_per_solved=cell.usd_per_solved if cell.model is not None else None,
            alternative_usd_per_solved=rival.usd_per_solved if rival is not None else None,
        ):
            month = found.solved_per_month
            shown = "at no number of problems" if month is None else f"{month:,.0f} solved problems a month"
            rows.append([_who(cell), str(card.get("name")), found.against, shown, found.formula])
    if not rows:
        return None
    headings = ["system", "card", "against", "the card pays for itself from", "formula"]
    return join([tag("h3", "Break-even"), table(headings, rows)])


def _money(cell: CellSummary) -> list[str]:
    if cell.model is None:
        return ["no model", "no model", "no model"]
    return [words.dollars(v) for v in (cell.api_usd, cell.usd_per_problem, cell.usd_per_solved)]


def _given(text: str) -> str:
    return "not given" if text == "none" else text


def _who(cell: CellSummary) -> Html:
    marks = [tag("span", "synthetic", class_="mark")] if cell.synthetic else []
    marks += [tag("span", "oracle", class_="mark")] if cell.feedback == "oracle" else []
    return join([cell.label, " " if marks else None, *marks])


def _graded(cell: CellSummary) -> str:
    rest = f" ({cell.infrastructure_and_not_run})" if cell.infrastructure_and_not_run else ""
    return f"{cell.graded}/{cell.planned}{rest}"


def _rate(rate: Any) -> str:
    return words.percent(None if rate is None else rate.value)


def _times(value: float | None) -> str:
    return words.NA if value is None else f"{value:.2f}x"


def _chip(verdict: str) -> Html:
    return tag("span", verdict, class_=f"chip v-{_slug(verdict)}")


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() or c == "_" else "-" for c in text.lower())


def _code(value: object) -> Html | str:
    return words.NA if value is None else tag("code", str(value))


def _text(value: object) -> str:
    return words.NA if value is None else str(value)


def _card(card: dict[str, Any]) -> str:
    cards = card.get("cards")
    return f"{card.get('name')}" + (f" ({cards})" if cards else "")
