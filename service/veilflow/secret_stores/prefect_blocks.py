"""Block types for Prefect's pages: forms in which a person fills in a credential, stored encrypted by Prefect.

`veil deploy` and `prefect block register -m veilflow.secret_stores.prefect_blocks` make them known to a server.
"""

from __future__ import annotations

from prefect.blocks.core import Block
from pydantic import Field, SecretStr


class DatabaseCredentials(Block):
    """The login of a database: named in secrets/names.yaml as `path: veilflow-database-credentials/NAME`."""

    _block_type_name = "Veilflow Database Credentials"
    _block_type_slug = "veilflow-database-credentials"
    _description = (
        "User and password with which Veilflow connects to a database. Host and database stand in the project."
    )
    _documentation_url = None
    _code_example = "secrets:\n  login: {store: local, path: veilflow-database-credentials/NAME}"

    username: str = Field(default=..., description="The database's user.")
    password: SecretStr = Field(default=..., description="Its password.", min_length=8)


def register() -> None:
    """Make the block types known to the server of ``PREFECT_API_URL``, or bring them up to date."""
    DatabaseCredentials.register_type_and_schema(_sync=True)  # type: ignore[call-arg]
