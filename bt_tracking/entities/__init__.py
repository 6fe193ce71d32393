"""What MLflow keeps besides runs: the logged model, traces, and evaluation data sets."""
