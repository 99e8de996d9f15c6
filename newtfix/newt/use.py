"""What of a tree is in use: what its entry script, its trainer and its agent import, and who imports those."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import PurePosixPath

from newtfix.code.imports import EVERYTHING, importers, reached, taken
from newtfix.code.syntax import parsed, words

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

    Of a file that lost and that is in use for something else, what nothing uses is blank.

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
    left = {file: text for file, text in sources.items() if file not in dead}
    apart = lost.difference(playing)
    return {file: _used(file, left) if file in apart else text for file, text in left.items()}


def _used(file: str, sources: Mapping[str, str]) -> str:
    """The text of a file in which classes and functions are blank that neither other files nor the rest of it use."""
    lines, files = sources[file].splitlines(keepends=True), frozenset(sources)
    others = (taken(user, text, files).get(file, frozenset()) for user, text in sources.items() if user != file)
    wanted = frozenset[str]().union(*others)
    unused = {
        node.name: range(min(part.lineno for part in (node, *node.decorator_list)) - 1, node.end_lineno or 0)
        for node in parsed(sources[file]).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and EVERYTHING not in wanted
    }
    blank = frozenset(number for span in unused.values() for number in span)
    wanted |= words("".join(line for number, line in enumerate(lines) if number not in blank))
    while used := wanted & unused.keys():
        wanted = frozenset(words("".join("".join(lines[number] for number in unused.pop(name)) for name in used)))
    blank = frozenset(number for span in unused.values() for number in span)
    return "".join("\n" if number in blank else line for number, line in enumerate(lines))


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
