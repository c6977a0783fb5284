"""Names that had to be changed for the place they are written to, and must not become the name of something else."""

from __future__ import annotations

from hashlib import blake2b

# Letters only: digits in a row would be masked as somebody's number wherever the name is shown.
_LETTERS = str.maketrans("0123456789", "ghijklmnop")


def distinct_name(name: str, kept: str, most: int) -> str:
    """Return *kept*, what a place takes of a name; with a hash of the name behind where that is not all of it."""
    if kept == name and len(name) <= most:
        return name
    digest = blake2b(name.encode(errors="surrogatepass"), digest_size=10).hexdigest().translate(_LETTERS)
    return f"{kept[: most - len(digest) - 1]}~{digest}"
