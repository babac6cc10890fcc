"""``python -m orchestrator``: from the words of a command line to an exit code."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from typing import Final

from orchestrator.config.arguments import Arguments, parse_arguments
from orchestrator.config.errors import ConfigError
from orchestrator.core.streams import print_what_fits

__all__ = ["CONFIGURATION", "INTERRUPTED", "main"]

DONE: Final = 0
CONFIGURATION: Final = 2
INTERRUPTED: Final = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after the program's name; by default those of this process.

    Returns:
        0 done, 1 the run failed, 2 the configuration is wrong, 3 the budget is used up, 130 interrupted.
    """
    print_what_fits()
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        return _run(parse_arguments(words))
    except ConfigError as error:
        print(f"orchestrator: {error}", file=sys.stderr)
        return CONFIGURATION
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output is gone (`... | head`). Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


def _run(arguments: Arguments) -> int:
    if arguments.help:
        from orchestrator.config.help import help_text

        print(help_text(arguments.folders), end="")
        return DONE
    if arguments.version:
        from importlib.metadata import version

        print(f"orchestrator {version('orchestrator')}")
        return DONE
    if arguments.show:
        from omegaconf import OmegaConf

        from orchestrator.plan.expand import expand

        print(OmegaConf.to_yaml(OmegaConf.create(dataclasses.asdict(expand(arguments).base))), end="")
        return DONE

    from orchestrator.plan.build import build_plan

    plan = build_plan(arguments)
    if plan.config.plan:
        from orchestrator.plan.counting import count_tokens
        from orchestrator.plan.text import plan_text

        print(plan_text(plan, counts=count_tokens(plan)), end="")
        return DONE

    from orchestrator.driver.run import run_plan

    return run_plan(plan)
