"""The directory of result files: their names, whose rows it holds, and errors about it."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol

from airflow_provider_omnichat.api.privacy import scrub, secrets_in, shown_address
from airflow_provider_omnichat.campaign.model.place import StorageError

# Failures that last; any other of a disk, a network or a storage may pass.
_LASTING = (PermissionError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError)
_LASTING_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENAMETOOLONG, errno.EINVAL})
_OWNER = "_owner.json"
_NAME = re.compile(r"(sent|rest)-try-(\d+)-(\d+)-([0-9a-f]+)-(\d+)\.(jsonl|csv)")


class ResultFileError(StorageError):
    """Result rows cannot be written or read; the text names the file and the reason."""


class Directory(Protocol):
    """The part of ``pathlib`` that local paths and those on object storage share."""

    @property
    def name(self) -> str: ...
    def __truediv__(self, name: str) -> Any: ...
    def open(self, mode: Any) -> Any: ...
    def exists(self) -> bool: ...
    def iterdir(self) -> Iterable[Any]: ...
    def mkdir(self, *, parents: bool, exist_ok: bool) -> None: ...
    def unlink(self) -> None: ...


@dataclass(frozen=True, slots=True, order=True)
class FileName:
    """The name of a result file; sorts by kind, then age."""

    kind: str
    run: int  # counts the processes that wrote here: try numbers come again when a task is run by hand
    token: str
    part: int
    try_number: int
    format: str

    def __str__(self) -> str:
        return f"{self.kind}-try-{self.try_number}-{self.run:04d}-{self.token}-{self.part:04d}.{self.format}"


def file_name(text: str) -> FileName | None:
    """Read the name of a result file; None if it is another name."""
    found = _NAME.fullmatch(text)
    if not found:
        return None
    kind, try_number, run, token, part, ending = found.groups()
    return FileName(kind, int(run), token, int(part), int(try_number), ending)


def file_names(directory: Directory) -> list[FileName]:
    """List the result files of a directory, sorted; none if it does not exist."""
    try:
        paths = directory.iterdir() if directory.exists() else ()
        return sorted(name for path in paths if (name := file_name(path.name)))
    except FileNotFoundError:
        return []
    except Exception as error:
        raise_file_error(directory, "listed", error)


def owner_of(directory: Directory) -> str | None:
    """Return the batch whose rows a directory holds; None if nobody has written it."""
    path = directory / _OWNER
    try:
        with path.open("rb") as file:
            return str(json.loads(file.read())["owner"])
    except (FileNotFoundError, NotADirectoryError, ValueError, LookupError, TypeError):
        return None
    except Exception as error:
        raise_file_error(path, "read", error)


def take_directory(directory: Directory, owner: str) -> None:
    """Record whose rows a directory holds, and refuse one that is another batch's."""
    path, found = directory / _OWNER, owner_of(directory)
    if found is None:
        try:
            with suppress(FileExistsError):  # torn by a crash, or another process is writing it
                put_file(path, json.dumps({"owner": owner}).encode())
        except Exception as error:
            raise_file_error(path, "written", error)
        found = owner_of(directory)
    # Names that differ only in case are one folder on some file systems.
    if found not in (owner, None):
        raise ResultFileError(
            f"{shown(directory)} holds the result rows of {shown_address(found)}, and not of {shown_address(owner)};"
            " nothing was sent. Give this task another results_path"
        )


def put_file(path: Any, data: bytes) -> None:
    """Write a new file as a whole, on a local file system for its owner only; creates a missing directory."""
    local = local_path(path)
    if local is not None:
        local.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(local, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
        return
    try:
        with path.open("wb") as file:
            file.write(data)
    except FileNotFoundError:  # some storages have directories, most do not
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(data)


def local_path(path: Any) -> Path | None:
    """Return a path on the local file system as :class:`pathlib.Path`; None for one on object storage."""
    # The protocol first: in older releases of universal-pathlib a path to object storage is a Path as well.
    protocol = getattr(path, "protocol", None)
    if protocol is None:
        return path if isinstance(path, Path) else None
    return Path(path.path) if protocol in ("", "file", "local") else None


def shown(path: Any) -> str:
    """Return the address of a result file as it may be shown; the digits in its own name are no phone number."""
    folder, slash, name = str(path).rpartition("/")
    return f"{shown_address(folder)}{slash}{name}" if _NAME.fullmatch(name) else shown_address(path)


def raise_file_error(path: Any, what: str, error: Exception) -> NoReturn:
    """Raise the error for a file or directory that cannot be, for example, "written"."""
    said = (error.strerror if isinstance(error, OSError) else None) or str(error)
    reason = scrub(said, secrets_in(path)) or type(error).__name__
    # Not from the library's error: its text has the whole address in it.
    raise ResultFileError(f"{shown(path)} cannot be {what}: {reason}", is_outage=_may_pass(error)) from None


def _may_pass(error: Exception) -> bool:
    if isinstance(error, OSError):
        return not isinstance(error, _LASTING) and error.errno not in _LASTING_ERRNOS
    return not isinstance(error, ValueError | TypeError | ImportError | NotImplementedError)
