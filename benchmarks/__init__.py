"""What the figures in the README come from; run with ``make bench``."""
