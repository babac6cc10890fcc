"""What a person sees while a sweep runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orchestrator.core.figures import percent
from orchestrator.track.progress import CellProgress, Progress

__all__ = ["Display"]

LIVE_S: Final = 0.25
PLAIN_S: Final = 5.0
"""Between two plain lines: often enough to see life, seldom enough for a log."""
WIDE: Final = 110
"""Below so many columns the table leaves tokens and activity out."""


class Display:
    """Shows :class:`Progress` while its block runs."""

    def __init__(self, progress: Progress, console: Console, *, live: bool) -> None:
        self._progress = progress
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True) if live else None
        self._task: asyncio.Task[None] | None = None
        self._said = ""

    async def __aenter__(self) -> Display:
        if self._live is not None:
            self._live.start()
        self._task = asyncio.create_task(self._show())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._live is not None:
            self._live.stop()
        else:
            self._say(self.line())

    async def ask(self, question: str) -> bool:
        """Ask a person yes or no, the live table out of the way meanwhile."""
        if self._live is not None:
            self._live.stop()
        try:
            answer = await asyncio.to_thread(self._console.input, f"{question} [y/N] ", markup=False)
        except (EOFError, OSError):
            # Ctrl-D, or a terminal that is gone: no answer is a no, and results are still to be written.
            answer = ""
        finally:
            if self._live is not None:
                self._live.start()
        return answer.strip().lower() in ("y", "yes")

    def say(self, text: str) -> None:
        """Print a line above the live table."""
        self._console.print(text, highlight=False, markup=False)

    async def _show(self) -> None:
        while True:
            if self._live is not None:
                if self._live.is_started:
                    self._live.update(self.render(), refresh=True)
                await asyncio.sleep(LIVE_S)
            else:
                self._say(self.line())
                await asyncio.sleep(PLAIN_S)

    def _say(self, line: str) -> None:
        if line != self._said:
            self._said = line
            self.say(line)

    def line(self) -> str:
        """Everything in one line."""
        progress = self._progress
        said = " · ".join(part for part in (progress.message, progress.notice()) if part)
        if said and not progress.done:
            return f"[{duration(progress.elapsed_s)}] {said}"
        cells = ", ".join(
            f"{cell.id} {cell.done}/{cell.planned}" + ("" if rate is None else f" {percent(rate, 0)}")
            for cell, rate in ((cell, cell.pass_rate) for cell in progress.cells)
        )
        settled, promised = progress.money()
        left = progress.remaining_s
        eta = f", about {duration(left)} to go" if left is not None and progress.done < progress.planned else ""
        money = f" ${settled:.4f}" + (f" (+${promised:.4f} promised)" if promised else "")
        note = f" {said}" if said else ""
        return f"[{duration(progress.elapsed_s)}] {cells}{money}{eta}{note}"

    def render(self) -> Group:
        """The live table."""
        wide = self._console.width >= WIDE
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("cell", overflow="fold")
        table.add_column("done", justify="right")
        table.add_column("passed", justify="right")
        if wide:
            table.add_column("generating", justify="right")
            table.add_column("executing", justify="right")
            table.add_column("tokens in / out", justify="right")
        table.add_column("$", justify="right")
        for cell in self._progress.cells:
            table.add_row(*self._cells(cell, wide))
        return Group(table, self._footer())

    def _cells(self, cell: CellProgress, wide: bool) -> list[str]:
        rate = cell.pass_rate
        trouble = f" ({cell.infrastructure} infra)" if cell.infrastructure else ""
        row = [
            cell.id + (" (synthetic)" if cell.synthetic else ""),
            f"{cell.done}/{cell.planned}{trouble}",
            "-" if rate is None else percent(rate),
        ]
        if wide:
            row += [
                str(cell.active["generating"]),
                str(cell.active["executing"]),
                f"{cell.input_tokens:,} / {cell.output_tokens:,}",
            ]
        return [*row, f"{cell.usd:.4f}"]

    def _footer(self) -> Text:
        progress = self._progress
        settled, promised = progress.money()
        left = progress.remaining_s
        parts = [f"{progress.done}/{progress.planned} trials", f"elapsed {duration(progress.elapsed_s)}"]
        if left is not None:
            parts.append(f"about {duration(left)} to go")
        parts.append(f"spent ${settled:.4f}" + (f", promised ${promised:.4f}" if promised else ""))
        parts += [part for part in (progress.message, progress.notice()) if part]
        return Text(" · ".join(parts), style="dim")


def duration(seconds: float) -> str:
    """``75`` as ``1:15``."""
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
