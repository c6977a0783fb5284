"""The directory of result files: their names, and what is said of one that cannot be used."""

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
from airflow_provider_omnichat.campaign.model.storage_error import StorageError

# What does not pass by itself; anything else of a disk, a network or a storage may.
_LASTING = (PermissionError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError)
_LASTING_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENAMETOOLONG, errno.EINVAL})
_OWNER = "_owner.json"
_NAME = re.compile(r"(sent|rest)-try-(\d+)-(\d+)-([0-9a-f]+)-(\d+)\.(jsonl|csv)")


class ResultFileError(StorageError):
    """Result rows cannot be written or read; the text names the file and the reason."""


class Directory(Protocol):
    """What is asked of a path, local or on object storage: the part of ``pathlib`` that both have."""

    @property
    def name(self) -> str: ...  # noqa: D102 - as pathlib
    def __truediv__(self, name: str) -> Any: ...
    def open(self, mode: Any) -> Any: ...  # noqa: D102
    def exists(self) -> bool: ...  # noqa: D102
    def iterdir(self) -> Iterable[Any]: ...  # noqa: D102
    def mkdir(self, *, parents: bool, exist_ok: bool) -> None: ...  # noqa: D102
    def unlink(self) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True, order=True)
class FileName:
    """
    The name of a result file; sorts by kind, then age.

    ``run`` counts the processes that wrote here, since try numbers come again when a task is run by hand.
    """

    kind: str
    run: int
    token: str
    part: int
    try_number: int
    format: str

    def __str__(self) -> str:
        return f"{self.kind}-try-{self.try_number}-{self.run:04d}-{self.token}-{self.part:04d}.{self.format}"


def file_name(text: str) -> FileName | None:
    """
    Read the name of a result file.

    :param text: without a folder.
    :return: None for another name.
    """
    found = _NAME.fullmatch(text)
    if not found:
        return None
    kind, try_number, run, token, part, ending = found.groups()
    return FileName(kind, int(run), token, int(part), int(try_number), ending)


def file_names(directory: Directory) -> list[FileName]:
    """
    List the result files of a directory, sorted; none where it is not there.

    :raises ResultFileError: when it cannot be listed.
    """
    names = []
    try:
        if directory.exists():
            for path in directory.iterdir():
                name = file_name(path.name)
                if name is not None:
                    names.append(name)
    except FileNotFoundError:
        pass
    except Exception as error:
        raise_file_error(directory, "listed", error)
    return sorted(names)


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
            with suppress(FileExistsError):  # torn by a crash, or just being written by another process
                put_file(path, json.dumps({"owner": owner}).encode())
        except Exception as error:
            raise_file_error(path, "written", error)
        found = owner_of(directory)
    # Names that differ by capitals alone are one folder on some file systems.
    if found not in (owner, None):
        raise ResultFileError(
            f"{shown(directory)} holds the result rows of {shown_address(found)}, and not of {shown_address(owner)};"
            " nothing was sent. Give this task a results_path of its own"
        )


def put_file(path: Any, data: bytes) -> None:
    """Write a new file as a whole, on a local file system for its owner only; its directory is made if missing."""
    local = local_path(path)
    if local is not None:
        local.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(local, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
        return
    try:
        with path.open("wb") as file:
            file.write(data)
    except FileNotFoundError:  # some storages have directories, and most have not
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(data)


def local_path(path: Any) -> Path | None:
    """Give a path on the local file system as :class:`pathlib.Path`; None for one on object storage."""
    # The protocol first: in older releases of universal-pathlib a path to object storage is a Path, too.
    protocol = getattr(path, "protocol", None)
    if protocol is None:
        return path if isinstance(path, Path) else None
    return Path(path.path) if protocol in ("", "file", "local") else None


def shown(path: Any) -> str:
    """Give the address of a result file as it may be shown; its own name has digits that are nobody's number."""
    folder, slash, name = str(path).rpartition("/")
    return f"{shown_address(folder)}{slash}{name}" if _NAME.fullmatch(name) else shown_address(path)


def raise_file_error(path: Any, what: str, error: Exception) -> NoReturn:
    """
    Say of a file or directory that it cannot be used, and why.

    :param what: it cannot be, such as "written".
    :raises ResultFileError: always.
    """
    said = (error.strerror if isinstance(error, OSError) else None) or str(error)
    reason = scrub(said, secrets_in(path)) or type(error).__name__
    # The library's own text has the whole address in it.
    raise ResultFileError(f"{shown(path)} cannot be {what}: {reason}", is_outage=_may_pass(error)) from None


def _may_pass(error: Exception) -> bool:
    if isinstance(error, OSError):
        return not isinstance(error, _LASTING) and error.errno not in _LASTING_ERRNOS
    return not isinstance(error, ValueError | TypeError | ImportError | NotImplementedError)
