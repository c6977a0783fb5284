"""Count lines of code, docstrings and comments, and blank ones, in each folder of the package."""

from __future__ import annotations

import ast
import tokenize
from collections import Counter, defaultdict
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "airflow_provider_omnichat"
_KINDS = ("files", "code", "docstrings", "comments", "blank", "total")
_NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def counted(path: Path) -> Counter[str]:
    """
    Count the lines of a module; each is of one kind.

    Every string that is a statement counts as a docstring, also one after a constant.
    """
    source = path.read_text()
    docstrings = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    with path.open("rb") as file:
        tokens = list(tokenize.tokenize(file.readline))
    code = {
        line
        for token in tokens[1:]  # the first one names the encoding
        if token.type not in _NO_CODE
        for line in range(token.start[0], token.end[0] + 1)
    } - docstrings
    comments = {token.start[0] for token in tokens if token.type == tokenize.COMMENT} - code
    total = len(source.splitlines())
    found = Counter(files=1, code=len(code), docstrings=len(docstrings), comments=len(comments), total=total)
    found["blank"] = total - len(code) - len(docstrings) - len(comments)
    return found


def main() -> None:
    """Print a line for each folder, and one for all."""
    folders: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for path in sorted(PACKAGE.rglob("*.py")):
        folders[str(path.parent.relative_to(PACKAGE))] += counted(path)
    everything = sum(folders.values(), Counter[str]())
    width = max(map(len, folders))
    print(" " * width, *(f"{kind:>10}" for kind in _KINDS))
    for name, found in [*folders.items(), ("all", everything)]:
        print(f"{name:<{width}}", *(f"{found[kind]:>10,}" for kind in _KINDS))


if __name__ == "__main__":
    main()
