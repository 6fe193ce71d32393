"""Component: merge the traces of all shards into one bootstrap."""
