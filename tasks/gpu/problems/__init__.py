"""One module a problem; each exposes ``PROBLEM``."""
