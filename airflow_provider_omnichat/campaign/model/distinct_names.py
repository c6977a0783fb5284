"""Names that had to be changed for the place they are written to, and must not become the name of something else."""

from __future__ import annotations

from hashlib import blake2b

# Letters only: digits in a row would be masked as somebody's number wherever the name is shown.
_LETTERS = str.maketrans("0123456789", "ghijklmnop")


def distinct_name(name: str, kept: str, most: int) -> str:
    """
    Return a name as a place takes it, with a hash of the whole name behind it where that is not the name itself.

    :param name: of any length and characters, such as a campaign's.
    :param kept: the name with what the place does not take replaced.
    :param most: characters that the place takes.
    """
    if kept == name and len(name) <= most:
        return name
    digest = blake2b(name.encode(errors="surrogatepass"), digest_size=10).hexdigest().translate(_LETTERS)
    return f"{kept[: most - len(digest) - 1]}~{digest}"
