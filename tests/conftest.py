"""Settings of all tests."""

from hypothesis import settings

# The same examples in every run, and none judged by the clock: a check must not fail by chance or by load.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")
