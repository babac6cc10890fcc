"""Durable steps: every paid reply and every verdict is one row, keyed by what determines it."""
