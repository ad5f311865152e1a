"""The commands that a page shows for copying. No I/O."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

if TYPE_CHECKING:
    from dvc_studio_models.model import ModelRef


@dataclass(frozen=True)
class Command:
    """A command to copy."""

    label: str
    """Of the program or language."""

    text: str
    note: str = ""
    """One sentence; may be empty."""

    option: str = ""
    """What the note is about; may be empty."""


def commands_of(
    ref: ModelRef, *, repo: str, server: str, needs_token: bool
) -> tuple[Command, ...]:
    """Return the ways to get a model.

    Args:
        ref: The model, and the version or stage that is selected.
        repo: Any name of its repo that this server finds it by.
        server: The URL of this server, without the final slash.
        needs_token: Whether the server requires a token.
    """
    selector = "".join(f" --{key} {value}" for key, value in ref.requested.items())
    arguments = [f'"{ref.name}"']
    arguments += (f'{key}="{value}"' for key, value in ref.requested.items())
    query = urlencode({"repo": repo, "name": ref.name, **ref.requested}, safe="/:@")
    url = f"{server}/api/model-registry/get-download-uris?{query}"
    header = '-H "Authorization: token $DVC_STUDIO_TOKEN" ' if needs_token else ""
    return (
        Command(
            "Command line",
            f"dvc models pull {shlex.quote(ref.name)}{selector}",
            "Run it in a clone of the repo. In any other folder, add:",
            f"--repo {shlex.quote(repo)} --out .",
        ),
        Command(
            "Python",
            f"from dvc_studio_models import pull\n\npull({', '.join(arguments)})",
            "Run it in a clone of the repo. In any other folder, add:",
            f'repo={json.dumps(repo, ensure_ascii=False)}, out="."',
        ),
        Command(
            "curl",
            f"curl -fsS {header}\\\n  {shlex.quote(url)}",
            "Prints a JSON object of paths and links, which are valid for a while.",
        ),
    )


def set_up(server: str, *, needs_token: bool) -> str:
    """Return what a client has to set once."""
    lines = [f"export DVC_STUDIO_URL={shlex.quote(server)}"]
    if needs_token:
        lines.append("export DVC_STUDIO_TOKEN=...")
    return "\n".join(lines)
