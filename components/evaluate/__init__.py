"""Component: the one that sees the test split."""
