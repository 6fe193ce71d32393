"""Component: the better of two programs by validation score."""
