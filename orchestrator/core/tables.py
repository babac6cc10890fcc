"""The files of a run folder: the columns of its two tables and the shape of its plan.

A run folder holds ``config.yaml``, ``plan.json``, ``journal.sqlite``, ``results.parquet`` (a row a trial),
``steps.parquet`` (a row a generation or execution), ``summary.json`` and ``report.html``. Column types are
names that ``pyarrow.type_for_alias`` knows. Every column may hold null, and null always means "not measured"
or "does not apply", never 0. Readers must bear a column that is missing and treat it as all null.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypedDict

__all__ = ["PLAN_VERSION", "RESULTS", "STEPS", "Column", "Plan", "PlanCell"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    name: str
    type: str
    """``string``, ``int64``, ``float64`` or ``bool``."""
    meaning: str
    """One line, with the unit."""


RESULTS: Final[tuple[Column, ...]] = (
    Column("run_id", "string", "name of the run that made the row"),
    Column("cell", "string", "id of the cell in the plan"),
    Column("system", "string", "generate_only, execute_only or hybrid"),
    Column("model", "string", "name of the model in the configuration; null where no model is called"),
    Column("model_id", "string", "model id that the API returned"),
    Column("suite", "string", "name of the suite"),
    Column("suite_digest", "string", "SHA-256 of the suite: equal digests saw equal problems"),
    Column("problem", "string", "problem id, e.g. HumanEval/0"),
    Column("problem_digest", "string", "SHA-256 of the problem"),
    Column("hardware", "string", "hardware class that programs ran on"),
    Column("axes", "string", "JSON object: the cell's point on each axis of the sweep"),
    Column("sample", "int64", "index of the independent try at the problem, from 0"),
    Column("turns", "int64", "rounds of generate and execute that the trial took"),
    Column("verdict", "string", "verdict on the scoring tests"),
    Column("reason", "string", "one line; empty only for passed"),
    Column("first_turn_verdict", "string", "hybrid: verdict of the first turn's program on the scoring tests"),
    Column("public_verdict", "string", "verdict of the graded program on the public feedback tests"),
    Column("feedback", "string", "public or oracle; null where nothing is fed back"),
    Column("feedback_examples", "int64", "public examples that feedback could use on this problem"),
    Column("cpu_s", "float64", "user + system CPU seconds of the graded program's scoring run"),
    Column("wall_s", "float64", "elapsed seconds of the whole trial; null where the journal answered part of it"),
    Column("peak_memory_bytes", "int64", "largest resident set of the trial's programs"),
    Column("input_tokens", "int64", "uncached input tokens over all turns"),
    Column("output_tokens", "int64", "output tokens over all turns"),
    Column("cache_read_tokens", "int64", "input tokens read from the prompt cache"),
    Column("cache_write_tokens", "int64", "input tokens written to the prompt cache"),
    Column("api_usd", "float64", "what the trial's replies cost, shared ones in full; null when unpriced"),
    Column("shared", "bool", "true when a reply of this trial was bought once for several cells"),
    Column("execute_s", "float64", "seconds from code sent to verdict, summed over the trial's executions"),
    Column("lease_s", "float64", "seconds that execution slots were held for the trial"),
    Column("node", "string", "node of the scoring run"),
    Column("gpu", "string", "card of the scoring run; null on CPU"),
    Column("isolation", "string", "full, or partial (what is missing)"),
    Column("synthetic", "bool", "true when no model wrote the replies"),
    Column("started_at", "float64", "epoch seconds; null where wall_s is"),
    Column("ended_at", "float64", "epoch seconds; null where wall_s is"),
    Column("gpu_time_s", "float64", "GPU suite: seconds of one call, lower quartile over the rounds"),
    Column("gpu_time_low_s", "float64", "GPU suite: lower end of its 95% interval"),
    Column("gpu_time_high_s", "float64", "GPU suite: upper end of its 95% interval"),
    Column("gpu_reference_time_s", "float64", "GPU suite: the GPU reference in the same lease"),
    Column("cpu_reference_time_s", "float64", "GPU suite: the CPU reference"),
    Column("speedup", "float64", "GPU suite: time of the GPU reference over this program's"),
    Column("cpu_speedup", "float64", "GPU suite: time of the CPU reference over this program's"),
    Column("comparison", "string", "GPU suite: faster, same, slower or ambiguous against the GPU reference"),
    Column("roofline_share", "float64", "GPU suite: attained share (0..1) of the binding ceiling"),
    Column("bound", "string", "GPU suite: memory or compute"),
    Column("dtype", "string", "GPU suite: fp64, fp32, bf16 or fp16"),
    Column("least_bytes", "int64", "GPU suite: least bytes that must cross the memory bus in one call"),
    Column("operations", "int64", "GPU suite: least operations of the usual algorithm in one call"),
    Column("peak_bytes_per_s", "float64", "GPU suite: memory ceiling, measured where the program ran"),
    Column("peak_operations_per_s", "float64", "GPU suite: arithmetic ceiling, measured where the program ran"),
    Column("compile_s", "float64", "GPU suite: seconds of compiling"),
    Column("gpu_peak_memory_bytes", "int64", "GPU suite: peak memory on the card"),
    Column("joules", "float64", "GPU suite: energy of a window of calls back to back, minus idle"),
    Column("joules_per_call", "float64", "GPU suite: that over the window's calls"),
    Column("gpu_uuid", "string", "GPU suite: the card's own number"),
    Column("gpu_rounds", "int64", "GPU suite: timed rounds that count"),
    Column("gpu_dropped_rounds", "int64", "GPU suite: rounds left out because the card was throttled"),
    Column("gpu_clock_mhz", "int64", "GPU suite: SM clock while the program was timed, median"),
    Column("gpu_temperature_c", "int64", "GPU suite: the card's temperature then, median"),
    Column("gpu_power_w", "float64", "GPU suite: what the card drew then, mean"),
    Column("gpu_throttle", "string", "GPU suite: why the card was slowed down then; empty for not at all"),
    Column("gpu_claimed_time_s", "float64", "GPU suite: what the program's own events say; never scored"),
)

STEPS: Final[tuple[Column, ...]] = (
    Column("cell", "string", "JSON list: ids of the cells that the step served"),
    Column("trial", "string", "id of the trial that asked first"),
    Column("problem", "string", "problem id"),
    Column("sample", "int64", "index of the independent try, from 0"),
    Column("turn", "int64", "round of the trial, from 1"),
    Column("kind", "string", "generation, feedback, scoring or reference"),
    Column("key", "string", "key of the step in the journal; rows of one key share a purchase or an execution"),
    Column("program", "string", "program that was extracted or run; null where there was none"),
    Column("reply", "string", "generation: text of the reply"),
    Column("messages", "string", "generation: JSON list of {role, text}, the conversation that was sent"),
    Column("stop_reason", "string", "generation: why the model stopped"),
    Column("model_id", "string", "generation: model id that the API returned"),
    Column("request_id", "string", "generation: the API's id of the request"),
    Column("input_tokens", "int64", "generation: uncached input tokens"),
    Column("output_tokens", "int64", "generation: output tokens"),
    Column("cache_read_tokens", "int64", "generation: input tokens read from the prompt cache"),
    Column("cache_write_tokens", "int64", "generation: input tokens written to the prompt cache"),
    Column("usd", "float64", "generation: what the reply cost, in each row of its key; null when unpriced"),
    Column("verdict", "string", "execution: the verdict"),
    Column("reason", "string", "execution: one line; empty only for passed"),
    Column("feedback", "string", "feedback execution: the text that went back to the model"),
    Column("cpu_s", "float64", "execution: user + system CPU seconds of the program"),
    Column("wall_s", "float64", "elapsed seconds of the step"),
    Column(
        "lease_s",
        "float64",
        "seconds the slot was held; generation: from sending (a batch: submitting) to the end",
    ),
    Column("gpu_time_s", "float64", "GPU suite, execution: seconds of one call, lower quartile over the rounds"),
    Column("speedup", "float64", "GPU suite, execution: time of the GPU reference over this program's"),
    Column("cpu_speedup", "float64", "GPU suite, execution: time of the CPU reference over this program's"),
    Column("node", "string", "execution: node that ran it"),
    Column("slot", "string", "actor that served the step"),
    Column("started_at", "float64", "epoch seconds"),
    Column("ended_at", "float64", "epoch seconds"),
    Column("synthetic", "bool", "generation: true when no model wrote the reply"),
    Column("resumed", "bool", "true when the journal answered and nothing ran"),
)

PLAN_VERSION: Final = 1
"""Version of the shape below; raised when a reader of the old shape would be wrong."""


class PlanCell(TypedDict, total=False):
    """One cell of ``plan.json``: a point of the sweep's axes."""

    id: str
    system: str
    model: str | None
    """Name of the model; None where the system calls none."""
    model_id: str | None
    effort: str | None
    suite: str
    hardware: str | None
    axes: dict[str, object]
    samples: int
    turns: int
    planned: int
    """Trials: problems x samples."""
    feedback: str | None
    synthetic: bool


class PlanSuite(TypedDict, total=False):
    """The suite in ``plan.json``."""

    name: str
    digest: str
    problems: list[str]


class PlanPrice(TypedDict, total=False):
    """One model's price in ``plan.json``; dollars per million tokens."""

    model: str
    input_per_mtok: float
    output_per_mtok: float
    cache_read_per_mtok: float | None
    cache_write_per_mtok: float | None
    usd_per_gpu_hour: float | None
    """In the place of all of them for a model on a card, which is paid by the time that its server is busy."""
    source: str
    """Where the price comes from, with version and date."""


class Plan(TypedDict, total=False):
    """``plan.json``: what the command was going to do, and with what."""

    version: int
    run_id: str
    sweep: str | None
    command: str
    created: float
    """Epoch seconds."""
    git_commit: str | None
    versions: dict[str, str]
    """Package name to version."""
    seed: int
    suite: PlanSuite
    cells: list[PlanCell]
    prices: list[PlanPrice]
    prompts: dict[str, str]
    """Name of a prompt text to its SHA-256."""
    isolation: str
    hardware: list[dict[str, object]]
    """The fields of ``HardwareConfig``, one object per class used, plus ``cards`` where devices were read."""
    rates: dict[str, object]
    """The fields of ``RatesConfig``."""
    synthetic: bool
    """True if any trial is."""
    status: str
    """``running``, ``done``, ``interrupted``, ``budget`` or ``failed``."""
    config: dict[str, object]
    """The whole configuration; ``run.results_uri`` in it says where the tables are if not in the folder."""
