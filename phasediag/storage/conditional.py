"""Files of a bucket that are written only while they are as their writer knows them.

The store itself decides: an upload carries the condition `If-None-Match: *` (there is no such file yet) or
`If-Match` (its e-tag is still this one), and of all that are under way at once one is done.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

from phasediag.errors import StoreError
from phasediag.storage.folder import TEMPORARY, Folder

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config, S3Store

EXTRA: Final = "s3"
"""What of phasediag brings the library of these requests."""
_TIMEOUT: Final = timedelta(seconds=10)
"""The time of one request; a few of them must fit between a heartbeat and the end of a lease."""
_RETRYING: Final = timedelta(seconds=20)
_NOT_IMPLEMENTED: Final = "NotImplemented"
"""What S3 says of a header that it does not know."""


class UnknownConditionError(StoreError):
    """A store that says that it knows no conditions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What tells one content of a file from another one."""

    e_tag: str | None
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A file as it was read."""

    content: bytes
    version: Version
    mtime_ns: int
    """Nanoseconds since 1970 by the clock of the store."""


class ConditionalFolder(Protocol):
    """A folder whose store decides who of several writers is first."""

    def get(self, name: str) -> Held | None:
        """A file; None where there is none."""

    def create(self, name: str, content: bytes) -> Version | None:
        """Write a file that does not exist yet; None where it does, and then nothing is written."""

    def replace(self, name: str, content: bytes, known: Version) -> Version | None:
        """Write a file that is still this version; None where it is not, and then nothing is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketFolder:
    """A folder of an S3 bucket, reached by `obstore`."""

    store: S3Store
    prefix: str
    folder: Folder

    def get(self, name: str) -> Held | None:
        """A file; None where there is none."""
        import obstore

        try:
            answer = obstore.get(self.store, self._key(name))
            meta = answer.meta
            content = bytes(answer.bytes())
        except FileNotFoundError:
            return None
        except obstore.exceptions.BaseError as error:
            raise self._failed("read", name, error) from error
        version = Version(e_tag=meta["e_tag"], version=meta["version"])
        return Held(content=content, version=version, mtime_ns=_nanoseconds(meta["last_modified"]))

    def create(self, name: str, content: bytes) -> Version | None:
        """Write a file that does not exist yet; None where it does, and then nothing is written."""
        return self._put(name, content, "create")

    def replace(self, name: str, content: bytes, known: Version) -> Version | None:
        """Write a file that is still this version; None where it is not, and then nothing is written."""
        stated = {"e_tag": known.e_tag, "version": known.version}
        return self._put(name, content, {key: value for key, value in stated.items() if value is not None})

    def _put(self, name: str, content: bytes, mode: Any) -> Version | None:
        import obstore

        refused = (
            obstore.exceptions.AlreadyExistsError,
            obstore.exceptions.PreconditionError,
            FileNotFoundError,  # what should be replaced is gone
        )
        try:
            put = obstore.put(self.store, self._key(name), content, mode=mode)
        except refused:
            return None
        except obstore.exceptions.BaseError as error:
            failed = self._failed("write", name, error)
            if isinstance(error, obstore.exceptions.NotSupportedError) or _NOT_IMPLEMENTED in str(error):
                raise UnknownConditionError(str(failed)) from error
            raise failed from error
        return Version(e_tag=put["e_tag"], version=put["version"])

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    def _failed(self, action: str, name: str, error: Exception) -> StoreError:
        said = " ".join(str(error).split())[:300]
        return StoreError(
            f"cannot {action} {self.folder.address(name)}: {said}; check the bucket, your permissions and "
            "credentials"
        )


def conditional_folder(folder: Folder) -> ConditionalFolder | None:
    """The folder with conditions; None where its store knows none.

    Whether it does, is the store's answer alone: all that use one store get the same.

    Raises
    ------
    StoreError
        Where the library for it is not installed, or the store does not answer.
    """
    if not folder.uri.startswith("s3://"):
        return None
    try:
        import obstore  # noqa: F401
    except ImportError:
        raise StoreError(
            f"{folder.uri}: who may write to a sweep in a bucket is settled by a conditional request, which "
            f"takes obstore: pip install 'phasediag[{EXTRA}]' (reading does without)"
        ) from None
    bucket, _, prefix = folder.path.strip("/").partition("/")
    held = BucketFolder(store=_store(folder, bucket), prefix=prefix, folder=folder)
    return held if keeps_conditions(held, folder) else None


def keeps_conditions(conditional: ConditionalFolder, folder: Folder) -> bool:
    """Whether a store refuses to write what is there already, and what is another version by now."""
    probe = f".conditions-{uuid4().hex}{TEMPORARY}"
    folder.write(probe, b"?")  # so that what is wrong with the storage is told as for every other file
    try:
        if conditional.create(probe, b"!") is not None:
            return False
        other = Version(e_tag='"00000000000000000000000000000000"')
        if conditional.replace(probe, b"!", other) is not None:
            return False
        known = conditional.get(probe)
        if known is None or known.version == Version(e_tag=None):
            return False
        return conditional.replace(probe, b"!", known.version) is not None
    except UnknownConditionError:
        return False
    finally:
        folder.delete(probe)


def _store(folder: Folder, bucket: str) -> S3Store:
    """The bucket of a folder, with the endpoint, region and credentials that pyarrow uses."""
    from obstore.store import S3Store

    parts = urlsplit(folder.uri)
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    endpoint = query.get("endpoint_override") or _environment("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    if endpoint and "://" not in endpoint:
        endpoint = f"{query.get('scheme', 'https')}://{endpoint}"
    region = query.get("region") or getattr(folder.filesystem, "region", "") or "us-east-1"
    config: S3Config = {"region": region, **_credentials(parts.username, parts.password)}
    if endpoint:
        config["endpoint"] = endpoint
    client: ClientConfig = {"timeout": _TIMEOUT, "connect_timeout": _TIMEOUT / 2}
    client["allow_http"] = bool(endpoint) and endpoint.startswith("http://")
    retrying: RetryConfig = {"max_retries": 4, "retry_timeout": _RETRYING}
    return S3Store(bucket, config=config, client_options=client, retry_config=retrying)


def _credentials(user: str | None, password: str | None) -> S3Config:
    """Credentials of the URI, the environment or the profile; else obstore asks the node for its own."""
    if user and password:
        return {"access_key_id": unquote(user), "secret_access_key": unquote(password)}
    if _environment("AWS_ACCESS_KEY_ID"):
        return {}
    import configparser  # only where nothing else says who one is

    file = _environment("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials"
    profiles = configparser.RawConfigParser()
    try:
        profiles.read(Path(file).expanduser())
    except (configparser.Error, UnicodeDecodeError):
        return {}
    name = _environment("AWS_PROFILE", "AWS_DEFAULT_PROFILE") or "default"
    profile = dict(profiles[name]) if profiles.has_section(name) else {}
    if not {"aws_access_key_id", "aws_secret_access_key"} <= profile.keys():
        return {}
    keys: S3Config = {
        "access_key_id": profile["aws_access_key_id"],
        "secret_access_key": profile["aws_secret_access_key"],
    }
    if "aws_session_token" in profile:
        keys["session_token"] = profile["aws_session_token"]
    return keys


def _environment(*names: str) -> str:
    return next((os.environ[name] for name in names if os.environ.get(name)), "")


def _nanoseconds(when: datetime) -> int:
    return int(when.timestamp() * 1e9)
