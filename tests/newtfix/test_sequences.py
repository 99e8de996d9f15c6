"""Random sequences of commands, edits, checkouts, kills, versions and damage: no edit is lost, all comes out again."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from newtfix.errors import NewtfixError
from newtfix.work.session import Target, open_session, writing
from tests.newtfix import toy
from tests.newtfix.faults import Faults, Killed, failing

TORTURE = os.environ.get("NEWTFIX_TORTURE") == "1"
STEPS = 20
FILES = some.sampled_from(sorted(toy.FILES))
SETS = some.sets(some.sampled_from(sorted(toy.PATCHES)))


def bare(content: bytes) -> bytes:
    """A file without the lines that people put in."""
    return b"".join(line for line in content.splitlines(keepends=True) if not line.startswith(b"e"))


def own_lines(root: Path) -> set[bytes]:
    texts = [content for path, content in toy.sources(root).items()]
    saved = [path.read_bytes() for path in (root / ".newtfix/saved").glob("*")]
    return {line.strip() for text in (*texts, *saved) for line in text.splitlines() if line.startswith(b"e")}


class Sequences(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.stack.enter_context(toy.faked())
        self.stack.enter_context(failing(Faults()))
        self.folder = Path(tempfile.mkdtemp(prefix="newtfix-sequence-"))
        self.root = toy.make(self.folder / "tree")
        self.number = 0
        self.damaged = False

    def teardown(self) -> None:
        self.stack.close()
        shutil.rmtree(self.folder)

    def command(self, *names: str, faults: Faults | None = None) -> bool:
        """Whether it did what was asked; what it did not like it has left alone."""
        mine, before = own_lines(self.root), toy.sources(self.root)
        interrupted = (self.root / ".newtfix/journal.json").exists()
        done, killed = False, False
        with failing(faults or Faults()):
            try:
                toy.want(self.root, *names)
                done = True
            except NewtfixError:
                pass
            except Killed:
                killed = True
        assert mine <= own_lines(self.root)
        if not done and not killed and not interrupted:
            assert toy.sources(self.root) == before
        return done

    @rule(names=SETS)
    def apply(self, names: set[str]) -> None:
        self.command(*sorted(names))

    @rule()
    def take_all_out(self) -> None:
        if self.command():
            for path, content in toy.sources(self.root).items():
                assert bare(content) == toy.FILES[path]
            assert not (self.root / ".newtfix/ledger.json").exists()

    @rule(names=SETS, number=some.integers(1, 120))
    def be_killed(self, names: set[str], number: int) -> None:
        self.command(*sorted(names), faults=Faults(number, None, ("before", "after", "halfway")[number % 3]))

    @rule(mark=some.sampled_from(["+=", "-="]))
    def have_another_version(self, mark: str) -> None:
        with suppress(NewtfixError), writing(Target(self.root, self.root), ()) as session:
            applied = session.applied
            toy.ENGINE.mark = mark
            self.renew(applied)

    def renew(self, applied: tuple[str, ...]) -> None:
        """As `update` does."""
        from newtfix.work.outcome import compute, save

        session = open_session(Target(self.root, self.root), held=True)
        save(session, compute(session, applied))

    @rule(path=FILES, line=some.integers(0, 3))
    def edit(self, path: str, line: int) -> None:
        file = self.root / path
        if file.exists():
            lines = file.read_bytes().splitlines(keepends=True)
            self.number += 1
            lines.insert(min(line, len(lines)), b"e%d = 1" % self.number + (b"\r\n" if path == "trainer.py" else b"\n"))
            file.write_bytes(b"".join(lines))

    @rule(path=FILES)
    def check_out(self, path: str) -> None:
        (self.root / path).parent.mkdir(exist_ok=True)
        (self.root / path).write_bytes(toy.FILES[path])

    @rule(path=FILES)
    def delete(self, path: str) -> None:
        (self.root / path).unlink(missing_ok=True)

    @precondition(lambda self: not self.damaged and (self.root / ".newtfix").exists())
    @rule(number=some.integers(0, 30), how=some.sampled_from(["flip", "cut", "remove", "link", "folder"]))
    def damage(self, number: int, how: str) -> None:
        files = sorted(path for path in (self.root / ".newtfix").rglob("*") if path.is_file())
        shutil.copytree(self.root / ".newtfix", self.folder / "kept")
        self.damaged = True
        file = files[number % len(files)]
        content = file.read_bytes()
        file.unlink()
        if how == "flip" and content:
            place = number * 7 % len(content)
            file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        elif how == "cut":
            file.write_bytes(content[: len(content) // 2])
        elif how == "link":
            file.symlink_to(self.folder / "nowhere")
        elif how == "folder":
            file.mkdir()

    @precondition(lambda self: self.damaged)
    @rule()
    def repair(self) -> None:
        """The record comes back from a backup, and so do the files that it speaks of."""
        shutil.rmtree(self.root / ".newtfix", ignore_errors=True)
        shutil.rmtree(self.folder / "kept")
        toy.make(self.root)
        self.damaged = False

    @invariant()
    def looking_is_never_an_accident(self) -> None:
        with suppress(NewtfixError):
            open_session(Target(self.root, self.root))
        assert not list(self.root.rglob("*.newtfix-new"))


TestSequences = Sequences.TestCase
TestSequences.settings = settings(
    max_examples=100 if TORTURE else 6,
    stateful_step_count=STEPS,
    deadline=None,
    derandomize=not TORTURE,
    database=None,
    phases=(Phase.generate,),  # shrinking takes minutes; the steps are few
    suppress_health_check=list(HealthCheck),
)
