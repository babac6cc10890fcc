"""The pure core: words, systems and arithmetic. Imports neither Ray, MLflow, Hydra nor anthropic."""
