"""What an address or a message may carry that nobody is to see, and what can be shown of it.

A password may hold any sign, a slash, a blank or an `@` too. So where an address can be read in two ways, the one
counts by which more of it is secret.
"""

from __future__ import annotations

import re

HIDDEN = "***"

# The scheme has a limit because messages may be long, and without blanks.
_SCHEME = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]{0,31}:/+)")
_QUERY = re.compile(r"\?.*[=&]", re.DOTALL)
# Of an address that is refused, and of one in a message, which goes on behind it.
_HIDDEN_QUERY, _END = re.compile("[?#]"), re.compile(r"\Z")
_HIDDEN_QUERY_IN_TEXT, _END_IN_TEXT = re.compile(r"[?#][^\s\"'`<>]*[=&]"), re.compile(r"[\s\"'`<>]|\Z")
_HOST = re.compile(r"[^/?#\s\"'`<>]*")
# A host with its port, or what Amazon calls an access point by.
_SOUND_HOST = re.compile(r"(\[[0-9A-Fa-f:.]*\]|[^:]*)(:\d{0,5})?|arn:.*")
# abfss://container@account.dfs.core.windows.net/
_CONTAINER = re.compile(r"(\$[a-z]+|[a-z0-9-]{3,63})@(?=[a-z0-9]{3,24}\.(dfs|blob)\.[a-z0-9.-]+(/|$))")


def may_hold_secret(address: str, *, may_name_container: bool = False) -> bool:
    """Whether an address that somebody typed has a part in which credentials are written.

    Args:
        address: with its scheme.
        may_name_container: whether `container@account` is a place in this kind of store.
    """
    place = _place(address, may_name_container)
    is_plain = "@" not in place and "#" not in place and _QUERY.search(place) is None
    return not is_plain or bucket_may_hold_secret(address, may_name_container=may_name_container)


def bucket_may_hold_secret(address: str, *, may_name_container: bool = False) -> bool:
    """The same of the bucket alone: names of objects, as stores list them, may hold any sign."""
    bucket = _place(address, may_name_container).partition("/")[0]
    return "@" in bucket or _SOUND_HOST.fullmatch(bucket) is None


def redacted_address(address: str) -> str:
    """As much of a refused address as can be shown: nothing up to its last `@`, no query, no fragment."""
    found = _SCHEME.search(address)
    if found is None:
        return address
    return address[: found.end()] + _without_secrets(address[found.end() :], _HIDDEN_QUERY, _END)


def redacted(text: str) -> str:
    """A message without what may be secret in the addresses that it speaks of: users, passwords, queries."""
    before, *parts = _SCHEME.split(text)
    shown = [
        scheme + _without_secrets(rest, _HIDDEN_QUERY_IN_TEXT, _END_IN_TEXT)
        for scheme, rest in zip(parts[::2], parts[1::2], strict=True)
    ]
    return "".join([_without_users(before), *shown])


def _without_secrets(rest: str, hidden_query: re.Pattern[str], end: re.Pattern[str]) -> str:
    """What follows a scheme: the address and, in a message, what is said behind it."""

    def behind(start: int) -> str:
        found = end.search(rest, start)
        return rest[found.start() :] if found is not None else ""

    n_user = rest.rfind("@") + 1
    host = _HOST.match(rest)
    query = hidden_query.search(rest)
    n_place = query.start() if query is not None else len(rest)
    if n_place < n_user:  # a query with an @ in it, or a password with a question mark
        return HIDDEN + behind(n_user)
    if not n_user and host is not None and not _SOUND_HOST.fullmatch(host[0].rstrip(".,:;)")):
        return HIDDEN + behind(host.end())
    user = f"{HIDDEN}@" if n_user else ""
    shown_query = f"{query[0][0]}{HIDDEN}{behind(query.end())}" if query is not None else ""
    return user + rest[n_user:n_place] + shown_query


def _without_users(text: str) -> str:
    """A message without `user:password@`, as in an endpoint that was set without its scheme."""
    parts = [word.rpartition("@") for word in re.split(r"(\s+)", text)]
    return "".join(f"{HIDDEN}@{rest}" if ":" in user else user + at + rest for user, at, rest in parts)


def _place(address: str, may_name_container: bool) -> str:
    """The bucket and all behind it, without a container that is written before its account."""
    rest = address.partition("://")[2]
    return _CONTAINER.sub("", rest, count=1) if may_name_container and _CONTAINER.match(rest) else rest
