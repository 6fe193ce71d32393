"""Strategies as Kubeflow pipelines: build, compile, and run them on this machine."""
