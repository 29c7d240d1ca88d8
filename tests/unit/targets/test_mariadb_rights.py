"""Which grants let a user stage rows in MariaDB."""

from __future__ import annotations

import pytest

from veilflow.errors import VeilError
from veilflow.targets.mariadb_rights import refuse_without_staging

USER = "TO `loader`@`%`"


@pytest.mark.parametrize(
    "grants",
    [
        [f"GRANT ALL PRIVILEGES ON *.* {USER} WITH GRANT OPTION"],
        [f"GRANT ALL PRIVILEGES ON `veilflow_staging`.* {USER}"],
        [f"GRANT ALL PRIVILEGES ON `veilflow\\_staging`.* {USER}"],
        [f"GRANT ALL PRIVILEGES ON `veil%`.* {USER}"],
        ["GRANT `etl` TO `loader`@`%`", "GRANT ALL PRIVILEGES ON `veilflow_staging`.* TO `etl`"],
        [f"GRANT SELECT, INSERT ON *.* {USER}", "GRANT CREATE, DROP, ALTER, UPDATE ON `veilflow_staging`.* TO PUBLIC"],
    ],
)
def test_grants_of_the_user_its_roles_and_everybody_count(grants: list[str]) -> None:
    """On all databases, on this one, or on a pattern that it fits."""
    refuse_without_staging(grants)


@pytest.mark.parametrize(
    ("grants", "lacking"),
    [
        ([f"GRANT USAGE ON *.* {USER}"], "SELECT, INSERT, CREATE, DROP, ALTER"),
        ([f"GRANT ALL PRIVILEGES ON `w`.* {USER}"], "SELECT, INSERT, CREATE, DROP, ALTER"),
        ([f"GRANT ALL PRIVILEGES ON `veilflow\\%`.* {USER}"], "SELECT, INSERT, CREATE, DROP, ALTER"),
        ([f"GRANT ALL PRIVILEGES ON `veilflow_staging`.`run` {USER}"], "SELECT, INSERT, CREATE, DROP, ALTER"),
        ([f"GRANT SELECT, INSERT, CREATE ON `veilflow_staging`.* {USER}"], "DROP, ALTER"),
    ],
)
def test_what_lacks_is_named(grants: list[str], lacking: str) -> None:
    """With the grant that ends it."""
    with pytest.raises(VeilError) as caught:
        refuse_without_staging(grants)
    assert caught.value.code == "VEIL402" and f"lacks {lacking} in" in caught.value.problem
