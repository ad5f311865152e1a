"""Real keys, and tags that are signed with them."""

from __future__ import annotations

import contextlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from needs import need_program
from projects import git

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projects import Project

ADA = "ada@example.com"


@dataclass(frozen=True)
class Key:
    """A key that Git can sign with."""

    settings: tuple[str, ...]
    """Arguments of Git that select it."""

    public: str = ""
    """A line of an SSH public key."""

    def tag(self, project: Project, name: str, rev: str = "HEAD") -> None:
        """Create a signed tag, later than all previous tags."""
        commit = git(project.repo, "rev-parse", f"{rev}^{{commit}}").strip()
        git(
            project.repo,
            *self.settings,
            *("tag", "--sign", "--force", "--message", name, name, commit),
        )


def ssh_key(folder: Path, name: str = "key") -> Key:
    """Make an SSH key."""
    need_program("ssh-keygen")
    path = folder / name
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(command, check=True)
    public = path.with_suffix(".pub")
    settings = ("-c", "gpg.format=ssh", "-c", f"user.signingkey={public}")
    return Key(settings, public.read_text())


@contextlib.contextmanager
def gpg_key() -> Iterator[Key]:
    """Make a GPG key in the keyring of the test's home; end its agent later."""
    need_program("gpg")
    home = Path(os.environ["HOME"], ".gnupg")
    home.mkdir(mode=0o700, exist_ok=True)
    make = ["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-gen-key", ADA]
    try:
        subprocess.run([*make, "ed25519", "sign"], check=True, capture_output=True)
        yield Key(("-c", f"user.signingkey={ADA}"))
    finally:
        end = ["gpgconf", "--homedir", str(home), "--kill", "all"]
        subprocess.run(end, check=True, capture_output=True)


def trust(*keys: Key) -> None:
    """Name SSH keys in the user's own Git config."""
    signers = Path(os.environ["HOME"], "allowed_signers")
    signers.write_text("".join(f"{ADA} {key.public}" for key in keys))
    set_globally("gpg.ssh.allowedSignersFile", str(signers))


def set_globally(key: str, value: str) -> None:
    """Set a setting in the user's own Git config."""
    subprocess.run(["git", "config", "--global", key, value], check=True)
