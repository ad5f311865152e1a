"""Names of temporary files, as pulls that run or were killed have them."""

from __future__ import annotations

import subprocess

from dvc_studio_models.files.owner import process_id
from dvc_studio_models.files.scratch import temporary_name


def owned_by(process: object) -> str:
    """Return a name that a process of this host makes, given its number and start."""
    return f"{temporary_name().removesuffix(process_id())}{process}"


def killed_name() -> str:
    """Return a name that a process made which has ended."""
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    return owned_by(ended.pid)
