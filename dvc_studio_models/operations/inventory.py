"""The models of the clone, and which version of each is in the workspace.

Reads GTO tags, the ``dvc.yaml`` files of the working tree, and receipts. Uses no
network, and changes nothing. The version is determined from the content, as DVC hashes
it; a receipt decides only between versions of the same content, and where Git recorded
no hash.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from dvc_studio_models.errors import (
    RecordUnreadableError,
    UnreadableRepoError,
    disk_errors,
)
from dvc_studio_models.log import get_logger
from dvc_studio_models.model import (
    ABSENT,
    MD5,
    MODIFIED,
    PARTIAL,
    PRESENT,
    REGISTERED,
    ListedModel,
    WorkspaceState,
)
from dvc_studio_models.operations.others import list_others
from dvc_studio_models.operations.project import LocalProject
from dvc_studio_models.operations.steps.targets import is_same_text
from dvc_studio_models.registry.clone import Clone
from dvc_studio_models.registry.git_registry import GitRegistry, cache_path
from dvc_studio_models.registry.gto.counting import RegisteredModel
from dvc_studio_models.registry.recorded import expand, is_inside
from dvc_studio_models.registry.records import relative_to_root
from dvc_studio_models.store.dvc.objects import tree_digest
from dvc_studio_models.store.dvc.project import project_around

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from dvc_studio_models.files.receipts import Receipt
    from dvc_studio_models.model import Digest, ModelVersion
    from dvc_studio_models.registry.recorded import (
        GitFile,
        RecordedModel,
        RecordedOutput,
    )

logger = get_logger(__name__)

_DVC_DIR = ".dvc"


class Inventory:
    """The models of the clone that a folder is in."""

    def __init__(self, folder: Path, clone: Clone | None = None) -> None:
        """Open the clone, unless it is given.

        Raises:
            NotGitRepoError: There is none around ``folder``.
        """
        self._folder = folder
        self._clone = clone or Clone.find(folder)
        self._projects: dict[Path, LocalProject] = {}
        self._unreadable: set[str] = set()

    @property
    def root(self) -> Path:
        """The Git root."""
        return self._clone.root

    def close(self) -> None:
        """Close DVC's databases, and save what was read of commits."""
        if "registry" in vars(self):
            self.registry.close()
        for project in self._projects.values():
            project.close()

    def list_models(self) -> list[ListedModel]:
        """List the models by name: registered, annotated, pulled, or of other repos."""
        receipts = {r.model: r for r in self.receipts() if r.repo is None}
        models = {model.name: model for model in self.registered()}
        listed = [
            self._describe(
                models.get(name) or RegisteredModel(name, ()),
                self.annotated.get(name),
                receipts.get(name),
            )
            for name in {*models, *self.annotated, *receipts}
        ]
        return sorted(
            [*listed, *list_others(self, self.receipts())], key=lambda model: model.name
        )

    def describe(self, name: str) -> ListedModel:
        """Describe one model, which may be unknown."""
        found = (r for r in self.receipts() if (r.model, r.repo) == (name, None))
        model = self.registry.tags.find(name) or RegisteredModel(name, ())
        return self._describe(model, self.annotated.get(name), next(found, None))

    def registered(self) -> tuple[RegisteredModel, ...]:
        """List the models of the local tags; warn if these may be incomplete."""
        self.registry.list_models()
        return self.registry.models

    def receipts(self) -> list[Receipt]:
        """List the receipts of this working tree, by the models' names."""
        found = {
            receipt.key: receipt
            for root in {*self._scanned[1], self.root}
            for receipt in self._project(root).receipts
        }
        return [found[key] for key in sorted(found, key=str)]

    def _describe(
        self, model: RegisteredModel, annotated: str | None, receipt: Receipt | None
    ) -> ListedModel:
        path, holding = self._look(model, annotated, receipt)
        versions = tuple(version.version for version in model.versions)
        return ListedModel(
            model.name,
            path,
            holding,
            versions[0] if versions else None,
            {stage: at.version for stage, at in model.stages.items()},
            versions,
        )

    # The workspace

    def _look(
        self, model: RegisteredModel, annotated: str | None, receipt: Receipt | None
    ) -> tuple[str | None, WorkspaceState]:
        """Return the path of a model and the state of its content."""
        path = annotated or self._recorded_path(model)
        placed = receipt and receipt.files and os.path.commonpath(receipt.files)
        places = [place for place in (path, placed) if place]
        there = next(filter(self._exists, places), None)
        if there is None:
            return (places[0] if places else None), WorkspaceState(ABSENT)
        hashes = receipt is not None
        for version in model.list_commits(receipt.commit if receipt else None):
            record = self.read_record(model.name, version)
            is_there = self._holds_all(record) if record else None
            hashes = hashes or is_there is not None
            if record and is_there:
                return record.path, WorkspaceState(REGISTERED, version.version)
        if receipt and self.has_all(receipt.files):
            state = self._judge_part(model, receipt)
            return there, WorkspaceState(
                state, None if state == MODIFIED else receipt.version
            )
        return there, WorkspaceState(MODIFIED if hashes else PRESENT)

    def _judge_part(self, model: RegisteredModel, receipt: Receipt) -> str:
        """Return the state of pulled files that are not a whole version."""
        pulled = (v for v in model.versions if v.version == receipt.version)
        record = next(
            (self.read_record(model.name, version) for version in pulled), None
        )
        if record is None or record.digest is None:
            return PRESENT
        at = len(record.path) + 1
        placed = tree_digest({path[at:]: d for path, d in receipt.files.items()})
        return PARTIAL if self._has(record.path, placed) else MODIFIED

    def read_record(self, name: str, version: ModelVersion) -> RecordedModel | None:
        """Read what Git recorded of a version; None, with a warning, if it cannot."""
        try:
            return self.registry.read_record(name, version)
        except (RecordUnreadableError, UnreadableRepoError) as error:
            reason = str(error).partition("\n")[0]
            if reason not in self._unreadable:
                self._unreadable.add(reason)
                logger.warning("%s", reason)
            return None

    def _recorded_path(self, model: RegisteredModel) -> str | None:
        records = (self.read_record(model.name, v) for v in model.list_commits())
        record = next(records, None)
        return record.path if record else None

    def _exists(self, path: str) -> bool:
        target = self.root / path
        with disk_errors(target, action="read"):
            return target.exists()

    def _holds_all(self, record: RecordedModel) -> bool | None:
        """Whether the workspace has that content; None if no hash was recorded."""
        verdicts = [self._holds_output(record, output) for output in record.outputs]
        verdicts += [
            self._holds_text(file.path, file.digest)
            if file.digest
            else self._holds_blob(file)
            for file in record.git_files
            if file.digest or not record.outputs  # links and huge files are not pulled
        ]
        if False in verdicts or not verdicts:
            return False if verdicts else None
        return None if None in verdicts else True

    def _holds_output(
        self, record: RecordedModel, output: RecordedOutput
    ) -> bool | None:
        if output.digest is None:
            return None
        if is_inside(output.path, record.path):
            return self._holds_file(output.path, output.digest, output.size)
        listing = self.project_of(output.path).read_tree(output.digest)
        if listing is None:
            return None
        part = replace(record, outputs=(output,), git_files=())
        files = expand(part, {output.digest: listing})
        found = [self._holds_file(f.path, f.digest, f.size) for f in files]
        return bool(found) and all(found)

    def _holds_file(self, path: str, digest: Digest, size: int | None) -> bool:
        """Whether a file or folder has this hash; not read if its size differs."""
        target = self.root / path
        if target.is_file():
            sizes = {None, target.stat().st_size}
            if digest.algorithm == MD5 and size not in sizes:
                return False
        elif not target.is_dir():  # a device or a pipe, which might never end
            return False
        return self._has(path, digest)

    def _holds_text(self, path: str, digest: Digest) -> bool:
        """Whether a file that Git stores is there, with any line ends."""
        target = self.root / path
        return target.is_file() and is_same_text(target, digest)

    def _holds_blob(self, file: GitFile) -> bool:
        """Whether a file is there exactly as Git stores it."""
        target = self.root / file.path
        if not target.is_file():
            return False
        with disk_errors(target, action="read"):
            content = target.read_bytes()
        return content == self.registry.read_blob(file.oid)

    def has_all(self, files: Mapping[str, Digest]) -> bool:
        """Whether the workspace has all of these files, by path."""
        return all(
            (self.root / path).is_file() and self._has(path, digest)
            for path, digest in files.items()
        )

    def _has(self, path: str, digest: Digest) -> bool:
        return self.project_of(path).holds(self.root / path, digest)

    def project_of(self, path: str) -> LocalProject:
        """Return the DVC project around a file or folder."""
        return self._project((self.root / path).parent)

    # Places

    @property
    def caches(self) -> list[Path]:
        """The folders of the DVC caches of all projects."""
        folders = (self._project(root).cache_folder for root in self._scanned[1])
        return list(filter(None, folders))

    @cached_property
    def registry(self) -> GitRegistry:
        """The models that the clone's tags register."""
        reader = self._clone.reader
        return GitRegistry(reader, cache=cache_path(reader))

    def _project(self, folder: Path) -> LocalProject:
        """Open the DVC project around a folder, as a pull would."""
        root = self.root
        found = project_around(folder, root) or root
        if found not in self._projects:
            self._projects[found] = LocalProject(found, root)
        return self._projects[found]

    @cached_property
    def annotated(self) -> dict[str, str | None]:
        """The models of all ``dvc.yaml`` files of the working tree: name to path."""
        found: dict[str, str | None] = {}
        for dvc_yaml in self._scanned[0]:
            folder = dvc_yaml.parent.relative_to(self.root).as_posix()
            prefix = "" if folder == "." else f"{folder}:"
            models = self._project(dvc_yaml.parent).annotated(dvc_yaml)
            found.update(
                (prefix + name, relative_to_root(path, folder)) for name, path in models
            )
        return found

    @cached_property
    def _scanned(self) -> tuple[list[Path], list[Path]]:
        """Find all ``dvc.yaml`` files and DVC projects of the working tree."""
        root = self.root
        config = f"{_DVC_DIR}/config"
        found = self._clone.reader.find_files("dvc.yaml", config)
        there = [root / path for path in found if (root / path).is_file()]
        dvc_yamls = [path for path in there if path.name == "dvc.yaml"]
        projects = [path.parents[1] for path in there if path.name != "dvc.yaml"]
        return dvc_yamls, projects
