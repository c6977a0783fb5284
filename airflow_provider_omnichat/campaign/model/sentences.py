"""Two ways to put sentences together, so that no two of them run into each other."""

from __future__ import annotations


def sentences(*texts: str | None) -> str:
    """
    Put texts together, each as a sentence of its own.

    The text of an error, or the reason of a row, has no full stop at its end, unless somebody else wrote it: the
    vendor, a driver, a user's function. Whoever says more behind it need not look.

    :param texts: with or without a full stop at the end; those that are empty are left out.
    :return: ends with a full stop, unless it is empty.
    """
    return " ".join(_ended(text) for each in texts if each and (text := each.strip(" ,;:\n")))


def paragraphs(*texts: str | None) -> str:
    """
    Put texts together, each as a sentence on a line of its own: the end of a long line stands off the screen.

    :param texts: as for :func:`sentences`.
    """
    return "\n".join(line for each in texts if (line := sentences(each)))


def _ended(text: str) -> str:
    if text.endswith(("...", "…", "!", "?")):
        return text
    return f"{text.rstrip('. ')}."
