"""Component: update the Model Registry after a challenge."""
