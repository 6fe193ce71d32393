"""Built-in tasks. Each module has a `task`, which is made of the same parts as a user's own task."""
