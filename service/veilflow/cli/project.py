"""``veil init``: the sample project and the key ring; and which stores a pipeline's secrets need."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path

from veilflow.cli.output import Output
from veilflow.errors import VeilError

_CONTENT = ("pipelines", "policies", "secrets", "environments", "data")


def sample_directory() -> Path:
    """Where the sample project lies: in the installed package, or in the repository it runs from."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "sample"
    return inside if inside.is_dir() else package.parent.parent


def init_project(directory: Path, environment: str, output: Output) -> tuple[str, ...]:
    """Complete the project in ``directory``; returns what was made. Replaces nothing."""
    made = []
    if not (directory / "pipelines").is_dir():
        made += _copy_sample(directory)
    made += _write_schemas(directory)
    if _make_keyring(directory, environment, output):
        made.append("the key ring")
    return tuple(made)


def _copy_sample(directory: Path) -> list[str]:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        made = []
        for folder in _CONTENT:
            if not (directory / folder).exists():
                shutil.copytree(sample_directory() / folder, directory / folder)
                made.append(f"{folder}/")
        ignore = directory / ".gitignore"
        if not ignore.exists():
            ignore.write_text(".veil/\nout/\n", encoding="utf-8")
    except OSError:
        raise VeilError(
            "VEIL101", f"the project cannot be written to {directory}", "name a directory where you may write"
        ) from None  # fmt: skip
    return made


def _write_schemas(directory: Path) -> list[str]:
    """The schemas that the first line of each YAML file names, for editors that check while one types."""
    from veilflow.cli.policy_commands import write_schemas
    from veilflow.plan.schemas import schemas

    return ["schemas/"] if write_schemas(directory / "schemas", schemas(), replace=False) else []


def _make_keyring(directory: Path, environment: str, output: Output) -> bool:
    """Make the key ring in its store unless there is one."""
    from veilflow.cli.commands import _embedded_prefect, _wait
    from veilflow.config import load_names
    from veilflow.keys import KeyRing
    from veilflow.model import Secret
    from veilflow.secret_stores.session import Session
    from veilflow.state import State, utc_now

    names = load_names(directory, environment)
    if names.keyring is None:
        raise VeilError(
            "VEIL220", "secrets/names.yaml names no key ring",
            "add a secret and `keyring: NAME` to secrets/names.yaml",
        )  # fmt: skip
    secret = names.secrets[names.keyring]
    kind = names.stores[secret.store].kind
    State(directory)
    with _embedded_prefect(directory, output) if kind == "prefect" else nullcontext() as server:
        _wait(server, output)
        with Session(directory) as session:
            store = session.store(kind, names.stores[secret.store].options)
            if store.facts(secret.ref) is not None:
                KeyRing.parse(store.read(secret.ref).secret.reveal())
                return False
            store.write(secret.ref, Secret(KeyRing.generate(utc_now())))
            return True


def needs_prefect(project: Path, environment: str, pipelines: tuple[str, ...], *, keyring: bool) -> bool:
    """Whether a secret of these pipelines lies in a Prefect block. Files that cannot be read need nothing: the
    command itself reports them."""
    from veilflow.config import load_names, load_pipeline

    try:
        names = load_names(project, environment)
        wanted = {names.keyring} if keyring else set()
        for name in pipelines:
            pipeline = load_pipeline(project, name, environment)
            held = filter(None, (pipeline.source.connection, pipeline.target.connection))
            wanted.update(names.connections[connection].credential for connection in held)
        return any(names.stores[names.secrets[name].store].kind == "prefect" for name in wanted if name is not None)
    except (VeilError, KeyError):
        return False
