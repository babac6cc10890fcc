"""Suites: problems, their tests and their reference programs."""
