"""Faults on purpose, against real databases: what is lost, twice, wrong, or seen half done? ``python -m benchmarks.faults --help``."""
