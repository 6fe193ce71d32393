"""Component: write the report of a sweep as a file, as a page and to MLflow."""
