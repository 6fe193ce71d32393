"""Component: score one program on the sealed test split."""
