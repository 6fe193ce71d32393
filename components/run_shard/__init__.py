"""Component: run a program on one shard of a split."""
