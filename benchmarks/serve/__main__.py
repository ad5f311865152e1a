"""``make bench-serve``: measures the server, and writes ``benchmarks/SERVE.md``."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

from benchmarks.report import facts_table, machine
from benchmarks.serve.load import CLIENTS, serving
from benchmarks.serve.registries import (
    FILES,
    REPOS,
    TEAM_TAGS,
    TEAM_TOKENS,
    make_registry,
    move_to_s3,
)
from benchmarks.serve.rows import (
    Row,
    measure_load,
    measure_many_versions,
    measure_s3,
    measure_wide,
)
from benchmarks.serve.team import measure_team

RESULTS = Path(__file__).parents[1] / "SERVE.md"

INTRODUCTION = f"""\
# How fast `dvc models serve` is

`make bench-serve` measures this. It creates the registry and starts the server. The
server runs on one core (`taskset`), wrk on another. {CLIENTS} clients request the
latest version of a model with {FILES} files in a local folder. The server authenticates
every request, resolves it with the current tags, signs the links and writes a log line.
In the rows for S3, links are signed with version 4, and the directory's listing is in
Git. The start is that of the whole command, with its imports.

The team has {REPOS} repos with {TEAM_TAGS:,} tags, and {TEAM_TOKENS} tokens that may
see some of them each. Requests are for all repos and models in turn.
"""


def main() -> None:
    """Measure, and write the results."""
    for name in ("wrk", "taskset", "git"):
        if not shutil.which(name):
            message = (
                f"'{name}' is missing; on Debian: apt-get install wrk util-linux git"
            )
            raise SystemExit(message)
    facts = machine(("wrk",))
    facts |= {package: version(package) for package in ("starlette", "uvicorn", "h11")}
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="dvc-models-bench-") as folder:
        root = Path(folder)
        repo = make_registry(root)
        with serving(root, "--port", "0", repo) as server:
            rows += [*measure_wide(server, where=""), *measure_load(server)]
        rows += measure_many_versions(root)
        rows += measure_team(root)
        if importlib.util.find_spec("dvc_s3"):
            move_to_s3(repo)
            with serving(root, "--port", "0", repo) as server:
                rows += measure_s3(server)
    lines = ["| case | goal | measured | |", "|---|---|---|---|", *map(str, rows)]
    table = "\n".join(lines)
    RESULTS.write_text(f"{INTRODUCTION}\n{table}\n\n{facts_table(facts)}", "utf-8")
    print(RESULTS.read_text("utf-8"))
    if not all(row.reached for row in rows if row.reached is not None):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
