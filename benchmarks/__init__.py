"""Benchmarks: one script a comparison; `results/` holds the quoted runs."""
