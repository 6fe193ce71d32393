"""Component: run every step of a strategy in one pod."""
