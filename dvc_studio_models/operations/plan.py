"""What each file of a pull needs, decided before the first byte. No I/O.

Decides from what the rooms found out: what Studio lists, what the workspace holds, what
the cache holds, what an earlier pull placed. Never looks itself, so that every case can
be tried without a disk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

    from dvc_studio_models.model import Digest, ModelFile

UNCHANGED = "unchanged"
LINK = "link"
DOWNLOAD = "download"
CONFLICT = "conflict"
REMOVE = "remove"


@dataclass(frozen=True)
class TargetState:
    """What the workspace holds at a target."""

    digest: Digest | None
    """Of its content, None for a link to nothing."""

    recoverable: bool
    """Whether the content is in the cache, or is what an earlier pull placed."""

    size: int

    is_same_text: bool = False
    """Whether it is what Git keeps, but for the line ends that Git checks out."""


@dataclass(frozen=True)
class Step:
    """What is to be done about one file."""

    file: ModelFile
    action: str
    size: int | None
    """Of the content that is to be there, in bytes; None where it is not known yet."""


@dataclass(frozen=True)
class Plan:
    """Every step of a pull, and the leftovers of the version before."""

    steps: tuple[Step, ...]
    leftovers: Mapping[str, str] = field(default_factory=dict)
    """Paths that the previous pull placed, unchanged since, and this version lacks:
    each with the name of the model that it was of."""

    def having(self, *actions: str) -> list[Step]:
        """Return the steps with one of these actions."""
        return [step for step in self.steps if step.action in actions]

    def downloads(self) -> list[ModelFile]:
        """Return what must be fetched, each content once."""
        by_content: dict[object, ModelFile] = {}
        for step in self.having(DOWNLOAD):
            by_content.setdefault(step.file.content, step.file)
        return list(by_content.values())


def make_plan(
    files: Iterable[ModelFile],
    *,
    held: Mapping[str, TargetState],
    cached_size: Callable[[Digest], int | None],
    leftovers: Mapping[str, str] | None = None,
    tracked: Container[str] = (),
    force: bool = False,
) -> Plan:
    """Decide for every file.

    Args:
        files: What Studio lists, digests from Git filled in.
        held: What is at each target; no entry where there is nothing.
        cached_size: The size of a content that the DVC cache has, whole.
        leftovers: See :class:`Plan`.
        tracked: Targets that Git tracks; only Git may change them.
        force: Replace content that would be lost.
    """
    steps = []
    for file in files:
        here = held.get(file.path)
        is_same = here and (here.is_same_text or here.digest == file.digest)
        if here and file.digest and is_same:
            steps.append(Step(file, UNCHANGED, here.size))
        elif here and (file.path in tracked or not (here.recoverable or force)):
            steps.append(Step(file, CONFLICT, file.size))
        # Asked last: it may mean to hash a large object.
        elif file.digest and (cached := cached_size(file.digest)) is not None:
            steps.append(Step(file, LINK, cached))
        else:
            steps.append(Step(file, DOWNLOAD, file.size))
    return Plan(tuple(steps), leftovers or {})
