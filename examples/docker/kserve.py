"""Storage container of KServe: places a model in a folder.

    python kserve.py dvc-models://churn#prod /mnt/models

KServe calls it with ``storageUri`` of an InferenceService, and the folder where the
model server looks for the model; of several models, in pairs. The folder that the model
has in the repo is left out.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from dvc_studio_models import pull
from dvc_studio_models.errors import StudioModelsError

SCHEME = "dvc-models://"


def main(uri: str, target: Path) -> None:
    """Pull a model, then move its files from their paths in the repo to ``target``."""
    work = target / ".pull"
    result = pull(uri.removeprefix(SCHEME), out=work)
    paths = [file.path for file in result.models[0].files if file.action != "removed"]
    folder = os.path.commonpath([Path(path).parent for path in paths])
    for path in paths:
        place = target / Path(path).relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        (work / path).replace(place)
    shutil.rmtree(work)


if __name__ == "__main__":
    if len(sys.argv) < 3 or len(sys.argv) % 2 == 0:  # noqa: PLR2004 - pairs
        sys.exit("usage: kserve.py dvc-models://NAME FOLDER [...]")
    try:
        for uri, target in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
            main(uri, Path(target))
    except StudioModelsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
