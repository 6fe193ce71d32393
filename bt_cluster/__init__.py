"""Kubeflow Pipelines' API: upload, submit, schedule, and look; nothing else speaks to a cluster."""

#: The pipeline, the experiment and the schedule where none is named.
DEFAULT_NAME = "better-together"
