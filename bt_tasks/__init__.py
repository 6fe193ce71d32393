"""Built-in tasks. Each module has a `task`, made of the same parts that a user's own task has."""
