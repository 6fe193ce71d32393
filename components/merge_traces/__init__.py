"""Component: the traces of all shards as those of one bootstrap."""
