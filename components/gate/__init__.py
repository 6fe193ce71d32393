"""Component: decide whether a retraining goes on."""
