"""The one driver: starts trials, buys replies, has programs run, writes everything down."""
