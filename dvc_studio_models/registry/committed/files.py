"""The content of a file of a commit, as it is handed to DVC."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvc_studio_models.registry.committed.config import clean_config

if TYPE_CHECKING:
    from collections.abc import Sequence

_YAML = (".dvc", ".yaml", ".yml", "dvc.lock")


def for_dvc(key: Sequence[str], data: bytes, *, bounded: bool) -> bytes:
    """Return what DVC may read of a file.

    Args:
        key: Its path in the commit, split.
        data: Its content.
        bounded: Whether to refuse what would take much time or memory.

    Raises:
        TooComplexError: It would take too much time or memory.
        ConfigError: It is a config that DVC cannot read.
    """
    if tuple(key[-2:]) == (".dvc", "config"):
        return clean_config(data)
    if not bounded:
        return data
    from dvc_studio_models.registry.committed.bounds import (
        TooComplexError,
        check_size,
        check_yaml,
    )

    check = check_yaml if key[-1].endswith(_YAML) else check_size
    try:
        check(data)
    except TooComplexError as error:
        path = "".join(c if c.isprintable() else "?" for c in "/".join(key))
        msg = f"'{path}' {str(error).removeprefix('it ')}"
        raise TooComplexError(msg) from None
    return data
