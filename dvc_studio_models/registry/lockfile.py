"""Reads, checks and writes a lock file, which pins the version and content of models.

A model of another repo than the lock file's own names that repo. Where no server and no
tag named its version, its hashes alone pin it.

It is YAML, written by DVC's own serializer, and describes files as ``dvc.lock``
describes outputs. Anybody who can open a pull request can write one, so every field is
checked.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvc_studio_models.errors import (
    LockFileError,
    LockHeldError,
    UnsafePathError,
    UsageError,
    disk_errors,
)
from dvc_studio_models.files.paths import path_problem
from dvc_studio_models.files.scratch import write_atomically
from dvc_studio_models.model import (
    MD5,
    MD5_DOS2UNIX,
    Digest,
    ModelRef,
    Pin,
    PinnedFile,
)
from dvc_studio_models.registry.urls import strip_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

DEFAULT_NAME = "models.lock"
SUFFIXES = (".lock", ".yaml", ".yml")
SCHEMA = "1.0"
MAX_BYTES = 64 << 20  # as for a reply of Studio's
LOCK_WAIT_S = 30.0  # for another process, which writes for milliseconds
_PAUSE_S = 0.01
_URL_CHARS = 1000  # as for the server's parameters
_LATEST = "@latest"  # GTO's selector of the latest version
_OBJECT_ID = r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z"  # SHA-1 or SHA-256


def check_name(name: str) -> None:
    """Check that a name is that of a lock file, and not of a model.

    Raises:
        UsageError: It has another suffix.
    """
    if not name.endswith(SUFFIXES):
        endings = ", ".join(SUFFIXES)
        msg = (
            f"{name!a} is not the name of a lock file ({endings})\n"
            "A model's NAME goes before '--lock' and '--locked'"
        )
        raise UsageError(msg)


def read_pins(path: Path) -> dict[str, Pin]:
    """Read a lock file: model's name to pin, in the order of the names.

    Raises:
        LockFileError: It cannot be read or is invalid.
        UnsafePathError: It contains paths that must not be written.
    """
    return _to_pins(path, _read(path))


def parse_pins(path: Path, raw: bytes) -> dict[str, Pin]:
    """Read the content of a lock file, see :func:`read_pins`.

    Args:
        path: For messages.
        raw: The content.

    Raises:
        LockFileError, UnsafePathError: See there.
    """
    return _to_pins(path, _decode(path, raw))


def is_lock_file(name: str, raw: bytes) -> bool:
    """Return whether a file is a lock file of models, by its name or its content.

    Users may give it any name that ends with one of :data:`SUFFIXES`.

    Args:
        name: The last part of its path.
        raw: Its content.
    """
    if name == DEFAULT_NAME:
        return True
    if not name.endswith(SUFFIXES) or b"schema" not in raw or b"models" not in raw:
        return False
    try:
        content = _parse(Path(name), _decode(Path(name), raw))
    except LockFileError:  # then its lines decide
        keys = {line.partition(b":")[0].strip(b"'\" ") for line in raw.splitlines()}
        return {b"schema", b"models"} <= keys
    return isinstance(content, dict) and {"schema", "models"} <= content.keys()


def _to_pins(path: Path, text: str) -> dict[str, Pin]:
    models = _check(path, _parse(path, text))
    try:
        pins = {name: _to_pin(name, models[name]) for name in sorted(models)}
    except UsageError as error:
        raise LockFileError(path, str(error)) from None
    problems = [
        (file.path, problem)
        for pin in pins.values()
        for file in pin.files
        if (problem := path_problem(file.path))
    ]
    if problems:
        raise UnsafePathError(problems, source=f"'{path}'")
    return pins


def read_default(root: Path) -> dict[str, Pin]:
    """Read the default lock file of a clone; no pins if there is none.

    Raises:
        LockFileError: It cannot be read or is invalid.
        UnsafePathError: It contains paths that must not be written.
    """
    path = root / DEFAULT_NAME
    return read_pins(path) if path.exists() else {}


def update_pins(path: Path, pins: Mapping[str, Pin]) -> None:
    """Write pins into a lock file; those of other models stay.

    The file is replaced as a whole, and not written if nothing changes.

    Raises:
        LockFileError: There is one, and it cannot be read.
        LockHeldError: Another process keeps the lock of its folder.
        LocalDiskError: The file system refused.
    """
    with _locked(path.parent):
        before = read_pins(path) if path.exists() else {}
        after = {**before, **pins}
        if after == before:
            return
        with disk_errors(path):
            write_atomically(path, _dump(after), flushed=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let no other process of this machine read, merge and write here meanwhile.

    Does nothing where the file system has no locks: the file is whole in any case, and
    may lack what another process pins at the same time.

    Raises:
        LockHeldError: Another process has not ended in time.
    """
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # writing tells what is wrong
        yield
        return
    try:
        _wait_for_lock(opened, LOCK_WAIT_S)
        yield
    finally:
        os.close(opened)


def _wait_for_lock(opened: int, wait_s: float) -> None:
    end = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise LockHeldError from None
            time.sleep(_PAUSE_S)
        except OSError:
            return
        else:
            return


# Reading


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise LockFileError(path, f"it is larger than {MAX_BYTES >> 20} MiB")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        is_missing = isinstance(error, FileNotFoundError)
        raise LockFileError(path, reason, is_missing=is_missing) from None
    return _decode(path, raw)


def _decode(path: Path, raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise LockFileError(path, "it is not UTF-8") from None


def _parse(path: Path, text: str) -> object:
    from dvc.utils.serialize import ParseError, parse_yaml

    try:
        return parse_yaml(text, str(path))
    except (ParseError, ValueError, RecursionError) as error:
        mark = getattr(error.__cause__, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise LockFileError(path, f"it is not YAML{where}") from None


def _check(path: Path, content: object) -> Mapping[str, Any]:
    """Return the models of a lock file, after checking every field."""
    from voluptuous import (
        All,
        Any,
        Length,
        Match,
        MultipleInvalid,
        Range,
        Required,
        Schema,
    )

    file = {
        Required("path"): str,
        Required("hash"): Any(MD5, MD5_DOS2UNIX),
        Required("md5"): All(str, Match(r"[0-9a-f]{32}\Z")),
        Required("size"): All(int, Range(min=0)),
        "git": All(str, Match(_OBJECT_ID)),
    }
    model = {
        Required("requested"): str,
        "repo": All(str, Length(min=1, max=_URL_CHARS), _check_printable),
        "version": str,
        "commit": All(str, Match(_OBJECT_ID)),
        Required("files"): All([file], Length(min=1)),
    }
    schema = Schema({Required("schema"): SCHEMA, Required("models"): {str: model}})
    try:
        checked: Mapping[str, Mapping[str, Any]] = schema(content)
    except MultipleInvalid as error:
        where = "".join(f"[{key!r:.80}]" for key in error.errors[0].path)
        reason = f"{error.errors[0].msg} at {where or 'the top'}"
        raise LockFileError(path, reason) from None
    return checked["models"]


def _check_printable(text: str) -> str:
    if not text.isprintable():
        msg = "it has control characters"
        raise ValueError(msg)
    return text


def _to_pin(name: str, entry: Mapping[str, Any]) -> Pin:
    """Make the pin.

    Raises:
        UsageError: The name, the selector or the version is invalid.
    """
    ref = ModelRef.parse(f"{name}{entry['requested']}")
    version = entry.get("version", ref.version)
    pinned = ModelRef.parse(f"{name}@{version}" if version else name)
    paths = [file["path"] for file in entry["files"]]
    if pinned.name != name or ref.name != name or pinned.version != version:
        msg = (
            f"{name!a} is not the full name of a model, or its version is not of the "
            "form v1.2.3"
        )
        raise UsageError(msg)
    if len(set(paths)) < len(paths):
        msg = f"{name!a} lists a path twice"
        raise UsageError(msg)
    repo = strip_secrets(entry["repo"]) if "repo" in entry else None
    if repo and any("git" in file for file in entry["files"]):
        msg = f"{name!a} has files in Git, but it is a model of another repo"
        raise UsageError(msg)
    files = (
        PinnedFile(
            file["path"],
            Digest(file["hash"], file["md5"]),
            file["size"],
            file.get("git"),
        )
        for file in sorted(entry["files"], key=lambda file: str(file["path"]))
    )
    ref = replace(ref, repo=repo)
    return Pin(ref, tuple(files), version, entry.get("commit"))


# Writing


def _dump(pins: Mapping[str, Pin]) -> str:
    from dvc.utils.serialize import dumps_yaml

    models = {name: _from_pin(pins[name]) for name in sorted(pins)}
    text: str = dumps_yaml({"schema": SCHEMA, "models": models})
    return text


def _from_pin(pin: Pin) -> dict[str, object]:
    optional = {
        "repo": pin.ref.repo,
        "version": pin.version,
        "commit": pin.commit,
    }
    return {
        "requested": pin.ref.selector or _LATEST,
        **{key: value for key, value in optional.items() if value},
        "files": list(_from_files(pin.files)),
    }


def _from_files(files: Iterable[PinnedFile]) -> Iterable[dict[str, object]]:
    for file in sorted(files, key=lambda file: file.path):
        git_oid = {"git": file.git_oid} if file.git_oid else {}
        yield {
            "path": file.path,
            "hash": file.digest.algorithm,
            "md5": file.digest.value,
            "size": file.size,
            **git_oid,
        }
