"""Component: one program's scores on the sealed test split."""
