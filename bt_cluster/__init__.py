"""Kubeflow Pipelines' API: upload, submit, schedule and list. No other package speaks to a cluster."""

#: The default name of the pipeline, the experiment and the schedule.
DEFAULT_NAME = "better-together"
