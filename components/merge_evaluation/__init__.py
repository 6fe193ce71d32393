"""Component: the test scores of all shards as those of one evaluation."""
