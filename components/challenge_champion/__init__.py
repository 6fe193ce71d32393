"""Component: compare champion and challenger on the same fresh sealed rows."""
