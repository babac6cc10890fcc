"""From a command line to a checked configuration: Hydra, schema, axes, cross-field checks."""
