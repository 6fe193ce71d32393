"""Benchmarks: small programs that measure ratios side by side; see docs/benchmarks.md."""
