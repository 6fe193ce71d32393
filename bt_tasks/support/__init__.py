"""Parts that built-in tasks share, and tasks that a file declares."""
