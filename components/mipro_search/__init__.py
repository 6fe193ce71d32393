"""Component, step kind `m`: instructions and demonstrations chosen together (MIPROv2)."""
