"""Benchmarks over whole parts of the system, with real data: `nightschool eval`."""
