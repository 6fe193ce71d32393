"""Strategies, sweeps and retraining as Kubeflow pipelines, compiled to files."""
