"""Component: sum up a run in one file."""
