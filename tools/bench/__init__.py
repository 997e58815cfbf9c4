"""Benchmarks: one `bench_*.py` a subject, run by `make bench`."""
