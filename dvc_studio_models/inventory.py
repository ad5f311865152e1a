"""What the clone has got: its models, and which version of each lies in the workspace.

Joins what is on disk: GTO tags, the ``dvc.yaml`` files of the working tree, receipts.
Asks no network, and changes nothing. What lies in the workspace is told by its content,
as DVC hashes it; a receipt only decides between versions of one content, and where Git
recorded no hash.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.cache import project_around
from dvc_studio_models.errors import disk_errors
from dvc_studio_models.git import Clone
from dvc_studio_models.local_project import LocalProject
from dvc_studio_models.model import MD5
from dvc_studio_models.records import Records, from_root
from dvc_studio_models.registry import KnownModel, known
from dvc_studio_models.trees import tree_digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from dvc_studio_models.model import Digest, ModelVersion, Record
    from dvc_studio_models.receipts import Receipt

logger = logging.getLogger(f"dvc.{__name__}")

REGISTERED = "registered"
PARTIAL = "partial"
MODIFIED = "modified"
PRESENT = "present"
ABSENT = "absent"

_DVC_DIR = ".dvc"


@dataclass(frozen=True)
class Holding:
    """What lies where a model belongs."""

    state: str
    """``registered``: the content of ``version``; ``partial``: as much of it as was
    pulled; ``modified``: the content of no version; ``present``: something, and no
    recorded hash to compare it with, or parts of several versions; ``absent``."""

    version: str | None = None
    """As in the tags; a commit, where a stage lies on one without a version."""


@dataclass(frozen=True)
class Entry:
    """One model, as far as the clone knows it."""

    name: str
    """As Studio spells it: ``churn`` or ``dir:churn``."""

    path: str | None
    """Where it lies, or would: relative to the Git root. None if nothing tells."""

    workspace: Holding
    latest: str | None = None
    stages: Mapping[str, str] = field(default_factory=dict)
    """Stage -> version, or commit where none is registered there."""

    versions: tuple[str, ...] = ()
    """Greatest SemVer first."""


class Inventory:
    """The models of the clone that a folder is in."""

    def __init__(self, folder: Path) -> None:
        """Open the clone.

        Raises:
            NotGitRepoError: There is none around ``folder``.
        """
        self._folder = folder
        self._clone = Clone.find(folder)
        self._projects: dict[Path, LocalProject] = {}

    def close(self) -> None:
        """Release what is open."""
        if "_records" in vars(self):
            self._records.close()
        for project in self._projects.values():
            project.close()
        self._clone.close()

    def entries(self) -> list[Entry]:
        """List the models by name: registered, annotated, or pulled."""
        annotated = self._annotated()
        receipts = {receipt.model: receipt for receipt in self.receipts()}
        models = {model.name: model for model in self.registered()}
        return [
            self._describe(
                models.get(name) or KnownModel(name, ()),
                annotated.get(name),
                receipts.get(name),
            )
            for name in sorted({*models, *annotated, *receipts})
        ]

    def registered(self) -> tuple[KnownModel, ...]:
        """List what the local tags know."""
        return known(self._clone.scm, memo=self._memo)

    def receipts(self) -> list[Receipt]:
        """List what pulls have left in this working tree, by the models' names."""
        found = {
            receipt.model: receipt
            for root in self._scanned[1]
            for receipt in self._project(root).receipts
        }
        return [found[name] for name in sorted(found)]

    def _describe(
        self, model: KnownModel, annotated: str | None, receipt: Receipt | None
    ) -> Entry:
        path, holding = self._look(model, annotated, receipt)
        versions = tuple(version.version for version in model.versions)
        return Entry(
            model.name,
            path,
            holding,
            versions[0] if versions else None,
            {stage: at.version for stage, at in model.stages.items()},
            versions,
        )

    # What lies there

    def _look(
        self, model: KnownModel, annotated: str | None, receipt: Receipt | None
    ) -> tuple[str | None, Holding]:
        """Tell where the model lies, and what of it."""
        path = annotated or self._recorded_path(model)
        placed = receipt and receipt.files and os.path.commonpath(receipt.files)
        places = [place for place in (path, placed) if place]
        there = next(filter(self._exists, places), None)
        if there is None:
            return (places[0] if places else None), Holding(ABSENT)
        hashes = receipt is not None
        for version in _likeliest_first(model, receipt):
            record = self._record(model.name, version)
            if record and record.digest:
                hashes = True
                if self._lies_there(record, record.digest):
                    return record.path, Holding(REGISTERED, version.version)
        if receipt and self._is_intact(receipt):
            state = self._judge_part(model, receipt)
            return there, Holding(state, None if state == MODIFIED else receipt.version)
        return there, Holding(MODIFIED if hashes else PRESENT)

    def _judge_part(self, model: KnownModel, receipt: Receipt) -> str:
        """Tell what files are that a pull placed, and that are no whole version."""
        pulled = (v for v in model.versions if v.version == receipt.version)
        record = next((self._record(model.name, version) for version in pulled), None)
        if record is None or record.digest is None:
            return PRESENT
        at = len(record.path) + 1
        placed = tree_digest({path[at:]: d for path, d in receipt.files.items()})
        there = self._digest(record.path, placed.algorithm)
        return PARTIAL if there == placed else MODIFIED

    def _record(self, name: str, version: ModelVersion) -> Record | None:
        return self._records.read(version.commit, name)

    def _recorded_path(self, model: KnownModel) -> str | None:
        records = (self._record(model.name, v) for v in _likeliest_first(model, None))
        record = next(records, None)
        return record.path if record else None

    def _exists(self, path: str) -> bool:
        target = self._clone.root / path
        with disk_errors(target, action="read"):
            return target.exists()

    def _lies_there(self, record: Record, digest: Digest) -> bool:
        """Whether the workspace has that content, without hashing what cannot be it."""
        path = self._clone.root / record.path
        if path.is_file():
            sizes = {None, path.stat().st_size}
            if digest.algorithm == MD5 and record.size not in sizes:
                return False
        elif not path.is_dir():  # a device or a pipe, which might never end
            return False
        return self._digest(record.path, digest.algorithm) == digest

    def _is_intact(self, receipt: Receipt) -> bool:
        return all(
            (self._clone.root / path).is_file()
            and self._digest(path, digest.algorithm) == digest
            for path, digest in receipt.files.items()
        )

    def _digest(self, path: str, algorithm: str) -> Digest | None:
        target = self._clone.root / path
        return self._project(target.parent).digest_of(target, algorithm)

    # Where to look

    @cached_property
    def _records(self) -> Records:
        return Records(self._clone.scm, memo=self._memo)

    @cached_property
    def _memo(self) -> Path | None:
        roots = [self._folder.resolve(), *self._scanned[1]]
        memos = (self._project(root).memo for root in roots)
        return next((memo for memo in memos if memo), None)

    def _project(self, folder: Path) -> LocalProject:
        """Find the DVC project around a folder, as a pull into it would."""
        root = self._clone.root
        found = project_around(folder, root) or root
        if found not in self._projects:
            self._projects[found] = LocalProject(found, root)
        return self._projects[found]

    def _annotated(self) -> dict[str, str | None]:
        """Read the models of all ``dvc.yaml`` files: name -> path."""
        found: dict[str, str | None] = {}
        for dvc_yaml in self._scanned[0]:
            folder = dvc_yaml.parent.relative_to(self._clone.root).as_posix()
            prefix = "" if folder == "." else f"{folder}:"
            models = self._project(dvc_yaml.parent).annotated(dvc_yaml)
            found.update(
                (prefix + name, from_root(path, folder)) for name, path in models
            )
        return found

    @cached_property
    def _scanned(self) -> tuple[list[Path], list[Path]]:
        """Find all ``dvc.yaml`` files and DVC projects of the working tree."""
        dvc_yamls, projects = [], []
        for folder, names in _walk(self._clone):
            if "dvc.yaml" in names:
                dvc_yamls.append(folder / "dvc.yaml")
            if _DVC_DIR in names:
                projects.append(folder)
        return dvc_yamls, projects


def _likeliest_first(
    model: KnownModel, receipt: Receipt | None
) -> Iterator[ModelVersion]:
    """Give what was pulled, then the versions, then what only stages have."""
    every = dict.fromkeys([*model.versions, *model.stages.values()])
    pulled = receipt.commit if receipt else None
    return iter(sorted(every, key=lambda version: version.commit != pulled))


def _walk(clone: Clone) -> Iterator[tuple[Path, Iterable[str]]]:
    """Give the folders of the working tree with what is in them.

    Not those that Git ignores, which may hold data without end, nor other clones.
    """
    ignored = clone.scm.pygit2.is_ignored
    for at, folders, files in os.walk(clone.root):
        folder = Path(at)
        if folder != clone.root and ".git" in {*folders, *files}:
            folders.clear()
            continue
        yield folder, {*folders, *files}
        folders[:] = [
            name
            for name in folders
            if name not in {".git", _DVC_DIR} and not ignored(folder / name)
        ]
