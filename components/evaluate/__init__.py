"""Component: score the vanilla and the final program on the test split."""
