"""Component: the exit handler of a retraining."""
