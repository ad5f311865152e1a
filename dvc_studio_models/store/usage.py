"""Usage records: which versions of models a cache has, and when each was last pulled.

A record is a small JSON file in the folder ``models`` of a cache. Each pull writes one
for each version and root, or touches it: its time of change is when the version was
last pulled there. Records are hints: a pull never fails because one cannot be written,
as in a shared cache that is read-only.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dvc_studio_models.errors import LocalDiskError, disk_errors
from dvc_studio_models.files.paths import path_problem
from dvc_studio_models.files.scratch import sweep, temporary_name
from dvc_studio_models.model import Digest, is_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

USAGE = "models"
"""The folder of the records in the folder of a cache."""

_NAME = re.compile(r"[0-9a-f]{32}\.json")


@dataclass(frozen=True)
class UsageRecord:
    """One version of a model, or a part of it, that was pulled through a cache."""

    model: str
    """The name, without version or stage."""

    repo: str
    """The repo's URL as registered in Studio, without secrets."""

    version: str | None
    commit: str | None
    files: Mapping[str, Digest]
    """By their paths in the repo."""

    sizes: Mapping[str, int] = field(default_factory=dict, compare=False)
    """Of the files, in bytes."""

    trees: Mapping[str, Digest] = field(default_factory=dict)
    """The hash of the listing of each folder that DVC tracks, by its path."""

    root: str = ""
    """The folder that it was pulled to: an absolute path, to which files' are added."""

    selector: str = field(default="", compare=False)
    """Of the first pull, as in :attr:`ModelRef.selector`."""

    used: float = field(default=0.0, compare=False)
    """When it was last pulled, in seconds since the epoch."""

    path: Path | None = field(default=None, compare=False)
    """The file that it was read from."""

    @property
    def digests(self) -> set[Digest]:
        """The objects in the cache that belong to it."""
        return {*self.files.values(), *self.trees.values()}


def write_usage(
    cache: Path, records: Iterable[UsageRecord], *, anew: bool = False
) -> None:
    """Write records, or touch those that exist. Nothing is raised if that fails.

    Args:
        cache: The folder of the cache, which contains ``files/``.
        records: Of the versions that are pulled.
        anew: Whether to replace those that exist, since more sizes are known.
    """
    with contextlib.suppress(OSError, LocalDiskError):
        sweep(cache / USAGE)
        for record in records:
            path = usage_path(cache, record)
            try:
                os.utime(path)
            except FileNotFoundError:
                is_new = True
            else:
                is_new = False
            if is_new or anew:
                _write(path, json.dumps(_to_json(record), sort_keys=True))


def read_usage(cache: Path) -> tuple[list[UsageRecord], list[Path]]:
    """Read all records of a cache.

    Returns:
        The records, those used last first, and the files that are no records.

    Raises:
        LocalDiskError: The folder of the records exists, but cannot be read.
    """
    with disk_errors(cache / USAGE, action="read"):
        try:
            names = os.listdir(cache / USAGE)  # noqa: PTH208 - glob hides errors
        except FileNotFoundError:
            return [], []
    paths = [cache / USAGE / name for name in names if _NAME.fullmatch(name)]
    read = {path: _read(path) for path in paths}
    found = [record for record in read.values() if record]
    broken = [path for path, record in read.items() if record is None]
    return sorted(found, key=lambda record: -record.used), broken


def usage_path(cache: Path, record: UsageRecord) -> Path:
    """Return the path of a record: one for each version, its files, and each root."""
    identity = _to_json(record)
    del identity["sizes"], identity["selector"]
    text = json.dumps(identity, sort_keys=True).encode()
    return cache / USAGE / f"{hashlib.sha256(text).hexdigest()[:32]}.json"


def _write(path: Path, text: str) -> None:
    """Write a record. Who may write the folder of the cache may touch it later."""
    folder = path.parent
    if not folder.is_dir():
        mode = stat.S_IMODE(folder.parent.stat().st_mode)
        folder.mkdir(exist_ok=True)
        folder.chmod(mode)
    new = path.with_name(temporary_name())
    try:
        new.write_text(text, "utf-8")
        new.chmod(folder.stat().st_mode & 0o666)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _to_json(record: UsageRecord) -> dict[str, Any]:
    return {
        "model": record.model,
        "repo": record.repo,
        "version": record.version,
        "commit": record.commit,
        "root": record.root,
        "selector": record.selector,
        "files": _pairs(record.files),
        "sizes": dict(record.sizes),
        "trees": _pairs(record.trees),
    }


def _pairs(digests: Mapping[str, Digest]) -> dict[str, list[str]]:
    return {path: [each.algorithm, each.value] for path, each in digests.items()}


def _read(path: Path) -> UsageRecord | None:
    """Read a record, or return None if no pull can have written it."""
    try:
        used = path.stat().st_mtime
        raw = json.loads(path.read_text("utf-8"))
        files, trees = (
            {name: Digest(*pair) for name, pair in raw.pop(key).items()}
            for key in ("files", "trees")
        )
        record = UsageRecord(**raw, files=files, trees=trees, used=used, path=path)
        is_ours = _is_valid(record) and usage_path(path.parents[1], record) == path
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return None
    return record if is_ours else None


def _is_valid(record: UsageRecord) -> bool:
    """Check that a pull can have written it."""
    texts = (record.model, record.repo, record.root, record.selector)
    optional = (record.version, record.commit)
    return (
        all(isinstance(text, str) for text in texts)
        and all(text is None or isinstance(text, str) for text in optional)
        and not any(path_problem(path) for path in (*record.files, *record.trees))
        and not any(map(is_tree, record.files.values()))
        and all(map(is_tree, record.trees.values()))
        and record.sizes.keys() <= record.files.keys()
        and all(type(size) is int and size >= 0 for size in record.sizes.values())
    )
