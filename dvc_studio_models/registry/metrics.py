"""Metrics and params of a commit, as ``dvc metrics show`` and ``dvc params show`` do.

Read from Git and from the DVC cache, never from a remote.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dvc_studio_models.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dvc.repo import Repo

logger = get_logger(__name__)

MAX_VALUES = 200
"""More metrics or params than these are left out, with a note."""

_PATH = re.compile(r"\Aunable to read: '.*', ")
"""The path as DVC names it, which is relative to the user's folder."""

Values = dict[str, dict[str, Any]]
"""Path of a file -> its values."""


@dataclass(frozen=True)
class Measures:
    """The metrics and params of one DVC project at a commit."""

    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Path of a file, relative to the DVC project, to its values."""

    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """What could not be read, and why."""


def read_measures(project: Repo) -> Measures:
    """Read metrics and params.

    Args:
        project: At the commit, with the cache of this machine.
    """
    project.cloud = _NoRemotes()
    notes: list[str] = []
    try:
        metrics = _read("metrics", project, notes)
        params = _read("params", project, notes)
    finally:
        index = project._data_index  # the property would open one
        if index is not None:
            index.close()
    return Measures(metrics, params, tuple(notes))


class _NoRemotes:
    """Takes the place of DVC's remotes."""

    def get_remote(self, *_args: object, **_options: object) -> None:
        """Find no remote.

        Raises:
            NoRemoteError: Always.
        """
        from dvc.config import NoRemoteError

        msg = "remotes are not used"
        raise NoRemoteError(msg)


def _read(kind: str, project: Repo, notes: list[str]) -> Values:
    """Read one kind of values; notes receives what fails."""
    from dvc.repo.metrics.show import _gather_metrics
    from dvc.repo.params.show import _gather_params

    gather = _gather_metrics if kind == "metrics" else _gather_params
    try:
        found = gather(project, on_error="return")
    except Exception as error:  # noqa: BLE001 - of content that users write
        notes.append(f"cannot read the {kind}: {_first_line(error)}")
        return {}
    values: Values = {}
    count = 0
    for path, result in sorted(found.items()):
        name = path.replace(os.sep, "/")
        failure = result.get("error")
        if failure:
            why = _first_line(failure)
            if isinstance(failure, FileNotFoundError):
                why = "it is not in this clone"
            notes.append(f"cannot read {kind} in '{name}': {why}")
            continue
        data = result.get("data")
        flat = dict(_flatten(data if isinstance(data, dict) else {"": data}))
        count += len(flat)
        if count > MAX_VALUES:
            notes.append(
                f"left out {kind} in '{name}': there are more than {MAX_VALUES}"
            )
            continue
        values[name] = flat
    return values


def _flatten(values: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield values with dotted names, as DVC's tables do."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _first_line(error: object) -> str:
    text = (str(error) or type(error).__name__).partition("\n")[0]
    return _PATH.sub("", text)
