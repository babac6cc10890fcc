"""From a checked configuration to a plan: cells, problems, samples; written to and read from a run's folder."""

from orchestrator.plan.build import load_plan
from orchestrator.plan.model import Cell, Plan

__all__ = ["Cell", "Plan", "load_plan"]
