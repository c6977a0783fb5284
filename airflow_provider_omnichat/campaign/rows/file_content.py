"""What a file really is, told by its first line, where it is not what its name says."""

from __future__ import annotations

_AS_BYTES = {
    b"\x1f\x8b": "is packed with gzip; give it a name that ends in .gz",
    b"PK\x03\x04": "is an Excel workbook or another zip archive; export the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "is an old Excel workbook; export the sheet as CSV",
    b"PAR1": "is a Parquet file; write CSV or JSON lines",
    b"Obj\x01": "is an Avro file; write CSV or JSON lines",
    b"ORC": "is an ORC file; write CSV or JSON lines",
    b"ARROW1": "is an Arrow file; write CSV or JSON lines",
    b"BZh": "is packed with bzip2; only gzip is read",
    b"\xfd7zXZ": "is packed with xz; only gzip is read",
    b"(\xb5/\xfd": "is packed with Zstandard; only gzip is read",
    b"SQLite format 3": "is an SQLite database; give a query",
    b"%PDF-": "is a PDF",
    b"{\\rtf": "is a text document (RTF); save it as CSV",
}
_PAGES = (b"<!doctype", b"<html", b"<?xml", b"<error")
_UTF32_MARKS = (b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def what_else(first_line: str) -> str | None:
    """
    Say what a file is that is neither CSV nor JSON lines in UTF-8, and what to do; None where nothing tells.

    :param first_line: decoded with ``surrogateescape``.
    """
    line = first_line.encode("utf-8", "surrogateescape")
    for beginning, what in _AS_BYTES.items():
        if line.startswith(beginning):
            return what
    if line.lstrip().lower().startswith(_PAGES):
        return "is a web page or XML; see whether the address gives the list or an error"
    encoding = _encoding(line)
    return f"is {encoding}; save the file as UTF-8" if encoding else None


def _encoding(line: bytes) -> str | None:
    if line.startswith(_UTF32_MARKS):
        return "UTF-32"
    if line.startswith(_UTF16_MARKS):
        return "UTF-16"
    zeros = [place for place, byte in enumerate(line) if not byte]
    # Plain letters have one byte that is not zero, of two or of four; a line break is the last of its line in half.
    if len(zeros) < 2:
        return None
    if len(zeros) > 0.6 * len(line):
        return "UTF-32 without a byte order mark"
    if len({place % 2 for place in zeros}) == 1 and 4 * len(zeros) >= len(line):
        return "UTF-16 without a byte order mark"
    return None
