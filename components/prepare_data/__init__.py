"""Component: settings in, checked splits and the vanilla program out."""
