"""The pages hang together: every link and anchor leads somewhere, and every page is in the menu."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.folders import ROOT

DOCS = ROOT / "docs"
SITE = sorted(DOCS.rglob("*.md"))
OTHERS = [*ROOT.glob("*.md"), ROOT / "benchmarks" / "README.md", ROOT / "tests" / "README.md"]
REPOSITORY = "https://github.com/airflow-provider-omnichat/airflow-provider-omnichat/blob/main/"
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"^( *)```.*?^\1``` *$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`[^`\n]*`")


def links(page: Path) -> list[str]:
    return LINK.findall(CODE.sub("", FENCED.sub("", page.read_text())))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path, link: str) -> str | None:
    """Describe what is wrong with a link; None if it resolves or leads to another site."""
    if link.startswith(REPOSITORY):
        page, link = ROOT / "README.md", link.removeprefix(REPOSITORY)
    if re.match(r"[a-z]+:", link):
        return None
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.is_file():
        return f"{link}: there is no such file"
    if anchor and anchor not in anchors(target):
        return f"{link}: the page has no such heading"
    return None


@pytest.mark.parametrize("page", [*SITE, *OTHERS], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert [problem for link in links(page) if (problem := broken(page, link))] == []


@pytest.mark.parametrize("link", ["reference/none.md", "tutorial.md#none", f"{REPOSITORY}NONE.md", "#none", "images"])
def test_a_link_that_leads_nowhere_is_found(link: str) -> None:
    assert broken(DOCS / "index.md", link)


@pytest.mark.parametrize("page", SITE, ids=lambda page: str(page.relative_to(DOCS)))
def test_the_site_links_to_nothing_outside_of_it(page: Path) -> None:
    inside = [link for link in links(page) if not re.match(r"[a-z]+:|#", link)]
    assert [link for link in inside if not (page.parent / link.partition("#")[0]).resolve().is_relative_to(DOCS)] == []


def test_every_page_is_in_the_menu_once() -> None:
    menus = re.findall(r"^```\{toctree\}\n(.*?)^```$", (DOCS / "index.md").read_text(), re.DOTALL | re.MULTILINE)
    entries = [line for menu in menus for line in menu.splitlines() if line and not line.startswith(":")]
    pages = [str(page.relative_to(DOCS).with_suffix("")) for page in SITE if page.name != "index.md"]
    assert sorted(entries) == sorted(pages)
