"""What of a tree is in use: what its entry script, its trainer and its agent import, and who imports those."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import PurePosixPath

from newtfix.code.imports import EVERYTHING, importers, reached, taken
from newtfix.code.syntax import parsed

_ENTRY = "train.py"
_NEVER = 99


@dataclass(frozen=True)
class Use:
    """The imports of a tree, as seen from files that are known to train (`starts`)."""

    sources: Mapping[str, str]
    starts: tuple[str, ...] = field(default=())

    def with_start(self, file: str) -> Use:
        """The same once it is known that a file trains; so do then the best entry scripts that import it."""
        entries = [] if self.starts else self._entries_of(file)
        return replace(self, starts=(*self.starts, *entries, file))

    def distance(self, file: str, names: Collection[str]) -> tuple[int, ...]:
        """How far a file is from being used; less is nearer. `names`: what others would take from it."""
        if self.starts:
            return int(file not in self._live), int(not self._takes(self._live, file, names)), not self._imported(file)
        nearest = min((_rank(entry) for entry in self._entries_of(file)), default=(_NEVER, 1))
        users = reached(self._entries_of(file), self.sources)
        return *nearest, int(not self._takes(users, file, names)), int(not self._imported(file))

    @cached_property
    def _live(self) -> frozenset[str]:
        return reached(self.starts, self.sources)

    @cached_property
    def _entries(self) -> Mapping[str, frozenset[str]]:
        """The scripts of a tree, and what each of them imports."""
        scripts = [file for file, text in self.sources.items() if file.endswith(".py") and _is_script(file, text)]
        return {file: reached([file], self.sources) for file in scripts}

    def _entries_of(self, file: str) -> list[str]:
        """The scripts nearest to the root that use a file."""
        using = [entry for entry, used in self._entries.items() if file in used]
        nearest = min(map(_rank, using), default=(0, 0))
        return [entry for entry in using if _rank(entry) == nearest]

    def _takes(self, users: Iterable[str], file: str, names: Collection[str]) -> bool:
        """Whether some of these files take one of the names from a file, or the file itself is the script."""
        files = frozenset(self.sources)
        wanted = {*names, EVERYTHING}
        return any(wanted & taken(user, self.sources[user], files).get(file, frozenset()) for user in users)

    def _imported(self, file: str) -> bool:
        files, path = frozenset(self.sources), PurePosixPath(file)
        name = path.parent.name if path.stem == "__init__" else path.stem
        return any(name in text and file in taken(user, text, files) for user, text in self.sources.items())


def living(sources: Mapping[str, str], playing: Iterable[str], rivals: Mapping[str, str]) -> dict[str, str]:
    """A tree without the files that lost a role and what belongs to them alone, as a copy of the tree in a folder.

    Args:
        playing: the files that play a role. rivals: those that could have, each with the one that does; one that
            builds on that, as another agent may, is no rival.
    """
    files = frozenset(sources)
    lost = frozenset(rival for rival, used in rivals.items() if used not in taken(rival, sources[rival], files))
    live = reached(playing, sources)
    live |= importers(playing, sources, but=lost - live)
    dead: set[str] = set()
    pending = [file for file in lost if file not in live]
    while pending:
        file = pending.pop()
        if file not in dead:
            dead.add(file)
            around = {*taken(file, sources[file], files), *importers([file], sources, but=live)}
            pending += [one for one in around if one not in live]
    for package in sorted((file for file in sources if PurePosixPath(file).name == "__init__.py"), reverse=True):
        inside = [file for file in sources if file.startswith(f"{PurePosixPath(package).parent}/") and file != package]
        dead |= {package} if package not in live and inside and dead.issuperset(inside) else set()
    return {file: text for file, text in sources.items() if file not in dead}


def _rank(entry: str) -> tuple[int, int]:
    path = PurePosixPath(entry)
    return len(path.parts), int(path.name != _ENTRY)


@lru_cache(maxsize=1024)
def _is_script(file: str, text: str) -> bool:
    """Whether a file is meant to be run: newt's entry script, or one with `if __name__ == "__main__"`."""
    if PurePosixPath(file).name == _ENTRY:
        return True
    return "__main__" in text and any(
        isinstance(node, ast.If) and "__name__" in ast.unparse(node.test) for node in parsed(text).body
    )
