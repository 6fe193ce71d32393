"""Component: choose the better of two programs by validation score."""
