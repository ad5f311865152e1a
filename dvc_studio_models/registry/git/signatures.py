"""Verifies the signature of a tag with ``git verify-tag``: GPG, X.509 or SSH.

Promises that no program, key list or trust level counts that the repository's own
config names: only the settings of the user and of the machine.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from dvc_studio_models.errors import UnreadableRepoError
from dvc_studio_models.registry.git.process import run

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

VERIFY_S = 30.0
"""The longest, in seconds, that a verification may take."""

_DEFAULTS = {
    "gpg.program": "gpg",
    "gpg.openpgp.program": "gpg",
    "gpg.x509.program": "gpgsm",
    "gpg.ssh.program": "ssh-keygen",
    "gpg.ssh.allowedsignersfile": os.devnull,
    "gpg.ssh.revocationfile": "",
    "gpg.mintrustlevel": "undefined",
}
"""What Git uses where a setting is not set."""

_SIGNERS = "gpg.ssh.allowedsignersfile"
_ABOUT_SSH = re.compile(r"\bssh|principal", re.IGNORECASE)
_REASONS = (
    ("no signature found", "it is not signed"),
    ("No principal matched", "its key is not in gpg.ssh.allowedSignersFile"),
    ("No public key", "its key is not in your GPG keyring"),
    ("BAD signature", "its signature is not valid"),
    ("incorrect signature", "its signature is not valid"),
    ("has expired", "its key has expired"),
    ("revoked", "its key was revoked"),
)
"""Text in the output of Git and of the programs that it runs -> reason."""


def find_signature_problem(
    command: Sequence[str],
    cwd: Path,
    oid: str,
    settings: Iterable[tuple[str, tuple[str, str]]],
) -> str | None:
    """Verify a tag.

    Args:
        command: Git, with arguments that select the repository.
        cwd: Where it runs.
        oid: Of the tag's object.
        settings: All settings of Git, each with its scope.

    Returns:
        None if its signature is valid and by a known key; else the reason.

    Raises:
        LocalDiskError: The system does not let Git run.
    """
    trusted = dict(_DEFAULTS)
    for scope, (key, value) in settings:
        if scope not in {"local", "worktree"} and key.lower() in trusted:
            trusted[key.lower()] = value
            if key.lower() == "gpg.program":  # the older name of the other
                trusted["gpg.openpgp.program"] = value
    pairs = [("-c", f"{key}={value}") for key, value in trusted.items() if value]
    options = [word for pair in pairs for word in pair]
    git, *location = command
    try:
        output = run(
            [git, *options, *location, "--no-replace-objects", "verify-tag", oid],
            cwd=cwd,
            codes=range(256),
            silent_s=VERIFY_S,
        )
    except UnreadableRepoError as error:  # no end in time, or killed
        return error.reason
    if output.code == 0:
        return None
    text = (output.err + output.out).decode(errors="replace")
    return _reason_of(text, has_signers=trusted[_SIGNERS] != os.devnull)


def _reason_of(text: str, *, has_signers: bool) -> str:
    if _ABOUT_SSH.search(text) and not has_signers:
        return "gpg.ssh.allowedSignersFile is not set in your own Git config"
    for part, reason in _REASONS:
        if part in text:
            return reason
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "git verify-tag failed without a message"
