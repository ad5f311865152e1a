"""Opens a DVC project at a commit with no config but the commit's own."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dvc.repo import Repo


@functools.cache
def isolated_repo() -> type[Repo]:
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
