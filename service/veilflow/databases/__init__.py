"""How to reach a database: its address with the parameters that may stand in it, and its errors as ours.

Sources and targets share it. One file per kind; what a driver says never leaves it, because it quotes rows and addresses.
"""
