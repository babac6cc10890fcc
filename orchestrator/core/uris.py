"""Addresses that may hold a password: how they are shown and recorded, and how they are made usable again."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["HIDDEN", "lacks_password", "with_password", "without_password"]

HIDDEN: Final = "***"
"""What stands in a password's place."""

# The user ends at the first colon and the password at the last @, as database drivers read them.
_LOGIN = re.compile(r"(?P<start>[A-Za-z][\w+.-]*://[^/\s:@]*:)(?P<password>[^\s]+)@")
_QUERY = re.compile(r"(?P<start>[?&](?:\w*password|passwd|pwd|\w*token|\w*secret)=)[^&\s]+", re.IGNORECASE)


def without_password(text: str) -> str:
    """The text with the passwords of all addresses in it hidden; other texts stay as they are."""
    return _QUERY.sub(rf"\g<start>{HIDDEN}", _LOGIN.sub(rf"\g<start>{HIDDEN}@", text))


def lacks_password(uri: str) -> bool:
    """Whether it was recorded with its password hidden."""
    return HIDDEN in uri and without_password(uri) == uri


def with_password(uri: str, password: str) -> str:
    """A recorded address with its password back in place."""
    from urllib.parse import quote

    return uri.replace(HIDDEN, quote(password, safe=""))
