"""A patch is one file and one test: those of docs/write-a-patch.md, dropped into a copy of the repository, are all."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAME = "plan-iterations"
COPIED = (
    *("newtfix", "newt_base", "patches", "tests", "tools", "docs"),
    *("README.md", "LICENSE", "Makefile", "pyproject.toml"),
)
DROPPED = {
    "my_patches/plan_iterations.py": "patches/plan_iterations.py",
    "test_plan_iterations.py": "tests/patches/test_plan_iterations.py",
}
GENERATED = {"README.md", "docs/discrepancies/README.md", f"docs/discrepancies/{NAME}.md"}
PAGE = (ROOT / "docs/write-a-patch.md").read_text("utf-8")

# Every command in one process; what each prints, and its exit code, stand behind a line that names it.
COMMANDS = """
import sys
from newtfix.cli import main

for line in sys.stdin.read().splitlines():
    print(f"== {line}", flush=True)
    sys.argv = ["newtfix", *line.split()]
    try:
        main()
    except SystemExit as end:
        print(f"-> {end.code or 0}", flush=True)
"""
# What pytest is asked to run: the tests about this patch alone, among all that are about every patch.
CHOSEN = f"""
from newtfix.model import Patch

def about(value):
    return value == {NAME!r} or isinstance(value, Patch) and value.id == {NAME!r} or value == frozenset([{NAME!r}])

def pytest_collection_modifyitems(config, items):
    def wanted(item):
        values = item.callspec.params.values() if hasattr(item, "callspec") else ()
        own = item.path.name == "test_plan_iterations.py"
        return own or item.name in TOLD or (any(map(about, values)) and "trains" not in item.name)

    config.hook.pytest_deselected(items=[item for item in items if not wanted(item)])
    items[:] = [item for item in items if wanted(item)]

TOLD = {{
    "test_every_patch_has_a_page_and_every_page_a_patch",
    "test_the_list_has_every_patch_in_its_order",
    "test_the_table_of_the_readme_has_every_patch_in_its_order",
    "test_the_readme_is_short",
    "test_every_link_leads_somewhere[README.md]",
    "test_every_answer_is_about_a_patch",
    "test_the_default_order_is_that_of_the_list",
}}
"""
ABOUT_ALL = (
    *("patches/test_plan_iterations.py", "patches/test_contract.py", "test_pages.py", "test_docs.py"),
    *("newtfix/test_engine.py", "newtfix/test_tdmpc2.py"),
)


def text_of(file: str) -> str:
    """The code block of the page that is to be saved as this file."""
    (text,) = re.findall(rf"`{re.escape(file)}`:\n\n```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return str(text)


def contents(root: Path) -> dict[str, bytes]:
    found = (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository with the two files of the page in it, and its pages made anew."""
    root = tmp_path_factory.mktemp("drop_in") / "repository"
    root.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copy(ROOT / name, root / name)
    before = contents(root)
    for file, place in DROPPED.items():
        (root / place).write_text(text_of(file), "utf-8")
    python(root, "tools/pages.py")
    after = contents(root)
    assert {file for file in {*before, *after} if before.get(file) != after.get(file)} == {
        *DROPPED.values(),
        *GENERATED,
    }
    return root


def python(root: Path, *arguments: str, folder: Path | None = None, given: str = "") -> str:
    """What a Python prints that imports from the copy; it has to end well."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment |= {"PYTHONPATH": f"{root}{os.pathsep}{root.parent}", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-P", *arguments]
    done = subprocess.run(
        command,
        cwd=folder or root,
        env=environment,
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_its_page_and_its_rows_are_made_of_it(copy: Path) -> None:
    assert "large_action_iterations=0 plans as before" in (copy / f"docs/discrepancies/{NAME}.md").read_text("utf-8")
    rows = [(copy / "README.md").read_text("utf-8"), (copy / "docs/discrepancies/README.md").read_text("utf-8")]
    assert [row.count("the planner runs large_action_iterations (2) more iterations") for row in rows] == [1, 1]


def test_every_command_knows_it(copy: Path, tmp_path: Path) -> None:
    commands = f"""list
show {NAME}
scan action_dim=21
diff {NAME}
export files {NAME}
apply {NAME}
verify {NAME}
check {NAME}
revert {NAME}"""
    said = python(copy, "-c", COMMANDS, folder=tmp_path, given=commands)
    parts = re.findall(r"^== (.*)\n((?:.*\n)*?)-> (.*)\n", said, re.MULTILINE)
    assert [command for command, *_ in parts] == commands.splitlines()
    assert [code for *_, code in parts] == ["0"] * 9, said
    told = [text for _, text, _ in parts]
    listed, shown, scanned, changed, exported, applied, verified, checked, reverted = told
    assert re.search(rf"^{NAME} +minor", listed, re.MULTILINE)
    assert "# plan-iterations: More planner iterations" in shown
    assert "For A=21 a plan takes 3,072 samples, in the reference 4,096." in scanned
    assert "+        for _ in range(self.cfg.iterations + self.cfg.large_action_iterations" in changed
    assert NAME in exported and list((tmp_path / "files").rglob(f"*{NAME}*"))
    assert f"{NAME}: applied" in applied and "as the patch should make it" in verified
    assert "has what was asked for" in checked and "reverted" in reverted


def test_its_tests_and_those_about_every_patch_pass(copy: Path) -> None:
    (copy.parent / "chosen_tests.py").write_text(CHOSEN, "utf-8")
    files = [f"tests/{file}" for file in ABOUT_ALL]
    said = python(copy, "-m", "pytest", "-q", "-p", "chosen_tests", "-p", "no:cacheprovider", "-rA", *files)
    assert not re.search(r"^(SKIPPED|XFAIL)", said, re.MULTILINE)
    for file in ABOUT_ALL:
        assert re.search(rf"^PASSED tests/{file}::", said, re.MULTILINE), said
