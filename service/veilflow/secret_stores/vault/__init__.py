"""Secrets in HashiCorp Vault and OpenBao, over hvac: KV 1 and 2, dynamic database credentials, Transit.

    store.py      the ``SecretStore``: what each engine gives and takes, one login, closing
    options.py    the store's options in ``secrets/names.yaml``
    logins.py     the ways to log in
    client.py     one request: its transport, its repetition, its words if it fails
    faults.py     the table of what may go wrong, and what may be repeated then
    breaker.py    a failing server is left alone; a user's runs on one machine know it of each other
    leases.py     what dies by itself is kept alive while the run lives
    transit.py    encrypt, decrypt, HMAC and data keys, many values at a time

To add a login: a dataclass in ``options``, a function in ``logins``, a line in both tables, a live test.
"""

from __future__ import annotations

from veilflow.secret_stores.vault.options import parse_options
from veilflow.secret_stores.vault.store import Right, VaultStore
from veilflow.secret_stores.vault.transit import Transit

__all__ = ["Right", "Transit", "VaultStore", "parse_options"]
