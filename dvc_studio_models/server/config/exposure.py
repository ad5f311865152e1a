"""To whom a server may answer: the rules on hosts, proxies and tokens. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvc_studio_models.registry.urls import is_loopback_host

if TYPE_CHECKING:
    from collections.abc import Callable


def exposure_problem(
    host: str, *, behind_proxy: bool, no_auth: bool, option: Callable[[str], str]
) -> str | None:
    """Say why a server would answer everybody, or send secrets unencrypted.

    Args:
        host: To listen on.
        behind_proxy: Whether a TLS proxy is in front.
        no_auth: Whether no token is required.
        option: Spells an option for the message, as a flag or as a key.

    Returns:
        None if it is safe.
    """
    if no_auth and behind_proxy:
        return (
            f"'{option('no-auth')}' and '{option('behind-proxy')}' cannot be combined: "
            "whoever reaches the proxy could download every model\n"
            f"Leave out '{option('no-auth')}', and require tokens"
        )
    if is_loopback_host(host):
        return None
    if no_auth:
        return f"'{option('no-auth')}' works only on loopback, not on '{host}'"
    if not behind_proxy:
        return (
            f"'{host}' is not loopback, and this server does not support TLS\n"
            f"Put a TLS proxy in front of it, and add '{option('behind-proxy')}'"
        )
    return None
