"""``python -m veilflow.cli``: the same as ``veil``."""

from veilflow.cli import main

main()
