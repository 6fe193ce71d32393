"""How a run ends: the guard above its processes, and what the worker process does before its time is over."""
