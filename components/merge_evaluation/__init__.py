"""Component: merge the test scores of all shards into one evaluation."""
