"""Component: what a run came to, in one file."""
