"""Sentences put together, so that no two of them run into each other, and texts that are not too long."""

from __future__ import annotations


def sentences(*texts: str | None) -> str:
    """Join texts, each as one sentence with a full stop; empty ones are left out."""
    return " ".join(_ended(text) for each in texts if each and (text := each.strip(" ,;:\n")))


def paragraphs(*texts: str | None) -> str:
    """Join texts as :func:`sentences` does, one on each line: the end of a long line is off the screen."""
    return "\n".join(line for each in texts if (line := sentences(each)))


def cut(text: str, most: int) -> str:
    """Return a text of so many characters at most, with an ellipsis at its end if it is longer."""
    return text if len(text) <= most else text[: most - 1] + "…"


def _ended(text: str) -> str:
    if text.endswith(("...", "…", "!", "?")):
        return text
    return f"{text.rstrip('. ')}."
