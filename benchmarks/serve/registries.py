"""Creates the registries that are served."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from typing import TYPE_CHECKING

from benchmarks.serve.load import DVC, TOKEN, environ, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES = 10
WIDE = 10_000
VERSIONS = 5000
TAGS = 10_000  # of versions and stages

REPOS = 200
MODELS = 25  # of each repo
MODEL_VERSIONS = 6
MODEL_STAGES = 4
TEAM_TAGS = REPOS * MODELS * (MODEL_VERSIONS + MODEL_STAGES)
TEAM_TOKENS = 100

_BEGUN = 1_600_000_000


def make_registry(root: Path) -> Path:
    """Create a repo with models ``narrow`` and ``wide``, pushed to a local folder."""
    repo = root / "repo"
    narrow = {f"narrow/{number}.bin": number for number in range(FILES)}
    wide = {f"wide/{number % 100}/{number}.bin": number for number in range(WIDE)}
    for path, number in {**narrow, **wide}.items():
        (repo / path).parent.mkdir(parents=True, exist_ok=True)
        (repo / path).write_bytes(b"%d\n" % number)
    run(repo, "git", "init", "--quiet", "--initial-branch", "main")
    run(repo, "git", "remote", "add", "origin", "git@git.example.com:acme/models.git")
    run(repo, DVC, "init", "--quiet")
    run(repo, DVC, "remote", "add", "--quiet", "--default", "storage", root / "storage")
    run(repo, DVC, "add", "--quiet", "narrow", "wide")
    run(repo, DVC, "push", "--quiet")
    models = "".join(f"  {m}:\n    path: {m}\n" for m in ("narrow", "wide"))
    (repo / "dvc.yaml").write_text(f"artifacts:\n{models}")
    _commit(repo, "Train")
    for model in ("narrow", "wide"):
        run(repo, "git", "tag", "--annotate", "--message", "x", f"{model}@v1.0.0")
    return repo


def make_many_versions(root: Path) -> Path:
    """Create a mirror of a repo with many versions of one model and many tags."""
    mirror = root / "many.git"
    (root / "many-storage").mkdir()
    run(root, "git", "init", "--quiet", "--bare", "--initial-branch", "main", mirror)
    subprocess.run(
        ["git", "fast-import", "--quiet"],
        cwd=mirror,
        env=environ(root),
        input="".join(_history(root / "many-storage")).encode(),
        check=True,
    )
    return mirror


def _history(storage: Path) -> Iterator[str]:
    """Return the history as input of ``git fast-import``."""
    files = {
        ".dvc/config": f"[core]\nremote = s\n['remote \"s\"']\nurl = {storage}\n",
        "dvc.yaml": "artifacts:\n  many:\n    path: many.bin\n",
    }
    for number in range(1, VERSIONS + 1):
        made = f"Ada <ada@example.com> {_BEGUN + number} +0000\ndata 1\nx\n"
        files["many.bin.dvc"] = (
            f"outs:\n- path: many.bin\n  hash: md5\n  md5: a{number:031d}\n"
        )
        yield f"commit refs/heads/main\nmark :{number}\ncommitter {made}"
        yield f"from :{number - 1}\n" if number > 1 else ""
        for path, text in files.items():
            yield f"M 100644 inline {path}\ndata {len(text)}\n{text}\n"
        files = {}
        yield f"tag many@v1.{number}.0\nfrom :{number}\ntagger {made}"
    for number in range(VERSIONS + 1, TAGS + 1):
        made = f"Ada <ada@example.com> {_BEGUN + number} +0000\ndata 1\nx\n"
        yield f"tag many#dev#{number}\nfrom :{number - VERSIONS}\ntagger {made}"


def move_to_s3(repo: Path) -> None:
    """Use an S3 remote, with listings in Git because no bucket can be read here."""
    for model in ("narrow", "wide"):
        _list_in_git(repo, model)
    (repo / ".dvc/config").write_text(
        "[core]\n    remote = bucket\n['remote \"bucket\"']\n"
        "    url = s3://bucket/folder\n    region = eu-central-1\n"
    )
    _commit(repo, "Move")
    for model in ("narrow", "wide"):
        run(repo, "git", "tag", "--annotate", "--message", "x", f"{model}@v2.0.0")


def _list_in_git(repo: Path, model: str) -> None:
    md5 = re.findall(r"md5: (\w+)\.dir", (repo / f"{model}.dvc").read_text())[0]
    listing = json.loads(
        (repo / f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}.dir").read_text()
    )
    files = "".join(
        f"  - relpath: {one['relpath']}\n    md5: {one['md5']}\n" for one in listing
    )
    (repo / f"{model}.dvc").write_text(
        f"outs:\n- path: {model}\n  hash: md5\n  files:\n{files}"
    )


def _commit(repo: Path, message: str) -> None:
    run(repo, "git", "add", "--all")
    run(repo, "git", "commit", "--quiet", "--message", message)


def make_team(root: Path) -> list[str]:
    """Create the mirrors of a team; return their names."""
    (root / "team-storage").mkdir()
    names = [f"team-{number:03d}" for number in range(REPOS)]
    for name in names:
        mirror = root / f"{name}.git"
        branch = ("--initial-branch", "main")
        run(root, "git", "init", "--quiet", "--bare", *branch, mirror)
        subprocess.run(
            ["git", "fast-import", "--quiet"],
            cwd=mirror,
            env=environ(root),
            input="".join(_team_history(root / "team-storage", name)).encode(),
            check=True,
        )
        run(mirror, "git", "pack-refs", "--all")
    return names


def write_config(root: Path, names: list[str]) -> Path:
    """Write the ``serve.yaml`` of a team, in which each token sees some repos."""
    repos = [
        {"name": name, "path": f"{root}/{name}.git", "aliases": [f"acme/{name}"]}
        for name in names
    ]
    tokens = [{"name": "ci", "sha256": _sha256(TOKEN), "repos": ["team-*"]}]
    tokens += [
        {
            "name": f"user-{number}",
            "sha256": _sha256(f"user {number}"),
            "repos": [f"team-{number:02d}*"],
        }
        for number in range(TEAM_TOKENS)
    ]
    path = root / "serve.yaml"
    config = {"listen": "127.0.0.1:0", "repos": repos, "tokens": tokens}
    path.write_text(json.dumps(config), "utf-8")  # YAML, too
    path.chmod(0o600)
    return path


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _team_history(storage: Path, repo: str) -> Iterator[str]:
    """Return the history of one repo as input of ``git fast-import``."""
    models = [f"model-{number:02d}" for number in range(MODELS)]
    artifacts = "".join(f"  {name}:\n    path: {name}.bin\n" for name in models)
    files = {
        ".dvc/config": f"[core]\nremote = s\n['remote \"s\"']\nurl = {storage}\n",
        "dvc.yaml": f"artifacts:\n{artifacts}",
    }
    at = _BEGUN
    for version in range(1, MODEL_VERSIONS + 1):
        for name in models:
            md5 = hashlib.md5(f"{repo} {name} {version}".encode()).hexdigest()
            files[f"{name}.bin.dvc"] = (
                f"outs:\n- path: {name}.bin\n  hash: md5\n  md5: {md5}\n"
            )
        made = f"Ada <ada@example.com> {_BEGUN + version} +0000\ndata 1\nx\n"
        yield f"commit refs/heads/main\nmark :{version}\ncommitter {made}"
        yield f"from :{version - 1}\n" if version > 1 else ""
        for path, text in files.items():
            yield f"M 100644 inline {path}\ndata {len(text)}\n{text}\n"
        files = {}
    for name in models:
        tags = [f"@v1.{n}.0" for n in range(1, MODEL_VERSIONS + 1)]
        tags += [f"#stage-{n}#{n}" for n in range(1, MODEL_STAGES + 1)]
        for number, tag in enumerate(tags):
            at += 1
            made = f"Ada <ada@example.com> {at} +0000\ndata 1\nx\n"
            yield f"tag {name}{tag}\nfrom :{number % MODEL_VERSIONS + 1}\n"
            yield f"tagger {made}"
