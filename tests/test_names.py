"""A public class, or a public alias of a type, has a name of its own in the whole package: a name
that is read in one file means the same in every other.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "meet_trio"

SHARED = {
    "Json": "parsed JSON; events of socketio, which imports nothing of the package, hold bytes too",
    "Settings": "all settings of the command, and those of socketio, a library of its own",
}


def defined_types(path: Path) -> Iterator[str]:
    """Public names in CapWords that a file gives to classes and to aliases."""
    for node in ast.parse(path.read_text(), str(path)).body:
        match node:
            case ast.ClassDef(name=name):
                names = [name]
            case ast.AnnAssign(target=ast.Name(id=name)):
                names = [name]
            case ast.Assign(targets=targets):
                names = [target.id for target in targets if isinstance(target, ast.Name)]
            case _:
                names = []
        yield from (name for name in names if name[0].isupper() and not name.isupper())


def test_a_name_means_one_thing() -> None:
    places = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for name in defined_types(path):
            places[name].append(str(path.relative_to(PACKAGE)))
    shared = {name: where for name, where in places.items() if len(where) > 1}
    # one that is no longer shared leaves the table
    assert shared.keys() == SHARED.keys(), shared
