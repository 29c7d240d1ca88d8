"""Secret values that tests plant, and the search for them in every form and every place."""

from __future__ import annotations

import base64
import io
import json
import logging
import secrets
import subprocess
import tempfile
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, quote_plus


def canary(number: int) -> str:
    """A value that no other text holds, with characters that libraries quote."""
    return f"canary {number}/+@é-{secrets.token_hex(12)}"


def forms(value: str) -> dict[str, bytes]:
    """What a value may look like, written down without the product's own code."""
    data = value.encode()
    found = {"plain": data, "quoted": quote(value, safe="").encode(), "path": quote(value).encode(),
             "form": quote_plus(value).encode(), "json": json.dumps(value)[1:-1].encode()}  # fmt: skip
    return found | coded(data)


def coded(data: bytes) -> dict[str, bytes]:
    """Bytes in hex, and in base64 at each alignment."""
    found = {"hex": data.hex().encode(), "HEX": data.hex().upper().encode()}
    for before in range(3):
        # The characters at both ends depend on the neighbours.
        found[f"base64+{before}"] = base64.b64encode(bytes(before) + data)[4:-4]
        found[f"base64url+{before}"] = base64.urlsafe_b64encode(bytes(before) + data)[4:-4]
    return found


def told(error: BaseException) -> str:
    """What tools print of an exception, with the variables of its frames."""
    import rich.console
    import rich.traceback

    console = rich.console.Console(file=io.StringIO(), width=300)
    trace = rich.traceback.Traceback.from_exception(
        type(error), error, error.__traceback__, show_locals=True, locals_max_string=10_000, locals_max_length=1000
    )
    console.print(trace)
    assert isinstance(console.file, io.StringIO)
    with_variables = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    return with_variables + console.file.getvalue()


@contextmanager
def every_log_record(file: Path) -> Iterator[None]:
    """Every record of every logger of this process, from DEBUG on, in a file."""
    handler, root = logging.FileHandler(file), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
        handler.close()


def hits(needles: Mapping[str, bytes], places: list[Path]) -> list[str]:
    """Which needle stands in which file below the places."""
    found = []
    with tempfile.NamedTemporaryFile() as wanted:
        wanted.write(b"\n".join(needles.values()) + b"\n")
        wanted.flush()
        command = ["grep", "-rlaF", "-f", wanted.name, *map(str, places)]
        listed = subprocess.run(command, capture_output=True, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}, check=False)
    assert listed.returncode in (0, 1), listed.stderr
    for name in listed.stdout.decode().splitlines():
        content = Path(name).read_bytes()
        found += [f"{needle} in {name}" for needle, text in needles.items() if text in content]
    return found


def needles_of(values: Mapping[str, str], keys: Mapping[str, bytes] | None = None) -> dict[str, bytes]:
    """Everything to look for: each value in its forms, each key as bytes and coded."""
    texts = {f"{name} as {form}": text for name, value in values.items() for form, text in forms(value).items()}
    # A search goes line by line.
    raw = {f"{name} as bytes": key for name, key in (keys or {}).items() if b"\n" not in key}
    return texts | raw | {f"{name} as {form}": text for name, key in (keys or {}).items() for form, text in coded(key).items()}  # fmt: skip


__all__ = ["canary", "coded", "every_log_record", "forms", "hits", "needles_of", "told"]
