"""The models of other repos: those that were pulled, or that the lock file pins.

Their tags are not in the clone. What is known of them is in receipts and pins alone.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from dvc_studio_models.errors import LockFileError, UnsafePathError
from dvc_studio_models.log import get_logger
from dvc_studio_models.model import (
    ABSENT,
    MODIFIED,
    PRESENT,
    REGISTERED,
    ListedModel,
    WorkspaceState,
)
from dvc_studio_models.registry.lockfile import read_default
from dvc_studio_models.registry.urls import key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from dvc_studio_models.files.receipts import Receipt
    from dvc_studio_models.model import Digest, Pin

Key = tuple[str, str | None]
"""See :func:`key_of`."""

logger = get_logger(__name__)


class Workspace(Protocol):
    """Where the files are."""

    @property
    def root(self) -> Path:
        """The Git root."""

    def has_all(self, files: Mapping[str, Digest]) -> bool:
        """Whether the workspace has all of these files, by path."""


def list_others(inventory: Workspace, pulled: Iterable[Receipt]) -> list[ListedModel]:
    """List the models of other repos; warn if the lock file cannot be read.

    Args:
        inventory: Of the working tree.
        pulled: All of its receipts.
    """
    receipts = {receipt.key: receipt for receipt in pulled if receipt.repo}
    pins = {key_of(pin.ref): pin for pin in _pins(inventory).values() if pin.ref.repo}
    return [
        _describe(inventory, key, receipts.get(key), pins.get(key))
        for key in sorted({**receipts, **pins}, key=str)
    ]


def _pins(inventory: Workspace) -> Mapping[str, Pin]:
    try:
        return read_default(inventory.root)
    except (LockFileError, UnsafePathError) as error:
        logger.warning("%s", error)
        return {}


def _describe(
    inventory: Workspace, key: Key, receipt: Receipt | None, pin: Pin | None
) -> ListedModel:
    pinned = {file.path: file.digest for file in pin.files} if pin else {}
    placed = dict(receipt.files) if receipt else pinned
    return ListedModel(
        key[0],
        os.path.commonpath(placed) if placed else None,
        _judge(inventory, receipt, pin, pinned, placed),
        repo=receipt.repo if receipt else pin.ref.repo if pin else None,
        locked=pin.version if pin else None,
    )


def _judge(
    inventory: Workspace,
    receipt: Receipt | None,
    pin: Pin | None,
    pinned: Mapping[str, Digest],
    placed: Mapping[str, Digest],
) -> WorkspaceState:
    """Return the state of the files."""
    if pin and inventory.has_all(pinned):
        return WorkspaceState(REGISTERED if pin.version else PRESENT, pin.version)
    if receipt and inventory.has_all(placed):
        known = REGISTERED if receipt.version else PRESENT
        return WorkspaceState(known, receipt.version)
    is_there = any(os.path.lexists(inventory.root / path) for path in placed)
    return WorkspaceState(MODIFIED if is_there else ABSENT)
