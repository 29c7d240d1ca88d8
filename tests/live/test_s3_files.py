"""Files of an S3 store are read as those of this machine are: the same rows, the same refusals, no login from elsewhere."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from people_files import WRITTEN, configure, resume, run, stop_after, table
from s3_server import ACCESS_KEY, SECRET_KEY, S3Server, running_s3

from veilflow.errors import VeilError
from veilflow.model import Progress, RunResult

pytestmark = pytest.mark.live

NAMES = """\
version: 1
stores: {files: {kind: file}}
secrets:
  keyring: {store: files, path: keyring.json}
  lake_key: {store: files, path: lake.json}
connections: {lake: {url: "URL", credential: lake_key}}
keyring: keyring
"""
KILLED_AFTER_70 = """\
import os, pathlib, signal
from veilflow.run import Request, execute
def on_progress(progress):
    if progress.stage == "stage" and progress.durable >= 70:
        os.kill(os.getpid(), signal.SIGKILL)
execute(Request(pathlib.Path.cwd(), "dev", "people"), on_progress=on_progress)
"""
HEAD = b'HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\nETag: "x"\r\nLast-Modified: Wed, 25 Nov 2026 04:23:27 GMT\r\nConnection: close\r\n\r\n'
PART = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 1000000\r\n\r\nid,name,email,age,city\n"


@pytest.fixture(scope="module")
def store() -> Iterator[S3Server]:
    with running_s3() as server:
        yield server


@pytest.fixture
def lake(project: Any, store: S3Server) -> Any:
    """A project whose connection is the store, which is empty."""
    store.empty()
    connect(project, store.url)
    return project


def connect(project: Any, url: str) -> None:
    project.write("secrets/names.yaml", NAMES.replace("URL", url))
    login = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
    project.write("lake.json", json.dumps(login)).chmod(0o600)


def reads(project: Any, ending: str, path: str) -> None:
    configure(project, ending, f"s3://people/{path}")
    pipeline = (project.directory / "pipelines/people.yaml").read_text()
    project.write("pipelines/people.yaml", pipeline.replace("'}", "', connection: lake}"))


def put(store: S3Server, ending: str, sizes: tuple[int, ...] = (50, 45, 60)) -> None:
    first = 0
    for number, rows in enumerate(sizes):
        store.put(f"in/{number:03d}.{ending}", WRITTEN[ending][1](table(first, rows)))
        first += rows


def codes(result: RunResult) -> list[str]:
    return [error.code for error in result.errors]


def no_key_in(project: Any, *texts: str) -> None:
    left = [text.encode() for text in texts]
    left += [path.read_bytes() for path in project.directory.rglob("*") if path.is_file() and path.name != "lake.json"]
    assert not any(key.encode() in text for text in left for key in (ACCESS_KEY, SECRET_KEY, "loopback%2Fonly"))


@pytest.mark.parametrize("ending", WRITTEN)
def test_the_files_of_a_pattern_are_loaded_whatever_their_kind(lake: Any, store: S3Server, ending: str) -> None:
    """In the order of their names; hidden ones and those in directories below are not matched."""
    put(store, ending)
    store.put(f"in/.hidden.{ending}", b"no such file")
    store.put(f"in/deeper/003.{ending}", b"no such file")
    reads(lake, ending, f"in/*.{ending}")
    result = run(lake)
    assert (result.status, result.counts.read, codes(result)) == ("succeeded", 155, [])
    assert [row[4] for row in lake.rows()] == [f"City{n % 7}" for n in range(155)]


def test_a_pattern_reaches_every_depth(lake: Any, store: S3Server) -> None:
    """`**` as on this machine; one file is read by its name."""
    for number, key in enumerate(("a.csv", "2026/b.csv", "2026/01/c.csv", "2026/.d/d.csv")):
        store.put(key, WRITTEN["csv"][1](table(number * 10, 10)))
    reads(lake, "csv", "**/*.csv")
    assert (run(lake).counts.read, len(lake.rows())) == (30, 30)
    reads(lake, "csv", "2026/b.csv")
    assert (run(lake).counts.read, len(lake.rows())) == (10, 10)


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_a_killed_run_goes_on_where_it_was(lake: Any, store: S3Server, ending: str) -> None:
    """With the objects that it began with, and to the same table."""
    put(store, ending)
    reads(lake, ending, f"in/*.{ending}")
    assert run(lake).status == "succeeded"
    whole = lake.rows()
    killed = subprocess.run([sys.executable, "-c", KILLED_AFTER_70], cwd=lake.directory, check=False)
    assert killed.returncode == -signal.SIGKILL
    store.put(f"in/0005.{ending}", b"comes too late")
    result = resume(lake)
    assert (result.status, result.counts.read, result.resumed_chunks > 0) == ("succeeded", 155, True)
    assert lake.rows() == whole
    no_key_in(lake)


def test_an_object_that_is_replaced_or_deleted_before_the_resume_refuses(lake: Any, store: S3Server) -> None:
    """Also by one of the same size within the same second."""
    put(store, "csv")
    reads(lake, "csv", "in/*.csv")
    assert run(lake, stop_after(70)).status == "interrupted"
    content = WRITTEN["csv"][1](table(50, 45))
    store.put("in/001.csv", content.replace(b"City1", b"City9"))
    for change in (lambda: None, lambda: store.delete("in/001.csv")):
        change()
        with pytest.raises(VeilError) as raised:
            resume(lake)
        assert raised.value.code == "VEIL310"


def test_an_object_that_is_replaced_while_it_is_read_is_not_published(lake: Any, store: S3Server) -> None:
    """Its ETag is another one at the end."""
    put(store, "csv")
    reads(lake, "csv", "in/*.csv")

    def replace(progress: Progress) -> None:
        if progress.stage == "stage" and progress.durable >= 70:
            store.put("in/000.csv", WRITTEN["csv"][1](table(0, 50)).replace(b"City1", b"City9"))

    result = run(lake, replace)
    assert (codes(result), result.exit_status) == (["VEIL310"], 3)
    assert not (lake.directory / "out/people.db").exists() or "people" not in str(lake.rows("sqlite_master"))


def test_only_new_objects_are_read_where_the_pipeline_says_so(lake: Any, store: S3Server) -> None:
    """A run reads what none has read; one that was replaced refuses."""
    put(store, "csv", (10, 10))
    reads(lake, "csv", "in/*.csv")
    pipeline = (lake.directory / "pipelines/people.yaml").read_text().replace("replace}", "append}")
    lake.write("pipelines/people.yaml", pipeline + "incremental: {files: new}\n")
    assert run(lake).counts.read == 20
    store.put("in/zzz.csv", WRITTEN["csv"][1](table(70, 7)))
    assert (run(lake).counts.read, run(lake).counts.read, len(lake.rows())) == (7, 0, 27)
    store.put("in/zzz.csv", WRITTEN["csv"][1](table(80, 7)))
    assert codes(run(lake)) == ["VEIL328"]


@pytest.mark.parametrize(("path", "words"), [("in/none.csv", "cannot be read"), ("in/*.csv", "no file matches")])
def test_what_is_not_there_is_an_error_of_the_pipeline(lake: Any, path: str, words: str) -> None:
    """Exit status 2, and the path is named."""
    reads(lake, "csv", path)
    done = lake.veil("run", "people", "--direct")
    assert done.status == 2 and "VEIL210" in done.err and words in done.err and f"s3://people/{path}" in done.err


@pytest.mark.parametrize("path", ["in/000.csv", "in/*.csv"])
def test_a_rejected_login_tells_no_key(lake: Any, store: S3Server, path: str) -> None:
    """Exit status 4, and VEIL402."""
    put(store, "csv")
    reads(lake, "csv", path)
    with store.logins_are_checked():
        done = lake.veil("run", "people", "--direct")
    assert (done.status, "VEIL402" in done.err) == (4, True), done.err
    no_key_in(lake, done.out, done.err)


def answers(reply: Callable[[bytes], bytes]) -> int:
    """The port of a server that sends this and hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            connection, _peer = listener.accept()
            with connection:
                connection.sendall(reply(connection.recv(1 << 16)))

    threading.Thread(target=serve, daemon=True).start()
    return int(listener.getsockname()[1])


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (None, "VEIL401"),
        (lambda request: HEAD if request.startswith(b"HEAD") else PART, "VEIL401"),
        (lambda _request: b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "VEIL401"),
        (lambda _request: b"HTTP/1.1 400 Expired\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "VEIL402"),
    ],
    ids=["refused", "cut in the middle of an object", "server error", "expired"],
)
def test_a_store_out_of_reach_is_told_by_its_code(
    project: Any, reply: Callable[[bytes], bytes] | None, code: str
) -> None:
    """Exit status 4, without the client's text."""
    connect(project, f"s3+http://127.0.0.1:{answers(reply) if reply else 1}?region=eu-north-1")
    reads(project, "csv", "in/000.csv")
    done = project.veil("run", "people", "--direct")
    assert (done.status, code in done.err, "AWS" in done.err) == (4, True, False), done.err
    no_key_in(project, done.out, done.err)


def test_nothing_of_the_environment_says_where_and_as_whom_to_ask(lake: Any, store: S3Server) -> None:
    """Variables, profiles and proxies of whoever runs it change nothing; the keys are in no output."""
    put(store, "csv")
    reads(lake, "csv", "in/*.csv")
    lake.write("home/.aws/config", "[default]\nregion = us-gov-west-1\nendpoint_url = http://127.0.0.1:1\n")
    elsewhere = dict.fromkeys(
        ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "HTTP_PROXY", "http_proxy"), "http://127.0.0.1:1"
    )
    ambient = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_PROFILE": "none", "AWS_REGION": "nowhere"}
    done = lake.veil(
        "run", "people", "--direct", environment=elsewhere | ambient | {"HOME": str(lake.directory / "home")}
    )
    assert done.status == 0, done.err
    assert len(lake.rows()) == 155
    no_key_in(lake, done.out, done.err)
