"""Component: the table of a sweep, its verdict and its winner."""
