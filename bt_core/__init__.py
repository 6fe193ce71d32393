"""The algorithm of BetterTogether: strategies of prompt search and LoRA fine-tuning on a program's own traces.

Knows neither Kubeflow nor MLflow. See docs/architecture.md for the layers.
"""
