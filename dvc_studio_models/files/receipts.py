"""Receipts: which files earlier pulls placed, so that later ones may replace them.

Owns one folder of small JSON files, one for each model and root. A receipt proves that
the content of a file came from a source and can be pulled again. One that cannot be
read, or that no pull can have written, is ignored: then a pull may need ``--force``
where it would not have.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dvc_studio_models.errors import UsageError, disk_errors
from dvc_studio_models.files.folders import FileStamp, stat_target
from dvc_studio_models.files.paths import path_problem
from dvc_studio_models.files.scratch import sweep, write_atomically
from dvc_studio_models.model import Digest, ModelRef, is_tree

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Receipt:
    """The files that one pull of one model left in the workspace."""

    model: str
    """The name, without version or stage."""

    root: str
    """The folder that the paths are relative to."""

    version: str | None
    commit: str | None
    files: Mapping[str, Digest]
    selector: str = ""
    """As in :attr:`ModelRef.selector`."""

    objects: Mapping[str, str] = field(default_factory=dict)
    """Path to the object that it came from, see ``object_version_id``."""

    repo: str | None = None
    """As in :attr:`ModelRef.repo`: None if the model is of the clone's own repo."""

    repo_id: str | None = None
    """The same for all URLs of the repo; None without ``repo``."""

    @property
    def key(self) -> tuple[str, str | None]:
        """Name and repo: two repos may have models of one name."""
        return self.model, self.repo_id


class Receipts:
    """The folder of receipts. With None as the folder, none are kept."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._loaded: dict[Path, tuple[FileStamp | None, Receipt | None]] = {}

    def load(self, root: Path) -> list[Receipt]:
        """Read all receipts for a root, but none twice that has not changed."""
        if self._folder is None:
            return []
        found = map(self._load, sorted(self._folder.glob("*.json")))
        return [receipt for receipt in found if receipt and receipt.root == str(root)]

    def _load(self, path: Path) -> Receipt | None:
        stamp = None
        with contextlib.suppress(OSError):
            stamp = stat_target(path)
        before, receipt = self._loaded.get(path, (None, None))
        if stamp != before:
            receipt = _read(path)
            self._loaded[path] = stamp, receipt
        return receipt

    def save(self, *receipts: Receipt) -> None:
        """Save receipts. Each replaces the previous one of its model.

        Raises:
            LocalDiskError: The file system refuses.
        """
        if self._folder is None or not receipts:
            return
        with disk_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            sweep(self._folder)
            for receipt in receipts:
                text = json.dumps(_to_json(receipt), sort_keys=True)
                write_atomically(self._folder / _file_name(receipt), text)

    def discard(self, *receipts: Receipt) -> None:
        """Remove receipts.

        Raises:
            LocalDiskError: The file system refuses.
        """
        if self._folder is None:
            return
        with disk_errors(self._folder):
            for receipt in receipts:
                (self._folder / _file_name(receipt)).unlink(missing_ok=True)


def read_every(folder: Path) -> tuple[list[Receipt], list[Path]]:
    """Read the receipts of all roots, and list those that cannot be read.

    Args:
        folder: Need not exist.

    Raises:
        LocalDiskError: The folder cannot be read.
    """
    with disk_errors(folder, action="read"):
        paths = sorted(p for p in _entries(folder) if p.suffix == ".json")
    found = [(path, _read(path)) for path in paths]
    return (
        [receipt for _, receipt in found if receipt],
        [path for path, receipt in found if receipt is None],
    )


def _entries(folder: Path) -> list[Path]:
    try:
        # Where a volume has no extended attributes, macOS stores them in files `._*`.
        return [path for path in folder.iterdir() if not path.name.startswith("._")]
    except FileNotFoundError:
        return []


def _file_name(receipt: Receipt) -> str:
    identity = [receipt.model, receipt.root]
    if receipt.repo_id:
        identity.append(receipt.repo_id)
    digest = hashlib.sha256("\n".join(identity).encode()).hexdigest()
    return f"{digest[:32]}.json"


def _to_json(receipt: Receipt) -> dict[str, Any]:
    files = {path: [d.algorithm, d.value] for path, d in receipt.files.items()}
    return {**vars(receipt), "files": files}


def _read(path: Path) -> Receipt | None:
    try:
        raw = json.loads(path.read_text("utf-8"))
        files = {name: Digest(*digest) for name, digest in raw.pop("files").items()}
        receipt = Receipt(**raw, files=files)
        return receipt if _is_ours(receipt, path) else None
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return None


def _is_ours(receipt: Receipt, path: Path) -> bool:
    """Check that a pull can have written it, since its paths may be removed later."""
    maybe = (receipt.version, receipt.commit, receipt.repo, receipt.repo_id)
    texts = (receipt.model, receipt.root, *(text or "" for text in maybe))
    return (
        all(isinstance(text, str) for text in texts)
        and path.name == _file_name(receipt)
        and (receipt.repo or "").isprintable()
        and bool(receipt.repo) == bool(receipt.repo_id)
        and _is_selector(receipt.selector)
        and not any(path_problem(name) for name in receipt.files)
        and not any(map(is_tree, receipt.files.values()))
        and receipt.objects.keys() <= receipt.files.keys()
        and all(isinstance(name, str) for name in receipt.objects.values())
    )


def _is_selector(text: str) -> bool:
    try:
        return ModelRef.parse(f"name{text}").selector == text
    except UsageError:
        return False
