"""Component, step kind `g`: evolution of instructions by reflection (GEPA)."""
