"""The parts of scripts/bench/gpu.py; each has ``measure(options) -> (table, numbers)``."""
