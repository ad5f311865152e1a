"""Opens a DVC project at a commit."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

from dvc_studio_models.registry.git.tree import open_commit

if TYPE_CHECKING:
    from pathlib import Path

    from dvc.repo import Repo

    from dvc_studio_models.registry.git.tree import CommitTree


def open_project(
    tree: CommitTree, root: str, *, cache: str, git_dir: Path, isolated: bool
) -> Repo:
    """Open a DVC project at a commit, and read its config.

    Args:
        tree: The commit.
        root: Folder of the project, empty for the Git root.
        cache: Folder of the DVC cache.
        git_dir: Git's folder.
        isolated: Use no config but that of the commit.

    Raises:
        ConfigError, Invalid: DVC cannot read the config.
    """
    from dvc.repo import Repo
    from scmrepo.noscm import NoSCM

    kind = _isolated_repo() if isolated else Repo
    repo = kind(
        f"/{root}",
        fs=open_commit(tree),
        # DVC is not to open Git itself, which it does through libgit2; nor to read the
        # config.local of the working tree, which may lack remotes of that commit.
        scm=NoSCM(os.fspath(git_dir)),
        uninitialized=True,
        config={"cache": {"dir": cache}},
    )
    _ = repo.config
    return repo


@functools.cache
def _isolated_repo() -> type[Repo]:
    """Return DVC's ``Repo`` without the config of the user and the machine.

    A server's own config names remotes as well, for which the options of a commit's
    remote of the same name may be invalid.
    """
    from dvc.config import Config, merge
    from dvc.repo import Repo

    class IsolatedRepo(Repo):  # type: ignore[misc]
        @functools.cached_property
        def config(self) -> Any:
            config: dict[str, Any] = {}
            if self.dvc_dir:
                path = self.fs.join(self.dvc_dir, Config.CONFIG)
                if self.fs.exists(path):
                    config = Config.load_file(path, fs=self.fs)
            merge(config, self._config or {})
            return Config.validate(config)

    return IsolatedRepo
