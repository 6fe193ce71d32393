"""Component: whether a retraining goes on."""
