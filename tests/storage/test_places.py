"""What names a storage: paths, URIs, and what is neither; and what a bucket takes besides."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from pyarrow import fs

from phasediag.cli import main
from phasediag.errors import StoreError
from phasediag.storage import conditional
from phasediag.storage.conditional import ConditionalFolder, Held, Version, keeps_conditions
from phasediag.storage.folder import Folder
from phasediag.storage.lease import held_by, take
from phasediag.storage.opening import Source, opened
from phasediag.storage.store import Store


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("s3:/bucket/x", "did you mean s3://bucket/x?"),
        ("S3:bucket/x", "did you mean s3://bucket/x?"),
        ("gs:/", "did you mean gs://bucket/prefix?"),
        ("s3://", "give s3://bucket/prefix"),
        ("s3:///x", "cannot be opened"),
        ("nowhere://x", "cannot be opened"),
    ],
)
def test_what_is_no_storage_is_told_in_a_line(
    place: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["status", place])
    printed = capsys.readouterr().err
    assert (end.value.code, printed.count("\n")) == (2, 1)
    assert said in printed
    assert list(tmp_path.iterdir()) == []


def test_a_folder_whose_name_looks_like_a_uri_is_reached_by_its_path(tmp_path: Path) -> None:
    assert Folder.at(tmp_path / "s3:").local
    assert Folder.at("./s3:/x").local


@pytest.fixture
def bucket() -> Folder:
    """A folder of a bucket by its URI, whose files are in memory."""
    memory = MemoryFileSystem()
    memory.store.clear()
    return Folder(filesystem=fs.PyFileSystem(fs.FSSpecHandler(memory)), path="b/s", uri="s3://b/s")


def test_a_bucket_takes_the_extra_to_be_written_alone(
    bucket: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    store = Store(folder=bucket)
    with pytest.raises(StoreError, match=r"pip install 'phasediag\[s3\]' \(reading does without\)"):
        take(store)
    assert held_by(store) is None
    assert bucket.files() == []


class Server:
    """A store that keeps some conditions, or says that it knows none."""

    def __init__(self, folder: Folder, create: bool = True, replace: bool = True, says: bool = False) -> None:
        self.folder, self.keeps, self.says = folder, {"create": create, "replace": replace}, says

    def get(self, name: str) -> Held:
        content = self.folder.read(name)
        return Held(content=content, version=Version(e_tag=repr(content)), mtime_ns=0)

    def create(self, name: str, content: bytes) -> Version | None:
        return self._put(name, content, there=self.keeps["create"])

    def replace(self, name: str, content: bytes, known: Version) -> Version | None:
        return self._put(name, content, there=self.keeps["replace"] and known != self.get(name).version)

    def _put(self, name: str, content: bytes, there: bool) -> Version | None:
        if self.says:
            raise conditional.UnknownConditionError("501 NotImplemented")
        if there:
            return None
        self.folder.write(name, content)
        return Version(e_tag=repr(content))


@pytest.mark.parametrize(
    ("server", "keeps"),
    [
        (lambda folder: Server(folder), True),
        (lambda folder: Server(folder, create=False), False),
        (lambda folder: Server(folder, replace=False), False),
        (lambda folder: Server(folder, says=True), False),
    ],
    ids=["both", "no create", "no replace", "not implemented"],
)
def test_what_a_store_keeps_is_tried(
    bucket: Folder, server: Callable[[Folder], ConditionalFolder], keeps: bool
) -> None:
    assert keeps_conditions(server(bucket), bucket) is keeps
    assert bucket.files() == []


def test_a_store_that_fails_is_no_store_without_conditions(bucket: Folder) -> None:
    """Else one process would take the lease in the one way, and another one in the other."""

    class Failing(Server):
        def create(self, name: str, content: bytes) -> Version | None:
            raise StoreError("no answer")

    with pytest.raises(StoreError, match="no answer"):
        keeps_conditions(Failing(bucket), bucket)


class Deleting(fs.FSSpecHandler):
    """Objects that are deleted between the request for their size and the one for their content."""

    def open_input_file(self, path: str) -> None:
        raise OSError("When reading object: AWS Error NO_SUCH_KEY during GetObject operation")

    open_input_stream = open_input_file


def test_an_object_that_is_deleted_while_it_is_read_is_gone_and_no_fault() -> None:
    bucket = Folder(filesystem=fs.PyFileSystem(Deleting(MemoryFileSystem())), path="b/s", uri="s3://b/s")
    with pytest.raises(FileNotFoundError):
        bucket.read("x")
    with pytest.raises(FileNotFoundError), opened(bucket, Source(path="trials/x.parquet")):
        pass
