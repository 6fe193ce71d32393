"""Component, step kind `m`: instructions and demos chosen together (MIPROv2)."""
