"""Bringing up clusters, and making sure that they end."""
