"""Parts of ``scripts/bench/generation.py``, one module each."""
