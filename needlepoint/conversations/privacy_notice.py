"""Which privacy notice people agree to, whatever channel they come by."""

#: The version of the privacy notice in data/phrases; raise it when the notice changes.
PRIVACY_VERSION = "2026-11"
