"""Component: what a sweep came to, as one file, as a page and in MLflow."""
