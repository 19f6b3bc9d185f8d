"""Benchmarks: figures to look at, never asserted."""
