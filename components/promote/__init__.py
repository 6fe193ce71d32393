"""Component: the Model Registry after a challenge."""
