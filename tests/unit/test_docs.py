"""The pages of documentation: links lead somewhere, paths and names exist, constants are defined
where a page says, and each page can be found.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from meet_trio.operator import described

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PACKAGE = ROOT / "src" / "meet_trio"

LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
CONSTANT = re.compile(r"^\| `(\w+)` \| [^|]+ \| `([^`]+)` \|", re.MULTILINE)
PATH = re.compile(r"(?:src|tests|docs|tools|conf|web|engine/c)/[\w./*-]+|engine/c")
# of projects that a page compares with, none has one of these
FILE = re.compile(r"[\w.-]+(?:/[\w.*-]+)+\.(?:py|pyx|pyi|pxi|c|h|md|toml|ts|tsx|sh|service|build)")
# ``take_…`` is only the beginning of a name
WORD = re.compile(r"(?<![\w…])\w+(?![\w…*])")
EXAMPLE = re.compile(r"^Example: .*", re.MULTILINE)
FOREIGN = re.compile(
    r"(?:worker|modules|rtc_base)/[\w/]+\.(?:cpp|cc)|kDefaultMinVideoBitrateBps|chrome://.*|curl|scp"
    r"|systemctl[^`]*|systemd-analyze [^`]+|/etc/[\w./-]+|privkey\.pem|kill -\w+|net::ERR_\w+"
    r"|Permission denied|unrecognized arguments|\{\"error\":\"Method Not Allowed\"\}"
    r"|proxy_\w+(?: \w+)?"
    r"|process_(?:open|max)_fds|process_cpu_seconds_total|nstat|steal|rate\(.*\) ?"
    r"|NotifyAccess=main|ip_local_port_range"
    r"|net\.ipv4\.ip_local_port_range"
    r"|MAX_DROPOUT|MAX_MISORDER|localrtc?pport|funding|(?:MEET|APP)_\w+|pipx .*"
)
"""The words of others: libwebrtc, mediasoup, browsers, RFC 3550, ffmpeg, npm, pipx, Kolab, systemd,
certbot, nginx, Linux, argparse, Starlette, httpx, prometheus_client.
"""


@cache
def pages() -> tuple[Path, ...]:
    """The pages of the repository's top, ``docs``, ``conf`` and ``web``."""
    found = {*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "conf").rglob("*.md")}
    return tuple(sorted(found | set((ROOT / "web").glob("*.md"))))


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def without_blocks(text: str) -> str:
    """The prose: no fenced and no indented code."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"(?:\A|\n\n)(?: {4}.*\n?)+", "\n\n", text)


def slugs(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", without_blocks(page.read_text()), re.MULTILINE):
        kept = "".join(c for c in heading.lower() if c.isalnum() or c in " -_")
        found.add(kept.replace(" ", "-"))
    return found


def bases(page: Path) -> tuple[Path, ...]:
    """Where a path of the page may begin. The pages of the C core leave out ``engine/c``."""
    return (ROOT, PACKAGE, PACKAGE / "engine" / "c", page.parent)


def exists(page: Path, path: str) -> bool:
    return any(next(base.glob(path), None) is not None for base in bases(page))


def paths(page: Path) -> Iterator[str]:
    text = page.read_text()
    for code in CODE.findall(without_blocks(text)):
        word = code.split()[0]
        if PATH.fullmatch(word) or FILE.fullmatch(word):
            yield word.rstrip("/")
    # commands stand in blocks
    for line in re.findall(r"^ {4}(.+)$", text, re.MULTILINE):
        yield from (word.rstrip("/") for word in line.split() if PATH.fullmatch(word))


NOT_SOURCES = {".git", ".hypothesis", ".venv", "artifacts", "build", "corpus", "dist"}


def sources() -> Iterator[Path]:
    """Files that people write: no pages, no data, nothing that is made."""
    folders = [ROOT]
    while folders:
        for path in folders.pop().iterdir():
            if path.is_dir():
                made = path.name in NOT_SOURCES or path.name.endswith(
                    ("cache", "cache__", "_modules")
                )
                if not made and path != PACKAGE / "web" and not path.is_symlink():
                    folders.append(path)
            elif path.suffix not in (".md", ".json", ".png", ".so", ".pyc"):
                yield path


@cache
def known_words() -> frozenset[str]:
    """The words of the sources and of their paths. What only this file has proves nothing."""
    found = {word for page in pages() for word in re.findall(r"\w+", name_of(page))}
    for path in sources():
        found.update(re.findall(r"\w+", str(path.relative_to(ROOT))))
        if path != Path(__file__):
            found.update(re.findall(r"\w+", path.read_text(errors="replace")))
    for metric in described.METRICS.values():
        found.update(metric.full_name + part for part in ("", "_bucket", "_sum", "_count"))
    return frozenset(found)


def words(page: Path) -> set[str]:
    """The words of a page's code. Those of the example of a recipe are invented."""
    text = without_blocks(page.read_text())
    invented = {word.lower() for line in EXAMPLE.findall(text) for word in WORD.findall(line)}
    return {
        word
        for code in CODE.findall(text)
        if not FOREIGN.fullmatch(code)
        for word in WORD.findall(code)
        if word.lower() not in invented
    }


def test_pages_are_found() -> None:
    assert {"README.md", "CONTRIBUTING.md", "docs/index.md"} <= {name_of(p) for p in pages()}


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(without_blocks(page.read_text())):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = page.parent / target if target else page
        if not file.exists() or (anchor and anchor not in slugs(file)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_paths_exist(page: Path) -> None:
    assert not {path for path in paths(page) if not exists(page, path)}


# a changelog has names of earlier versions, and the page of settings is made from the code
WRITTEN = [page for page in pages() if page.name not in ("CHANGELOG.md", "settings.md")]


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_names_exist(page: Path) -> None:
    assert not {word for word in words(page) - known_words() if not word.isdigit()}


def test_names_are_found() -> None:
    found = words(DOCS / "recipes.md")
    assert {"_UNPACED_METHODS", "_dispatch", "Mailbox", "mt_command_release", "GROWS"} <= found
    assert "waveHand" not in found


def test_constants_are_defined_where_a_page_says() -> None:
    wrong, seen = [], 0
    for page in sorted((DOCS / "algorithms").glob("*.md")):
        for name, path in CONSTANT.findall(page.read_text()):
            seen += 1
            text = (PACKAGE / path).read_text() if (PACKAGE / path).exists() else ""
            if not re.search(rf"\b{name}\b(?:: [^=\n]+)? = ", text):
                wrong.append(f"{page.name}: {name} in {path}")
    assert seen > 50
    assert not wrong


def test_each_page_is_in_an_index() -> None:
    indexes = tuple(DOCS / name / "index.md" for name in ("", "algorithms", "errors"))
    linked = {
        (index.parent / link.partition("#")[0]).resolve()
        for index in indexes
        for link in LINK.findall(index.read_text())
    }
    assert {page for page in DOCS.rglob("*.md") if page != indexes[0]} <= linked


def test_the_table_of_metrics_is_current() -> None:
    """``python -m meet_trio.operator.described`` prints it."""
    assert described.markdown() in (DOCS / "metrics.md").read_text()
