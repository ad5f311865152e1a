"""The key that signs links and encrypts sessions."""

from __future__ import annotations

import os
import secrets

from dvc_studio_models.errors import StudioConfigError

KEY_VARIABLE = "DVC_STUDIO_MODELS_SIGNING_KEY"
"""The key: the same for all processes behind one address."""

LEAST_BYTES = 32
"""Whoever has a link can try keys on it, as many as he likes."""


def signing_key() -> bytes:
    """Return the key of the environment; a random one, if none is set or it is empty.

    Raises:
        StudioConfigError: It is too short.
    """
    key = os.fsencode(os.environ.get(KEY_VARIABLE, ""))
    if 0 < len(key) < LEAST_BYTES:
        msg = (
            f"{KEY_VARIABLE} is shorter than {LEAST_BYTES} characters, so that its "
            "value could be guessed from a link\nMake one with: openssl rand -hex 32"
        )
        raise StudioConfigError(msg)
    return key or secrets.token_bytes(LEAST_BYTES)


def share_signing_key() -> None:
    """Let all processes that are started from now on have one key.

    Raises:
        StudioConfigError: The one that is set is too short.
    """
    if not os.environ.get(KEY_VARIABLE):
        os.environ[KEY_VARIABLE] = secrets.token_hex(LEAST_BYTES)
    signing_key()
