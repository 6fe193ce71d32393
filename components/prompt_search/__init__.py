"""Component, step kind `p`: search over bootstrapped demonstrations."""
