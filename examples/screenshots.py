"""Take the screenshots of docs/page.md: ``screenshots.py docs``.

Makes two repos with some months of history, serves them with ``dvc models serve``, and
looks at the pages with Debian's Chromium, driven by Playwright. ``make screenshots``
runs this script.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

TOKEN = "6b1f0e9a2c574d08"
DAY_S = 86_400
WIDE, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}

CHURN = "Predicts which customers leave within 30 days. Retrained weekly."
REPOS = {
    "models": {
        "churn": ("models/churn.onnx", CHURN, ["tabular", "onnx"]),
        "text-encoder": ("models/text-encoder", "Embeds support tickets.", ["nlp"]),
        "fraud": ("models/fraud.pkl", "Scores card payments.", ["tabular"]),
        "product-ranker": ("models/ranker.bin", "Orders search results.", []),
    },
    "forecasts": {
        "demand": ("demand.bin", "Units sold, per shop and day.", ["time-series"]),
        "energy-load": ("energy.bin", "Load of the grid, a day ahead.", []),
        "returns": ("returns.bin", "Parcels that come back.", []),
    },
}
"""Repo -> model -> path, description and labels."""

TAGS = {
    "models": (
        (190, "churn@v1.0.0 text-encoder@v0.8.0 fraud@v2.0.0"),
        (188, "churn#dev#1 text-encoder#dev#1"),
        (181, "churn#staging#2 fraud#prod#1"),
        (170, "churn#prod#3"),
        (120, "churn@v1.1.0 text-encoder@v0.9.0 product-ranker@v1.0.0"),
        (118, "churn#dev#4 text-encoder#dev#2 product-ranker#dev#1"),
        (104, "churn#staging#5 text-encoder#staging#3"),
        (90, "churn#prod#6 text-encoder#prod#4"),
        (30, "churn@v2.0.0-rc.1 fraud@v2.1.0"),
        (29, "churn#dev#7 fraud#canary#2"),
        (12, "churn@v2.0.0 text-encoder@v1.0.0 fraud@v2.1.1"),
        (11, "churn#staging#8 text-encoder#staging#5 fraud#staging#3"),
        (2, "churn#prod#9"),
    ),
    "forecasts": (
        (150, "demand@v3.0.0 energy-load@v1.0.0"),
        (60, "demand@v3.1.0 returns@v0.1.0"),
        (58, "demand#prod#1 energy-load#shadow#1"),
        (1, "demand@v3.2.0"),
        (0, "demand#staging#2"),
    ),
}
"""Repo -> age in days, and the tags of that day."""

PEOPLE = ("Ada Lovelace", "Grace Hopper", "Katherine Johnson")


def run(folder: Path, *command: str, day: float = 0, number: int = 0) -> None:
    """Run a program as one of PEOPLE, some days ago."""
    person = PEOPLE[number % len(PEOPLE)]
    email = f"{person.split()[0].lower()}@example.com"
    when = f"{int(time.time() - day * DAY_S - 3700)} +0000"
    env = {
        **os.environ,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        **{
            f"GIT_{role}_{key}": value
            for role in ("AUTHOR", "COMMITTER")
            for key, value in (("NAME", person), ("EMAIL", email), ("DATE", when))
        },
    }
    subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True)


def build(root: Path, name: str) -> Path:
    """Make a repo with models, versions and stages."""
    repo = root / name
    repo.mkdir(parents=True)
    run(repo, "git", "init", "--initial-branch", "main")
    run(repo, "git", "remote", "add", "origin", f"git@git.example.com:acme/{name}.git")
    run(repo, "dvc", "init")
    run(repo, "dvc", "remote", "add", "--default", "storage", f"../storage-{name}")
    (root / f"storage-{name}").mkdir()
    lines = ["artifacts:"]
    for model, (path, description, labels) in REPOS[name].items():
        lines += [f"  {model}:", f"    path: {path}", "    type: model"]
        lines += [f"    desc: {description}"]
        lines += ["    labels:", *(f"      - {x}" for x in labels)] if labels else []
    (repo / "dvc.yaml").write_text("\n".join(lines) + "\n")
    number = 0
    for day, tags in TAGS[name]:
        if "@" in tags:
            number += 1
            train(repo, REPOS[name].values(), number)
            run(repo, "git", "add", "--all", day=day)
            run(repo, "git", "commit", "-m", "Train", day=day, number=number)
        for tag in tags.split():
            model, _, stage = tag.partition("#")
            of = f"{model}@{latest(name, model, day)}" if stage else "HEAD"
            message = (
                tag if stage else f"Recall {0.8 + number / 50:.2f} on the test set"
            )
            run(
                repo, "git", "tag", "-am", message, tag, f"{of}^{{}}",
                day=day, number=number,
            )  # fmt: skip
    return repo


def latest(name: str, model: str, day: int) -> str:
    """Return the newest version of a model that is as old as this."""
    versions = [
        tag.partition("@")[2]
        for at, tags in TAGS[name]
        for tag in tags.split()
        if at >= day and tag.startswith(f"{model}@")
    ]
    return versions[-1]


def train(repo: Path, models: object, number: int) -> None:
    """Write the files of all models, and push them."""
    paths = []
    for path, *_ in models:  # type: ignore[attr-defined]
        file = repo / path
        if "." in file.name:
            files = {file: 40_000 * number + len(path)}
        else:
            files = {
                file / "config.json": 700 + number,
                file / "tokenizer.json": 1_200_000,
                file / "weights" / "model.safetensors": 6_000_000 + number,
            }
        for each, size in files.items():
            each.parent.mkdir(parents=True, exist_ok=True)
            each.unlink(missing_ok=True)
            each.write_bytes(bytes([number]) * size)
        paths.append(path)
    run(repo, "dvc", "add", *paths)
    run(repo, "dvc", "push")


@contextlib.contextmanager
def serve(home: Path, *repos: Path) -> Iterator[str]:
    """Run ``dvc models serve``; yield its URL."""
    tokens = home / "tokens"
    tokens.write_text(f"{TOKEN}  ada\n")
    tokens.chmod(0o600)
    command = ["dvc", "models", "serve", "--port", "0", "--token-file", str(tokens)]
    with subprocess.Popen(
        [*command, *map(str, repos)], cwd=home, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout
        try:
            yield server.stdout.readline().split()[-1]
        finally:
            server.terminate()
            server.communicate()


def take(browser: Browser, url: str, folder: Path) -> None:
    """Write the pictures to a folder."""
    for kind in ("light", "dark"):
        context = browser.new_context(viewport=WIDE, color_scheme=kind)
        page = context.new_page()
        page.goto(url)
        if kind == "light":
            page.screenshot(path=folder / "page-sign-in.png")
        page.fill("#token", TOKEN)
        page.press("#token", "Enter")
        page.wait_for_selector("table.models")
        page.screenshot(path=folder / f"page-models-{kind}.png")
        page.goto(f"{url}/models/models/churn")
        page.screenshot(path=folder / f"page-model-{kind}.png")
        if kind == "light":
            page.set_viewport_size(PHONE)
            page.screenshot(path=folder / "page-model-phone.png")
            page.goto(url)
            page.screenshot(path=folder / "page-models-phone.png")
        context.close()


def main() -> int:
    """Make the repos, and take the pictures."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        sys.stderr.write("chromium is missing\n")
        return 1
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        repos = [build(Path(home), name) for name in REPOS]
        with serve(Path(home), *repos) as url:
            browser = playwright.chromium.launch(
                executable_path=chromium, args=["--no-sandbox"]
            )
            take(browser, url, Path(sys.argv[1]))
            browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
