"""What the benchmarks share: paired runs and their record, the results page, models, and grids of requests."""
