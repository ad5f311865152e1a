"""The values of a pull: the files to place, and the step for each of them. No I/O.

Decides from values alone: the files that the source lists, the targets in the
workspace, the sizes of cached objects. So every case can be tested without a disk.

Globs are those of ``.dvcignore`` and ``.gitignore``, read by the same library:
``*.bin`` matches in every folder, ``models/bert/**`` below one, ``/x`` at the root.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dvc_studio_models.errors import NothingSelectedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence

    from pathspec import GitIgnoreSpec

    from dvc_studio_models.files.receipts import Receipt, Receipts
    from dvc_studio_models.files.workspace import FileStamp, Workspace
    from dvc_studio_models.model import Digest, ModelFile
    from dvc_studio_models.registry.git_registry import GitRegistry
    from dvc_studio_models.sources.base import Source
    from dvc_studio_models.sources.comparison import ReadListing
    from dvc_studio_models.sources.context import PullContext
    from dvc_studio_models.sources.resolve import ResolvedModel
    from dvc_studio_models.store.base import Store
    from dvc_studio_models.store.parts.part import DownloadedFile

UNCHANGED = "unchanged"
RENAME = "rename"
LINK = "link"
DOWNLOAD = "download"
CONFLICT = "conflict"
REMOVE = "remove"


@dataclass(frozen=True)
class TargetState:
    """The file that is at a target."""

    digest: Digest | None
    """Of its content, None for a link to nothing."""

    recoverable: bool
    """Whether the content is in the cache, or was placed by an earlier pull."""

    size: int
    """In bytes."""

    is_same_text: bool = False
    """Whether it equals the file in Git except for line endings."""


@dataclass(frozen=True)
class Step:
    """The step for one file."""

    file: ModelFile
    action: str
    size: int | None
    """Of the expected content, in bytes; None if it is not known yet."""


@dataclass(frozen=True)
class Plan:
    """The steps of one model, and the leftovers of its version before."""

    steps: tuple[Step, ...] = ()
    leftovers: tuple[str, ...] = ()
    """Paths that the previous pull placed, unchanged since, and that this version
    lacks."""

    def steps_to(self, *actions: str) -> list[Step]:
        """Return the steps with one of these actions."""
        return [step for step in self.steps if step.action in actions]


@dataclass(frozen=True)
class ProjectPull:
    """The models of a pull that lie in one DVC project, or in none."""

    models: list[ResolvedModel]
    store: Store
    receipts: Receipts
    earlier: list[Receipt]
    """Files left by earlier pulls, at the time of the plan."""

    read_listing: ReadListing
    plans: list[Plan] = field(default_factory=list)
    """Of the models, in their order."""

    downloads: dict[str, DownloadedFile] = field(default_factory=dict)
    """By path, each content once; filled while files arrive."""

    def to_download(self) -> list[ModelFile]:
        """Return the files to download, each content once."""
        return downloads_of(self.plans)


@dataclass(frozen=True)
class PreparedPull:
    """The state of a pull after one of the steps before the first byte."""

    context: PullContext
    source: Source
    workspace: Workspace
    projects: list[ProjectPull]
    names: list[str]
    """Of the models, in the order in which the user gave them."""

    registry: GitRegistry | None
    """Of the models' clone; None if there is no clone of their repo."""

    stamps: Mapping[str, FileStamp | None] = field(default_factory=dict)
    """The content at each target when the plan was made."""

    @property
    def models(self) -> list[ResolvedModel]:
        """All models, in the user's order."""
        models = [model for project in self.projects for model in project.models]
        return sorted(models, key=lambda model: self.names.index(model.ref.name))

    def change_models(
        self, change: Callable[[ResolvedModel, ProjectPull], ResolvedModel]
    ) -> PreparedPull:
        """Return the same pull with every model changed."""
        projects = [
            replace(
                project, models=[change(model, project) for model in project.models]
            )
            for project in self.projects
        ]
        return replace(self, projects=projects)

    def to_download(self) -> list[ModelFile]:
        """Return the files to download, each content once a project."""
        return [file for project in self.projects for file in project.to_download()]


def downloads_of(plans: Iterable[Plan]) -> list[ModelFile]:
    """Return the files to download, each content once."""
    by_content: dict[object, ModelFile] = {}
    for plan in plans:
        for step in plan.steps_to(DOWNLOAD):
            by_content.setdefault(step.file.content, step.file)
    return list(by_content.values())


def make_plan(
    files: Iterable[ModelFile],
    *,
    targets: Mapping[str, TargetState],
    cached_size: Callable[[Digest], int | None],
    leftovers: Iterable[str] = (),
    tracked: Container[str] = (),
    force: bool = False,
) -> Plan:
    """Decide for every file of a model.

    Args:
        files: With the digests that Git and earlier pulls added.
        targets: By path; no entry where there is nothing.
        cached_size: Returns the size of a content that is whole in the DVC cache.
        leftovers: See :class:`Plan`.
        tracked: Targets that Git tracks; only Git may change them.
        force: Replace content that would be lost.
    """
    steps = []
    for file in files:
        target = targets.get(file.path)
        is_same = target and (target.is_same_text or target.digest == file.digest)
        if target and file.digest and is_same:
            steps.append(Step(file, UNCHANGED, target.size))
        elif target and (file.path in tracked or not (target.recoverable or force)):
            steps.append(Step(file, CONFLICT, file.size))
        # Checked last: it may hash a large object.
        elif file.digest and (cached := cached_size(file.digest)) is not None:
            steps.append(Step(file, LINK, cached))
        else:
            steps.append(Step(file, DOWNLOAD, file.size))
    return Plan(tuple(steps), tuple(leftovers))


def with_renames(plan: Plan, paths: Container[str]) -> Plan:
    """Plan a new spelling for the names of files that are right otherwise."""
    steps = [
        replace(step, action=RENAME)
        if step.action == UNCHANGED and step.file.path in paths
        else step
        for step in plan.steps
    ]
    return replace(plan, steps=tuple(steps))


def link_arrived(project: ProjectPull) -> ProjectPull:
    """Plan links for the contents that are in the project's cache by now."""

    def link(step: Step) -> Step:
        digest = step.file.digest if step.action == DOWNLOAD else None
        if not digest or not project.store.has_object(digest):
            return step
        size = project.store.size_of(digest)
        return step if size is None else replace(step, action=LINK, size=size)

    plans = [replace(p, steps=tuple(map(link, p.steps))) for p in project.plans]
    return replace(project, plans=plans)


def check_globs(globs: Iterable[str]) -> None:
    """Refuse globs that cannot be parsed.

    Raises:
        UsageError: One cannot.
    """
    for glob in globs:
        try:
            _spec([glob])
        except (ValueError, re.error):
            msg = f"'{glob}' is not a valid glob: see 'git help gitignore'"
            raise UsageError(msg) from None


def select_files(
    files: Sequence[ModelFile], *, include: Sequence[str], exclude: Sequence[str]
) -> tuple[ModelFile, ...]:
    """Return the files that an include matches, or all, without those excluded.

    Args:
        files: Of one model or of several.
        include: Globs on the paths relative to the Git root, checked; none takes all.
        exclude: The same; takes precedence over ``include``.

    Raises:
        NothingSelectedError: No file is left.
    """
    included, excluded = _spec(include or ["*"]), _spec(exclude)
    selected = tuple(
        file
        for file in files
        if included.match_file(file.path) and not excluded.match_file(file.path)
    )
    if not selected:
        raise NothingSelectedError(include, exclude)
    return selected


def _spec(globs: Sequence[str]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines(globs)
