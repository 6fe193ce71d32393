"""Component, step kind `p`: search over bootstrapped demos."""
