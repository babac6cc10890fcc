"""One command from start to end: cluster, replies, programs, results; and how it stops."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from dataclasses import asdict, replace
from decimal import Decimal
from functools import partial
from typing import IO, Any, Final, cast

from rich.console import Console

from orchestrator.cluster.capacity import list_nodes
from orchestrator.cluster.session import start_ray, stop_ray
from orchestrator.core.streams import Output
from orchestrator.core.summary import Summary
from orchestrator.core.systems import SYSTEMS
from orchestrator.driver.books import Books
from orchestrator.driver.elastic import Elastic
from orchestrator.driver.ending import (
    BUDGET,
    DONE,
    EXPECTED,
    FAILED,
    INTERRUPTED,
    STATUS,
    TRACKED_STATUS,
    closing_words,
    exit_code,
    how_to_resume,
    say_failure,
)
from orchestrator.driver.execution import ExecutionService
from orchestrator.driver.generation import Generation, check_batches
from orchestrator.driver.local_servers import check_local_servers
from orchestrator.driver.notes import announce, closing_notes
from orchestrator.driver.placement import Placement, chosen_slots, place
from orchestrator.driver.pool import ExecutionPool
from orchestrator.driver.preflight import check_cluster, cluster_settings, preflight_only, refuse_early
from orchestrator.driver.record import make_record, trial_columns, write_record
from orchestrator.driver.regrade import Regrade
from orchestrator.driver.results import Results
from orchestrator.driver.scheduler import Scheduler
from orchestrator.driver.setup import Work, assignments, build_cells, build_pools, chosen_limits, problems_by_pool
from orchestrator.driver.signals import Signals
from orchestrator.driver.threads import to_its_end
from orchestrator.driver.tracking import Tracking
from orchestrator.journal.cache import ReplyCache
from orchestrator.journal.store import Journal, JournalBusy, holds_steps
from orchestrator.ledger import Ledger
from orchestrator.plan.folders import cache_file
from orchestrator.plan.model import Plan
from orchestrator.report import terminal_table, write_report
from orchestrator.track.display import Display
from orchestrator.track.progress import CellProgress, Progress

__all__ = ["BUDGET", "DONE", "FAILED", "INTERRUPTED", "run_plan"]

SLOT_WINDOW: Final = 4
"""Trials under way for each slot, beyond those that wait for the model."""

TRACKING_QUIET_S: Final = 1.0
"""How long the tracking server may take to answer before the run says that it waits for it."""

FILES: Final = ("config.yaml", "plan.json", "results.parquet", "steps.parquet", "summary.json", "report.html")


def run_plan(plan: Plan) -> int:
    """Do what the plan says; returns the exit code."""
    output = Output()
    console = Console(file=cast(IO[str], output))
    if plan.config.preflight == "only":
        return preflight_only(plan, console)
    try:
        return asyncio.run(_Run(plan, console, output).main())
    except EXPECTED as error:
        console = Console(stderr=True)
        say_failure(console, error)
        if not isinstance(error, JournalBusy) and holds_steps(plan.run_dir / "journal.sqlite"):
            # A full disk, for instance: what was bought is in the journal.
            console.print(how_to_resume(plan), highlight=False, markup=False, soft_wrap=True)
        return FAILED


class _Run:
    """State of one run."""

    def __init__(self, plan: Plan, console: Console, output: Output) -> None:
        self.plan = plan
        self.console = console
        self.progress = Progress(cells=[], money=lambda: (0.0, 0.0))
        self.tracking = Tracking(plan)
        self.progress.notice = self.tracking.notice
        self.generation = Generation(plan)
        self.regrade: Regrade | None = None
        self.record: dict[str, Any] = {}
        self.scheduler: Scheduler | None = None
        self.main_task: asyncio.Task[Any] | None = None
        self.signals = Signals(self._interrupt, self._alone, output)
        self.interrupts = 0
        self.ended: int | None = None
        """The exit code, once the results are being written."""

    async def main(self) -> int:
        """Everything, in order; what is opened is closed in the reverse order whatever happens."""
        plan = self.plan
        self.main_task = asyncio.current_task()
        announce(plan, self.console)
        await asyncio.to_thread(refuse_early, plan)
        if plan.regrade is not None:
            self.regrade = await asyncio.to_thread(Regrade, plan.regrade)
        await asyncio.to_thread(check_local_servers, plan)
        await self._check_tracking()
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(self.signals)
            plan.run_dir.mkdir(parents=True, exist_ok=True)
            self.record = make_record(plan)
            # The journal first: its lock keeps a second driver from touching the folder.
            journal = Journal(plan.run_dir / "journal.sqlite", str(self.record["run_id"]))
            stack.callback(journal.close)
            await check_batches(plan, journal)
            write_record(plan, self.record)
            try:
                return await self._work(stack, journal)
            except asyncio.CancelledError:
                if not self.interrupts:
                    raise
                line = how_to_resume(self.plan)
                self.console.print(line, highlight=False, markup=False, soft_wrap=True)
                return INTERRUPTED

    async def _check_tracking(self) -> None:
        """Find out before anything is spent whether MLflow can be written."""
        checking = asyncio.create_task(asyncio.to_thread(self.tracking.check))
        _, waiting = await asyncio.wait({checking}, timeout=TRACKING_QUIET_S)
        if waiting:
            self.console.print("waiting for the tracking server", highlight=False)
        await checking

    async def _work(self, stack: contextlib.AsyncExitStack, journal: Journal) -> int:
        progress = self.progress
        plan = self.plan
        live = plan.config.display == "rich" or (plan.config.display == "auto" and self.console.is_terminal)
        async with Display(progress, self.console, live=live) as display:
            pools = await self._start(stack, journal, display)
            plan = self.plan
            services = {
                name: ExecutionService(pool, journal, seed=plan.config.seed, limits=chosen_limits(plan, name))
                for name, pool in pools.items()
            }
            progress.message = "running the reference programs"
            notes = list(plan.notes)
            for name, problems in problems_by_pool(plan).items():
                notes.extend(await services[name].prepare(problems))

            config = plan.config
            ledger = Ledger(
                journal,
                usd=_dollars(config.budget.usd),
                cell_usd=_dollars(config.budget.cell_usd),
                trial_usd=_dollars(config.budget.trial_usd),
            )
            await ledger.recover()
            books = Books(journal, ledger, self._cache(stack))
            service = await self.generation.open(books, ledger)
            cards = {name: pool.card for name, pool in pools.items()}
            works = build_cells(plan, services, service, self.generation.providers, cards)
            await self._trials(journal, pools, works, ledger)
            if self.interrupts:
                await self._leave_batches(display)
            progress.message = "writing results"
            await self.generation.drain()
            notes.extend(closing_notes(works, ledger, books))
            notes.extend(trouble for pool in pools.values() for trouble in pool.troubles)
            if self.regrade is not None:
                notes.extend(self.regrade.finish(plan.run_dir))
            summary = await self._finish(pools, notes)
        code = self._code()
        self.console.print(terminal_table(summary))
        closing_words(self.console, self.plan, self.scheduler, self.tracking, code)
        return code

    async def _start(
        self, stack: contextlib.AsyncExitStack, journal: Journal, display: Display
    ) -> dict[str, ExecutionPool]:
        """Start Ray, the rehearsal server and the pools; tracking once the cores are free."""
        plan = self.plan
        self.progress.message = "starting Ray"
        stack.callback(stop_ray)
        stack.push_async_callback(self.generation.close)
        server = asyncio.create_task(self.generation.start_server())
        placement = await self._join()
        await server
        plan = self.plan
        pools = build_pools(plan, placement.slots)
        for pool in pools.values():
            stack.push_async_callback(pool.close)
            pool.say = display.say
            pool.open()
        for pool in pools.values():
            await pool.ready()
        self._watch_nodes(stack, pools, placement)
        stack.push_async_callback(self._leave_tracking)
        self.tracking.open(self.record, plan)
        return pools

    async def _leave_tracking(self) -> None:
        await self.tracking.close(status="KILLED" if self.interrupts else "FAILED")

    async def _join(self) -> Placement:
        """Start or join Ray and find room for every cell; from here on the plan is the one that fits."""
        cluster = self.plan.config.cluster
        settings, notes = await asyncio.to_thread(cluster_settings, self.plan)
        self._note(*notes)

        def stopping() -> None:
            self.progress.message = "stopping once Ray is up (again to leave it)"

        # A Ray that is left while it starts holds the command up for longer, and leaves processes behind.
        if (shipment := await to_its_end(partial(start_ray, settings), on_cancel=stopping)) is not None:
            self.console.print(f"given to the nodes: {shipment}", highlight=False)
        self.signals.hold()
        nodes = await asyncio.to_thread(list_nodes)
        placement = place(self.plan, nodes, autoscales=cluster.autoscales)
        self.plan = placement.plan
        slots, crowded = chosen_slots(self.plan, placement.slots)
        placement = replace(placement, slots=slots)
        self._note(*placement.notes, *crowded)
        if self.plan.config.preflight == "on":
            await asyncio.to_thread(check_cluster, self.plan, nodes, self.console)
        for plain, cell in zip(self.record["cells"], self.plan.cells, strict=True):
            plain["hardware"] = cell.hardware.name
        hardware = {cell.hardware.name: asdict(cell.hardware) for cell in self.plan.cells}
        self.record["hardware"] = list(hardware.values())
        return placement

    def _note(self, *lines: str) -> None:
        """Say it now, and again with the results."""
        for line in lines:
            self.console.print(line, style="yellow", highlight=False, markup=False, soft_wrap=True)
        self.plan = replace(self.plan, notes=(*self.plan.notes, *lines))

    def _watch_nodes(
        self, stack: contextlib.AsyncExitStack, pools: dict[str, ExecutionPool], placement: Placement
    ) -> None:
        if self.plan.config.cluster.address is None:
            return

        def grown(more: int) -> None:
            if self.scheduler is not None:
                self.scheduler.widen(SLOT_WINDOW * more)

        def say(line: str) -> None:
            self.progress.message = line

        fixed = self.plan.config.execute.slots is not None
        elastic = Elastic(pools, placement.demands, list_nodes, fixed=fixed, grown=grown, say=say)
        watching = asyncio.create_task(elastic.watch())
        stack.callback(watching.cancel)

    async def _trials(
        self, journal: Journal, pools: dict[str, ExecutionPool], works: list[Work], ledger: Ledger
    ) -> None:
        plan, progress = self.plan, self.progress
        cells = {
            work.runtime.id: CellProgress(
                work.runtime.id, sum(work.samples), work.runtime.synthetic, work.runtime.active
            )
            for work in works
        }
        progress.cells = list(cells.values())
        progress.money = lambda: _money(ledger)
        self.results = Results(
            plan.run_dir, plan.config.run.results_uri, planned={cell.id: cell.trials for cell in plan.cells}
        )
        columns = trial_columns(self.record, plan)

        def finished(row: dict[str, Any], steps: list[dict[str, Any]]) -> None:
            row = {**columns[row["cell"]], **row}
            if self.regrade is not None:
                row |= self.regrade.columns(row)
            self.results.write(row, steps)
            cells[row["cell"]].count(row)

        def stop() -> None:
            self.generation.stop()
            for pool in pools.values():
                pool.stop()

        slots = sum(pool.size for pool in pools.values())
        # Enough trials that every request and every slot can be busy while as many programs again are queued (a
        # queue that runs dry before the next replies come is idle slots). A batch takes hours whatever its size, so
        # there everything that can be asked is asked at once.
        window = 2 * plan.config.generate.in_flight + SLOT_WINDOW * slots + 16
        if plan.config.generate.mode == "batch":
            window = max(window, plan.trial_count)
        self.scheduler = Scheduler(
            window=window,
            system=self.regrade.system if self.regrade else lambda a: SYSTEMS[a.cell.system],
            seen=(journal.reply_keys() | journal.verdict_keys()).__contains__,
            finished=finished,
            on_stop=stop,
        )
        if self.interrupts:
            self.scheduler.stop()
        progress.message = ""
        progress.trials_started = time.monotonic()
        self.tracking.watch(progress)
        await self.scheduler.run(assignments(works))

    async def _leave_batches(self, display: Display) -> None:
        """On the way out: batches go on at the provider, where a resume finds them, unless told otherwise."""
        count = self.generation.open_batches
        if not count:
            return
        cancel = self.plan.config.generate.cancel_batches
        if not cancel and self.interrupts == 1 and sys.stdin.isatty():
            cancel = await display.ask(f"{count} batch(es) are open at the provider. Cancel them there?")
        if cancel:
            await self.generation.cancel_batches()
            display.say(f"{count} batch(es) were cancelled at the provider; resuming fetches what they had done")
        else:
            display.say(f"{count} batch(es) go on at the provider; resuming picks them up")

    async def _finish(self, pools: dict[str, ExecutionPool], notes: list[str]) -> Summary:
        plan = self.plan
        isolation = "; ".join(sorted({i for pool in pools.values() for i in pool.isolations}))
        # What is said of the end from here on agrees, whoever presses Ctrl-C meanwhile.
        self.ended = self._code()
        summary = await asyncio.to_thread(
            self.results.finish, self.record["cells"], seed=plan.config.seed, notes=notes
        )
        # Only a run whose results are there is recorded as done.
        self.record |= {"isolation": isolation, "status": STATUS[self.ended]}
        self.record["limits"] = self.generation.limits or self.record["limits"]
        write_record(plan, self.record)
        await asyncio.to_thread(write_report, [plan.run_dir], plan.run_dir / "report.html")
        files = [plan.run_dir / name for name in FILES]
        status = TRACKED_STATUS[self.ended]
        await self.tracking.finish(summary, files, status=status, isolation=isolation)
        return summary

    def _code(self) -> int:
        return exit_code(self.scheduler, interrupted=self.interrupts > 0) if self.ended is None else self.ended

    def _cache(self, stack: contextlib.AsyncExitStack) -> ReplyCache | None:
        config = self.plan.config
        if config.cache not in ("read", "write", "readwrite"):
            return None
        cache = ReplyCache(cache_file(config), config.cache)  # type: ignore[arg-type]  # checked with the configuration
        stack.callback(cache.close)
        return cache

    def _alone(self) -> None:
        """Stop as at the first Ctrl-C, since nobody sees what is spent; a terminal that closes may say so twice."""
        if self.interrupts == 0 and self.ended is None:
            self._interrupt()

    def _interrupt(self) -> None:
        self.interrupts += 1
        if self.scheduler is None:
            # Nothing was bought yet: there is nothing to wait for.
            if self.main_task is not None:
                self.main_task.cancel()
        elif self.ended is not None:
            self.progress.message = "leaving what MLflow has not taken"
            self.tracking.leave()
        elif self.interrupts == 1:
            self.progress.message = "stopping: waiting for what is in flight (again to leave it)"
            self.scheduler.stop()
        else:
            self.progress.message = "leaving what is in flight"
            self.scheduler.abort()
            # Purchases outlive the trials that wait for them, and everything below waits for purchases.
            self.generation.leave()


def _dollars(usd: float | None) -> Decimal | None:
    return None if usd is None else Decimal(str(usd))


def _money(ledger: Ledger) -> tuple[float, float]:
    real, synthetic = ledger.totals(synthetic=False), ledger.totals(synthetic=True)
    totals = real if real.committed or not synthetic.committed else synthetic
    return float(totals.settled), float(totals.reserved + totals.unsettled)
