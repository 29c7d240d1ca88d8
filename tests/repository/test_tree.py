"""What must stay true of the repository itself."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from veilflow.errors import CODES

ROOT = Path(__file__).resolve().parents[2]


def tracked(*patterns: str) -> list[Path]:
    done = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, check=True, capture_output=True, text=True)
    return [ROOT / name for name in done.stdout.split()]


def test_content_folders_hold_no_python() -> None:
    """A package named secrets at the root would shadow the standard library's."""
    for folder in ("pipelines", "policies", "secrets", "environments", "data"):
        assert not list((ROOT / folder).rglob("*.py"))


def test_every_code_that_is_raised_can_be_explained() -> None:
    """And no code is explained that nothing raises."""
    source = {path: path.read_text(encoding="utf-8") for path in (ROOT / "service").rglob("*.py")}
    raised = {
        code
        for path, text in source.items()
        if path.name != "errors.py"
        for code in re.findall(r'"(VEIL[0-9]{3})"', text)
    }
    assert raised <= set(CODES)


def test_the_reference_is_what_the_registries_say() -> None:
    """Generated, and up to date."""
    done = subprocess.run(
        [sys.executable, ROOT / "docs/generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_tree_names_no_machine() -> None:
    """No home directory, no address of a registry."""
    needles = [re.compile("/" + name + "/") for name in ("ro" + "ot", "wo" + "rk")] + [
        re.compile("files.python" + "hosted|pypi." + "org")
    ]
    for path in tracked():
        if path.is_file() and path.stat().st_size < 1_000_000:
            text = path.read_text(encoding="utf-8", errors="ignore")
            assert not any(re.search(r"(^|[^\w.])" + needle.pattern, text) for needle in needles), path


def test_locked_dependencies_have_hashes() -> None:
    """Every pinned line is followed by a hash."""
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text(encoding="utf-8")
        assert text.count("==") > 0 and len(re.findall(r"==\S+( ;.*)? \\\n    --hash=", text)) == len(
            re.findall(r"(?m)^[a-z0-9].*==", text)
        )


def test_the_reference_of_files_names_every_key_that_a_loader_reads() -> None:
    """A key that nobody can look up is as good as none."""
    loaders = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "service/veilflow/config").glob("*.py"))
    read = set(re.findall(r'\.(?:text|take|choice|sub|node)\(\s*"(\w+)"', loaders))
    assert {"source", "on_bad_row", "key_domain", "max_quarantined", "rotate_after"} <= read
    page = (ROOT / "docs/reference/files.md").read_text(encoding="utf-8")
    missing = {key for key in read if not re.search(rf"`[^`]*\b{key}\b[^`]*`", page)}
    assert missing == set()


def test_the_samples_vault_policy_is_the_generated_one() -> None:
    """What `veil secrets policy people --env prod` prints today."""
    from veilflow.config import load_names, load_pipeline
    from veilflow.run.store_policy import policies_for
    from veilflow.secret_stores.session import Session

    with Session(ROOT) as session:
        found = policies_for(session, load_names(ROOT, "prod"), load_pipeline(ROOT, "people", "prod"))
    assert "".join(one.hcl for one in found) == (ROOT / "secrets/vault/people.hcl").read_text(encoding="utf-8")
