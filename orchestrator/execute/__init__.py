"""Execution slots: programs run confined, verdicts made outside the process that is judged."""
