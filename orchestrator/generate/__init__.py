"""Buying replies: clients, the limiter, batches, prices and the service that the driver calls."""
