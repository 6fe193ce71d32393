"""Kubeflow Pipelines components: a folder each, with a thin body that calls one stage function."""
