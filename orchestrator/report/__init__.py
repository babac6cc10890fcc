"""What people look at after a run: the terminal table, comparisons of runs, one problem in full, report.html.

Everything here only reads a run folder (``core.tables`` says what is in it), and whatever a model wrote is
treated as hostile: it is shown as text and never as markup, code or terminal commands.
"""

from orchestrator.report.claims import terminal_claims
from orchestrator.report.conclusions import conclusions
from orchestrator.report.errors import ReportError
from orchestrator.report.load import Run, load_run
from orchestrator.report.page import write_report
from orchestrator.report.png import main_plots_png, warm_up
from orchestrator.report.table import terminal_table

__all__ = [
    "ReportError",
    "Run",
    "conclusions",
    "load_run",
    "main_plots_png",
    "terminal_claims",
    "terminal_table",
    "warm_up",
    "write_report",
]
