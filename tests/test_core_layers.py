"""In which order the C core's folders and files may use each other.

A file includes the header of each function and type that it uses, and a header declares what the
source of the same name defines. So the includes are the calls. Both are read here: a declaration by
hand would be a call that no include shows.
"""

import re

import pytest
from support.c_sources import C

FOLDERS = (
    *("base", "formats", "estimate", "state", "links", "paths"),
    *("egress", "ingress", "periodic", "core", "io", "crowd"),
)
"""From the bottom to the top; a folder uses those before it."""
ROOF = "thread"
"""Lies beside the folders, above all of them."""

Graph = dict[str, set[str]]


def units() -> dict[str, str]:
    """The text of each unit, a source with its header, by its path without suffix."""
    texts: dict[str, str] = {}
    for path in sorted([*C.rglob("*.h"), *C.rglob("*.c")]):
        name = str(path.relative_to(C).with_suffix(""))
        if name.split("/")[0] not in ("tests", "fuzz"):
            texts[name] = texts.get(name, "") + without_comments(path.read_text())
    return texts


def without_comments(text: str) -> str:
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)


def includes(texts: dict[str, str]) -> Graph:
    return {
        name: {path.removesuffix(".h") for path in re.findall(r'#include "(.+?)"', text)} - {name}
        for name, text in texts.items()
    }


def definitions(texts: dict[str, str]) -> dict[str, str]:
    """Which unit defines a function that has a prefix, and is not its file's own."""
    pattern = re.compile(r"^(?:static inline )?[a-z][\w *]*?\b(mt_\w+)\([^;]*?\) \{", re.MULTILINE)
    return {function: name for name, text in texts.items() for function in pattern.findall(text)}


def calls(texts: dict[str, str]) -> Graph:
    """Which units' functions each unit names, in a call or as a pointer."""
    homes = definitions(texts)
    return {
        name: {homes[word] for word in re.findall(r"\bmt_\w+", text) if word in homes} - {name}
        for name, text in texts.items()
    }


def rank(name: str) -> int:
    return len(FOLDERS) if name == ROOF else FOLDERS.index(name.split("/")[0])


def upward(graph: Graph) -> list[str]:
    return [
        f"{name} uses {used}"
        for name, all_used in graph.items()
        for used in sorted(all_used)
        if rank(used) > rank(name)
    ]


def circle(graph: Graph) -> set[str]:
    """What is left when everything that uses only finished units is finished, again and again."""
    rest = dict(graph)
    while ready := {name for name, used in rest.items() if not used & rest.keys()}:
        for name in ready:
            del rest[name]
    return set(rest)


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return units()


@pytest.fixture(scope="module")
def graph(texts: dict[str, str]) -> Graph:
    called = calls(texts)
    return {name: used | called[name] for name, used in includes(texts).items()}


def test_every_unit_lies_in_a_folder_of_the_order(texts: dict[str, str]) -> None:
    assert {name.split("/")[0] for name in texts} == {*FOLDERS, ROOF}
    assert len(texts) > 50
    assert len(definitions(texts)) > 200


def test_nothing_uses_what_is_above_it(graph: Graph) -> None:
    assert upward(graph) == []


def test_no_files_use_each_other_in_a_circle(graph: Graph) -> None:
    assert circle(graph) == set()


def test_a_function_is_declared_in_the_header_of_its_source(texts: dict[str, str]) -> None:
    """Or it would be used without the include that shows it."""
    wrong = []
    for function, name in definitions(texts).items():
        header = C / f"{name}.h"
        declared = header.exists() and re.search(
            rf"\b{function}\(", without_comments(header.read_text())
        )
        if not declared:
            wrong.append(f"{function} of {name}")
    assert wrong == []


def test_a_call_upward_is_seen(texts: dict[str, str]) -> None:
    """Also one behind a declaration by hand."""
    changed = texts | {
        "egress/send": texts["egress/send"] + "void mt_rtp_datagram(mt_core *core);\n"
        "static void x(mt_core *core) { mt_rtp_datagram(core); }\n"
    }
    assert upward(calls(changed)) == ["egress/send uses ingress/receive"]
    changed = texts | {"links/link": texts["links/link"] + '#include "io/udp.h"\n'}
    assert upward(includes(changed)) == ["links/link uses io/udp"]
    changed = texts | {"egress/send": texts["egress/send"] + '#include "egress/forward.h"\n'}
    assert {"egress/send", "egress/forward"} <= circle(includes(changed))
