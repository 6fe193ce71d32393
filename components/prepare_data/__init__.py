"""Component: turn settings into checked splits and the vanilla program."""
