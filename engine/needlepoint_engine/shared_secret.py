"""The secret that app and engine share; it guards the connector, and the engine shows it when it calls an action."""

from __future__ import annotations

from collections.abc import Mapping

VARIABLE = "NEEDLEPOINT_ENGINE_SECRET"
#: Fewest characters: 32 of base64 or hexadecimal cannot be guessed.
LENGTH = 32


class SecretError(ValueError):
    """The secret is missing or too short; the message says what to do."""


def shared_secret(environment: Mapping[str, str]) -> str:
    """The secret from the environment.

    Raises:
        SecretError: when it is missing or too short to be one.
    """
    secret = environment.get(VARIABLE, "")
    if len(secret) < LENGTH:
        raise SecretError(
            f"{VARIABLE} is {'too short' if secret else 'not set'}: give app and engine the same random text of at "
            f"least {LENGTH} characters in it."
        )
    return secret
