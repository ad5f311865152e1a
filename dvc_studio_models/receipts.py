"""What earlier pulls placed: so that it may be replaced, and removed when it is gone.

Owns one folder of small JSON files, one for each model and root. A receipt proves that
a file's content came from Studio and can come again. One that cannot be read counts as
absent: then a pull asks for ``--force`` where it need not have.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dvc_studio_models.model import Digest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Receipt:
    """What one pull of one model left in the workspace."""

    model: str
    """The name, without version or stage."""

    root: str
    """The folder that the paths are relative to."""

    version: str | None
    commit: str | None
    files: Mapping[str, Digest]


class Receipts:
    """The folder of receipts; None as the folder keeps none."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def load(self, root: Path) -> list[Receipt]:
        """Read all receipts for a root."""
        if self._folder is None or not self._folder.is_dir():
            return []
        read = (_read(path) for path in sorted(self._folder.glob("*.json")))
        return [receipt for receipt in read if receipt and receipt.root == str(root)]

    def save(self, receipt: Receipt) -> None:
        """Keep a receipt, in place of the model's last one."""
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        identity = f"{receipt.model}\n{receipt.root}".encode()
        name = hashlib.sha256(identity).hexdigest()[:32]
        text = json.dumps(_to_json(receipt), indent=1, sort_keys=True)
        new = self._folder / f"{name}.{secrets.token_hex(4)}.tmp"
        new.write_text(text, "utf-8")
        new.replace(self._folder / f"{name}.json")


def _to_json(receipt: Receipt) -> dict[str, Any]:
    files = {path: [d.algorithm, d.value] for path, d in receipt.files.items()}
    return {**vars(receipt), "files": files}


def _read(path: Path) -> Receipt | None:
    try:
        raw = json.loads(path.read_text("utf-8"))
        files = {name: Digest(*digest) for name, digest in raw.pop("files").items()}
        return Receipt(**raw, files=files)
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return None
