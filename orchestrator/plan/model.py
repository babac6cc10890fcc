"""What a run will do: cells x problems x samples = trials. Nothing here does any of it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from orchestrator.config.schema import Config, HardwareConfig, ModelConfig, PromptConfig, SuiteConfig
from orchestrator.core.digests import digest
from orchestrator.core.problems import Problem, Suite

__all__ = ["Cell", "Plan"]

_PROCESSOR: Final = re.compile(r"(?<!\{)\{processor\}(?!\})")
"""Doubled braces are meant as they are."""


@dataclass(frozen=True)
class Cell:
    """One point of the sweep's axes: a system, a model, a suite and their settings."""

    id: str
    """Short, unique within the run, fit for a file name."""
    axes: Mapping[str, Any]
    """The axes that make a difference to this cell, with its values; every cell has ``system``."""
    config: Config
    """Resolved for this cell. ``model.kind`` is ``rehearsal`` wherever no model will be called."""
    suite_digest: str
    """Which of the plan's suites."""
    problems: tuple[str, ...]
    """Ids, in the suite's order."""
    sample_counts: tuple[int, ...]
    """Tries at each of ``problems``."""
    max_tokens: int
    """Cap on one reply."""
    stand_in: bool = False
    """Rehearsal answers in the place of the model named, because there is no key for it."""
    answers_digest: str | None = None
    """SHA-256 of the file of answers that is graded, for ``model.kind`` ``samples``."""

    @property
    def system(self) -> str:
        """``generate_only``, ``execute_only`` or ``hybrid``."""
        return self.config.system.name

    @property
    def generates(self) -> bool:
        """Whether replies are asked for, from a model or a file."""
        return self.system != "execute_only"

    @property
    def model(self) -> ModelConfig | None:
        """The model, or None where none is asked."""
        return self.config.model if self.generates else None

    @property
    def suite(self) -> SuiteConfig:
        """The suite as configured."""
        return self.config.suite

    @property
    def hardware(self) -> HardwareConfig:
        """The class of machine that programs run on."""
        return self.config.hardware

    @property
    def needs_gpu(self) -> bool:
        """Whether programs run on a GPU: as told, else what suite and hardware ask for."""
        device = self.config.execute.device
        return device == "gpu" or (device == "auto" and "gpu" in (self.suite.name, self.hardware.device))

    @cached_property
    def prompt(self) -> PromptConfig:
        """The texts that frame a problem, in the words for what programs run on."""
        word, prompt = "card" if self.needs_gpu else "CPU", self.config.prompt
        system, first, repair = (_PROCESSOR.sub(word, t) for t in (prompt.system, prompt.first, prompt.repair))
        return dataclasses.replace(prompt, system=system, first=first, repair=repair)

    @property
    def turns(self) -> int:
        """Most generate and execute rounds: 0 where no model is asked, 1 without repair."""
        return {"execute_only": 0, "generate_only": 1}.get(self.system, self.config.turns)

    @property
    def synthetic(self) -> bool:
        """Whether this cell's answers come from no model, so that its pass rate says nothing about one."""
        return self.generates and self.config.model.kind == "rehearsal"

    @property
    def trials(self) -> int:
        """How many trials this cell has."""
        return sum(self.sample_counts)

    @property
    def samples(self) -> int:
        """Most tries at one problem."""
        return max(self.sample_counts)

    def work(self) -> dict[str, Any]:
        """What determines this cell's results, as plain data. What is not in here may change on resuming."""
        config = self.config
        suite = dataclasses.asdict(config.suite)
        # Where the suite's file lies says nothing; its content is in the digest.
        del suite["path"]
        work: dict[str, Any] = {
            "system": self.system,
            "suite": suite,
            "suite_digest": self.suite_digest,
            "problems": self.problems,
            "samples": self.sample_counts,
            "seed": config.seed,
            "gpu": self.needs_gpu,
            "limits": dataclasses.asdict(config.execute.limits),
            "hardware": {
                "name": config.hardware.name,
                "labels": dict(config.hardware.labels),
                "memory_bytes": config.hardware.memory_bytes,
            },
        }
        if self.generates:
            model = dataclasses.asdict(config.model)
            for name in ("key_file", "price", "usd_per_gpu_hour", "slots"):
                del model[name]
            if self.answers_digest is not None:
                model["path"] = self.answers_digest
            work["model"] = {**model, "max_tokens": self.max_tokens}
            work["prompt"] = dataclasses.asdict(self.prompt)
            if self.synthetic:
                work["rehearsal"] = dataclasses.asdict(config.rehearsal)
        if self.system == "hybrid":
            work["turns"] = config.turns
            work["feedback"] = config.feedback
            if config.execute.tools:
                work["tools"] = config.execute.tools
        return work


@dataclass(frozen=True)
class Plan:
    """A checked plan: everything that one command will do, and where its files go."""

    name: str
    """The sweep's name, or ``single`` without one."""
    config: Config
    """The run's own keys (budget, cluster, generate, tracking, ...). Keys of cells are in the cells."""
    cells: tuple[Cell, ...]
    suites: Mapping[str, Suite]
    """By digest."""
    run_dir: Path
    """Absolute; not made yet."""
    notes: tuple[str, ...] = ()
    """Lines for the user: cells that were left out, and why."""
    command: tuple[str, ...] = ()
    """The command line, for reproduction."""
    resume: bool = False
    """``run_dir`` holds an earlier part of this plan."""
    regrade: Path | None = None
    """The run whose programs are judged anew."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 over what determines the results: two plans with the same digest are the same work."""
        return digest([cell.work() for cell in self.cells], None if self.regrade is None else str(self.regrade))

    @property
    def synthetic(self) -> bool:
        """Whether any trial's answer comes from no model."""
        return any(cell.synthetic for cell in self.cells)

    @property
    def trial_count(self) -> int:
        """Trials of all cells."""
        return sum(cell.trials for cell in self.cells)

    def suite(self, cell: Cell) -> Suite:
        """The cell's suite."""
        return self.suites[cell.suite_digest]

    def problems(self, cell: Cell) -> tuple[Problem, ...]:
        """The cell's problems, in order."""
        by_id = {problem.id: problem for problem in self.suite(cell).problems}
        return tuple(by_id[name] for name in cell.problems)
