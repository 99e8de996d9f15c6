"""Mutates newtfix's own code and prints the mutants that no test notices: `make mutants`, `mutants.py --sample 1000`.

Lines of newtfix/ and patches/ are drawn at random, and of each line one of the mutants that mutmut's operators make of
it; docstrings, annotations, decorators, imports and prose are left alone. A mutant meets tests that run its line: the
quickest of each file first. Which they are is measured by running all of them once, with --measure.
Mutants that build/mutants/results.jsonl has are not tried again.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import gc
import importlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import _lru_cache_wrapper, cache, lru_cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, NamedTuple
from xml.etree import ElementTree

import coverage
import libcst as cst
import pytest
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "mutants"
RESULTS, TESTS, LINES, SETTINGS = (BUILD / name for name in ("results.jsonl", "tests.xml", "lines", "coverage.ini"))
FOLDERS = ("newtfix", "patches")
FORKED = "numpy torch tensordict scipy.stats matplotlib.pyplot typer rich libcst.matchers".split()  # slow to import
LEFT_ALONE = (cst.Annotation, cst.Decorator, cst.Import, cst.ImportFrom)
PROSE = re.compile(r"[^$=(\[]*[\w,;:'}] [\w'{][^$=(\[]*")
CRASHED = 99  # an exit code that pytest has not
KILLED, SLOW, SURVIVED, UNTESTED = "killed", "killed by its time", "survived", "no test runs it"

WITHOUT = [word for plugin in ("cacheprovider", "cov", "xdist") for word in ("-p", f"no:{plugin}")]

Run = Callable[[list[str]], int]
Keep = Callable[..., None]
Swaps = list[tuple[FunctionType, CodeType]]
Site = tuple[str, cst.CSTNode, cst.CSTNode]  # an operator, what is there, and what it makes of it


class Mutant(NamedTuple):
    file: str
    line: int
    operator: str
    source: str
    diff: str


class Sites(cst.CSTVisitor):
    """What can be put in the place of what, by the line on which it begins."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self) -> None:
        self.found: dict[int, list[Site]] = defaultdict(list)

    def on_visit(self, node: cst.CSTNode) -> bool:
        docstring = isinstance(node, cst.Expr) and isinstance(node.value, cst.SimpleString | cst.ConcatenatedString)
        prose = isinstance(node, cst.SimpleString) and PROSE.fullmatch(node.raw_value)
        if docstring or prose or isinstance(node, LEFT_ALONE):
            return False
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                line = self.get_metadata(PositionProvider, node).start.line
                self.found[line] += [(operator.__name__.removeprefix("operator_"), node, new) for new in operator(node)]
        return True


def drawn(seed: int, sample: int, only: str) -> Iterator[Mutant]:
    modules: dict[str, cst.Module] = {}
    lines: list[tuple[str, int, list[Site]]] = []
    for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        modules[name] = (wrapper := MetadataWrapper(cst.parse_module(path.read_text()))).module
        wrapper.visit(sites := Sites())
        lines += [(name, line, found) for line, found in sorted(sites.found.items()) if found]
    draw = random.Random(seed)
    for file, line, found in draw.sample(lines, min(sample, len(lines))):
        before, order = modules[file].code, draw.sample(found, len(found))
        for operator, old, new in order if re.search(only, file) else ():
            with suppress(SyntaxError):
                after = modules[file].deep_replace(old, new).code  # type: ignore[arg-type]
                if meaning(after) != meaning(before):
                    diff = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
                    yield Mutant(file, line, operator, after, "\n".join(list(diff)[3:]))
                    break


@lru_cache(400)
def meaning(source: str) -> str:
    return ast.dump(ast.parse(source))


def measure() -> int:
    """Run all tests, and keep which lines each runs, also in processes that it starts, and how long it takes."""
    BUILD.mkdir(parents=True, exist_ok=True)
    sources = "".join(f"\n    {ROOT / folder}" for folder in FOLDERS)
    SETTINGS.write_text(
        f"[run]\nparallel = true\ncontext = ${{PYTEST_CURRENT_TEST-}}\ndata_file = {LINES}\nsource ={sources}\n"
    )
    os.environ["COVERAGE_PROCESS_START"] = str(SETTINGS)
    measured = ["--cov", f"--cov-config={SETTINGS}", "--cov-context=test", "--cov-report="]
    return int(pytest.main([*measured, "-o", "junit_family=xunit1", f"--junitxml={TESTS}"]))


@cache
def seconds() -> dict[str, float]:
    """What each test took that passed."""
    found: dict[str, float] = {}
    for case in ElementTree.parse(TESTS).iter("testcase"):
        if not len(case) and (file := case.get("file", "")).startswith("tests/"):  # it passed, and is written here
            inside = case.get("classname", "")[len(file.removesuffix(".py")) :].strip(".")
            found["::".join(filter(None, (file, inside, case.get("name"))))] = float(case.get("time", 0))
    return found


@cache
def lines_of(file: str) -> dict[int, set[str]]:
    """The tests that run each line of a file."""
    (data := coverage.CoverageData(str(LINES))).read()
    there = {
        line: {re.sub(r"\|\w+$| \(\w+\)$", "", context) for context in contexts} & seconds().keys()
        for line, contexts in data.contexts_by_lineno(str(ROOT / file)).items()
    }
    return {line: tests for line, tests in there.items() if tests}


@cache
def slowest(file: str) -> float:
    """The seconds of the slowest test in a file: what its tests share is made by one of them, and by each if alone."""
    return max(taken for test, taken in seconds().items() if test.startswith(f"{file}::"))


def tests_of(mutant: Mutant) -> list[str]:
    """Those that run the line, or else its file: more of files whose tests are quick, or that are named after it."""
    lines, stem = lines_of(mutant.file), Path(mutant.file).stem.removesuffix("_probe")
    turns: Counter[str] = Counter()
    order: dict[str, float] = {}
    for test in sorted(lines.get(mutant.line) or set().union(*lines.values()), key=lambda test: seconds()[test]):
        file = test.partition("::")[0]
        turns[file] += 1
        order[test] = turns[file] * slowest(file) / (5 if stem in file else 1)
    return sorted(order, key=lambda test: order[test])


def taking(tests: Iterable[str]) -> float:
    return sum(seconds()[test] for test in tests) + sum(map(slowest, {test.partition("::")[0] for test in tests})) / 2


def verdict(tree: Path, mutant: Mutant, budgets: Sequence[float], run: Run) -> tuple[str, str, int]:
    """What became of it, by which test, and how many it met; each budget is one round's, in seconds of tests."""
    tests, met = tests_of(mutant), 0
    (tree / mutant.file).write_text(mutant.source)
    try:
        for budget in budgets:
            chosen: list[str] = []
            while met < len(tests) and (not chosen or taking(chosen) < budget):
                chosen.append(tests[met])
                met += 1
            if chosen and (what := judged(tree, run, chosen, 3 * taking(chosen) + 20, shares(mutant))):
                return *what, met
        return SURVIVED if tests else UNTESTED, "", met
    finally:
        shutil.copy2(ROOT / mutant.file, tree / mutant.file)


def shares(mutant: Mutant) -> bool:
    """Whether what commands keep from one to the next is made without this file."""
    return not re.match(
        r"newtfix/(code|facts|match|model|newt|patch|plan|work/load|work/planning)|patches", mutant.file
    )


def judged(tree: Path, run: Run, tests: list[str], limit: float, shared: bool) -> tuple[str, str] | None:
    """The verdict and the test that failed, of tests in a process of their own; None where none does."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        child = os.fork()
        if not child:
            in_child(tree, run, tests, folder, shared)
        end = time.monotonic() + limit
        while not (done := os.waitpid(child, os.WNOHANG))[0]:
            if time.monotonic() > end:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return SLOW, ""
            time.sleep(0.02)
        said = Path(folder, "log").read_text("utf-8", "replace")
        if os.waitstatus_to_exitcode(done[1]) == CRASHED:
            raise SystemExit(said)
        return (KILLED, (re.findall(r"(?:FAILED|ERROR) (tests/.*)", said) or [""])[0]) if done[1] else None


def in_child(tree: Path, run: Run, tests: list[str], folder: str, shared: bool) -> None:
    code = CRASHED
    try:
        os.setpgid(0, 0)
        log = os.open(Path(folder, "log"), os.O_CREAT | os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.environ |= {"TMPDIR": folder, "NEWTFIX_STATE": f"{folder}/state"}
        if not shared:
            os.environ["NEWTFIX_CACHE"] = f"{folder}/cache"
        tempfile.tempdir = None
        os.chdir(tree)
        code = run(tests)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def imported_anew(tests: list[str]) -> int:
    return int(pytest.main(["-x", "--tb=no", *WITHOUT, *tests]))


class Collected:
    """A session of pytest that collects tests once; children of it run them, with other code in functions."""

    def __init__(self, mutants: Iterable[Mutant], tree: Path, budgets: Sequence[float], keep: Keep) -> None:
        self.mutants, self.tree, self.budgets, self.keep = mutants, tree, budgets, keep

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            print(f"FAILED {report.nodeid}", flush=True)
            os._exit(1)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        gc.unfreeze()
        live = (one for one in gc.get_objects() if type(one) is FunctionType)
        functions = [one for one in live if one.__code__.co_filename.startswith(str(self.tree))]
        ours = {one.__code__ for one in functions}
        wrappers = [one for one in gc.get_objects() if type(one) is _lru_cache_wrapper]
        caches = [one for one in wrappers if getattr(one.__wrapped__, "__code__", None) in ours]
        gc.freeze()
        items = {item.nodeid: item for item in session.items}
        for mutant in self.mutants:
            swaps = swapped(functions, self.tree, mutant)

            def run(tests: list[str], swaps: Swaps | None = swaps, shared: bool = shares(mutant)) -> int:
                for function, code in swaps or ():
                    function.__code__ = code
                for one in caches:
                    if not shared or one.__module__ != "newtfix.files.kept":
                        one.cache_clear()
                for number, test in enumerate(tests, 1):
                    following = items[tests[number]] if number < len(tests) else None
                    session.config.hook.pytest_runtest_protocol(item=items[test], nextitem=following)
                return 0

            if swaps is not None:
                self.keep(mutant, *verdict(self.tree, mutant, self.budgets, run))
        return True


def outside(source: str) -> str:
    """What a module is without what its functions do."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.body = []
    return ast.dump(tree)


def codes(source: str, file: str) -> dict[str, list[CodeType]]:
    found, todo = defaultdict(list), [compile(source, file, "exec")]
    for code in todo:
        found[code.co_qualname].append(code)
        todo += [one for one in code.co_consts if isinstance(one, CodeType)]
    return found


def swapped(functions: Iterable[FunctionType], tree: Path, mutant: Mutant) -> Swaps | None:
    """The functions of a mutated module with their new code; None where it can't be put into what is imported."""
    before, file = (ROOT / mutant.file).read_text(), str(tree / mutant.file)
    ours = [function for function in functions if function.__code__.co_filename == file]
    if not ours or outside(before) != outside(mutant.source):
        return None
    old, new = codes(before, file), codes(mutant.source, file)
    swaps = []
    for function in ours:
        name, first = function.__code__.co_qualname, function.__code__.co_firstlineno
        code = dict(zip((code.co_firstlineno for code in old[name]), new[name], strict=False)).get(first)
        if len(old[name]) != len(new[name]) or code is None or code.co_freevars != function.__code__.co_freevars:
            return None
        swaps.append((function, code))
    return swaps


@contextmanager
def copied() -> Iterator[Path]:
    """The tracked files in a folder of their own, compiled; nothing is compiled later, so no stale code is run."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        for name in subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines():
            (to := Path(folder, name)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to)
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        for command in (["compileall", "-q", *FOLDERS], ["pytest", "--collect-only", "-qq", "-p", "no:cacheprovider"]):
            subprocess.run(
                [sys.executable, "-m", *command], cwd=folder, env={**environment, "PYTHONPATH": folder}, stdout=-3
            )
        yield Path(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sample", type=int, default=1000, help="how many lines to draw")
    parser.add_argument("--only", default="", help="of these, those in files that this regular expression finds")
    parser.add_argument("--budget", type=float, nargs="+", default=[6, 20], help="seconds of tests, in each round")
    parser.add_argument("--again", action="store_true", help="try those once more that survived")
    parser.add_argument("--measure", action="store_true", help="run all tests, to know which run what, and do no more")
    args = parser.parse_args()
    if args.measure:
        return measure()
    if not TESTS.is_file():
        raise SystemExit("which tests run which lines is not known yet: mutants.py --measure")
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # threads are not forked
    for name in FORKED:
        importlib.import_module(name)
    mutants = list(drawn(args.seed, args.sample, args.only))
    with copied() as tree, RESULTS.open("a") as results:
        sys.path.insert(0, str(tree))
        os.environ |= {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
        sys.dont_write_bytecode = True

        def keep(mutant: Mutant, what: str, by: str, met: int) -> None:
            found = {"file": mutant.file, "line": mutant.line, "operator": mutant.operator, "diff": mutant.diff}
            print(json.dumps({**found, "verdict": what, "by": by, "met": met}), file=results, flush=True)

        def left() -> list[Mutant]:
            known = judgements()
            return [mutant for mutant in mutants if (mutant.file, mutant.line, mutant.diff) not in known]

        if not args.again and not (child := os.fork()):
            os.dup2(os.open(BUILD / "log", os.O_CREAT | os.O_TRUNC | os.O_WRONLY), 1)
            os.chdir(tree)
            files = sorted({test.partition("::")[0] for test in seconds()})
            pytest.main(["-s", "--tb=no", *WITHOUT, *files], plugins=[Collected(left(), tree, args.budget, keep)])
            sys.stdout.flush()
            os._exit(0)
        if not args.again:
            os.waitpid(child, 0)
        known = judgements()
        for mutant in mutants:
            was = known.get((mutant.file, mutant.line, mutant.diff), {"verdict": ""})["verdict"]
            if not was or (args.again and was in (SURVIVED, UNTESTED)):
                keep(mutant, *verdict(tree, mutant, args.budget, imported_anew))
    known = judgements()
    counts = Counter(known[mutant.file, mutant.line, mutant.diff]["verdict"] for mutant in mutants)
    for file, line, diff in ((mutant.file, mutant.line, mutant.diff) for mutant in mutants):
        if (found := known[file, line, diff])["verdict"] in (SURVIVED, UNTESTED):
            print(f"{found['verdict']}, of {found['met']} tests: {file}:{line}\n{diff}")
    killed = counts[KILLED] + counts[SLOW]
    print(f"{killed} of {counts.total()} mutants killed, {killed / max(1, counts.total()):.1%}: {dict(counts)}")
    return 0


def judgements() -> dict[tuple[str, int, str], dict[str, Any]]:
    lines = RESULTS.read_text().splitlines() if RESULTS.is_file() else []
    return {(found["file"], found["line"], found["diff"]): found for found in map(json.loads, lines)}


if __name__ == "__main__":
    sys.exit(main())
