"""The address of an S3 store, and what a pattern matches there."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any

import pytest

from veilflow.errors import VeilError
from veilflow.model import Secret
from veilflow.sources.s3 import _matches, endpoint

LOGIN = "AccessKey0123:secret%2Fkey%2B0123"


def test_an_address_has_host_region_and_login() -> None:
    """The login is unquoted, and printed nowhere."""
    found = endpoint(Secret(f"s3://{LOGIN}@s3.example:9000?region=eu-north-1"))
    assert (found.host, found.region, found.encrypted) == ("s3.example:9000", "eu-north-1", True)
    assert (found.access_key.reveal(), found.secret_key.reveal()) == ("AccessKey0123", "secret/key+0123")
    assert "0123" not in repr(found)


@pytest.mark.parametrize("host", ["localhost:9000", "127.0.0.1", "[::1]:9000", "s3.example"])
def test_rows_go_without_tls_on_this_machine_or_for_a_reason(host: str) -> None:
    """Any other host needs ``unsafe_plain_http``."""
    reason = "&unsafe_plain_http=own%20cable" if host == "s3.example" else ""
    assert not endpoint(Secret(f"s3+http://{LOGIN}@{host}?region=x{reason}")).encrypted


@pytest.mark.parametrize(
    "url",
    [
        f"s3+http://{LOGIN}@s3.example?region=x",
        f"s3+http://{LOGIN}@s3.example?region=x&unsafe_plain_http=%20",
        f"s3+http://{LOGIN}@localhost.example?region=x",
        f"s3://{LOGIN}@s3.example",
        f"s3://{LOGIN}@?region=x",
        f"s3://{LOGIN}@s3.example:port?region=x",
        f"s3://{LOGIN}@s3.example/bucket?region=x",
        f"postgresql://{LOGIN}@s3.example?region=x",
        "s3://s3.example?region=x",
        f"s3://{LOGIN}@s3.example?region=x&role_arn=y",
    ],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    """VEIL214, and the login is not in its text."""
    with pytest.raises(VeilError) as raised:
        endpoint(Secret(url))
    assert raised.value.code == "VEIL214"
    assert "0123" not in str(raised.value)


KEYS = ("a.csv", ".h.csv", "x/a.csv", "x/.h.csv", ".x/a.csv", "x/y/a.csv", "x/y/z/b.csv", "x/.y/a.csv", "y/[a].csv")
PATTERNS = (
    "*.csv", "x/*.csv", "**/*.csv", "x/**", "**", "x/**/a.csv", "?/a.csv", ".*", ".x/*", "*/*", "y/[[]a].csv", "**/y/*.csv",
    "x/y**/a.csv", "[!x]/*.csv", "**/.h.csv",
)  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_matches_what_it_matches_on_this_machine(tmp_path: Path, pattern: str) -> None:
    """Held against glob itself."""
    for key in KEYS:
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).touch()
    there: Any = glob.glob(pattern, root_dir=tmp_path, recursive=True)
    files = {name for name in there if (tmp_path / name).is_file()}
    assert {key for key in KEYS if _matches(key.split("/"), pattern.split("/"))} == files
