"""The pages say what the code does: the tables, the links, the commands, the pictures, and the example of a patch."""

from __future__ import annotations

import dataclasses
import html
import re
import shlex
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import typer
from trees import PATCHES, patched, sources, tree

from newt_base.config import PRESET_HELP, Config
from newtfix.cli import app
from newtfix.facts.relations import RELATIONS
from newtfix.model import Add, Edit, Fact, Numbers, Patch, Quantity, Running, Shape, State, Where
from newtfix.newt.roles import ROLES
from newtfix.plan.engine import inspect, plan
from newtfix.work.load import load_patches

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text("utf-8")
TRAIN = (ROOT / "docs/train.md").read_text("utf-8")
HOW_TO_PATCH = (ROOT / "docs/patches.md").read_text("utf-8")
HOW_IT_WORKS = (ROOT / "docs/architecture.md").read_text("utf-8")
EXAMPLE = re.search(r"^```python\n(.*?)^```", HOW_TO_PATCH, re.MULTILINE | re.DOTALL)[1]  # type: ignore[index]


def rows(page: str, head: str) -> list[list[str]]:
    """The cells of the table whose first line is `head`."""
    after = page.split(f"{head}\n", 1)[1].splitlines()[1:]
    table = after[: next((i for i, line in enumerate(after) if not line.startswith("|")), len(after))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def commands(page: str, program: str) -> Iterator[list[str]]:
    """The arguments of every call of `program` in the shell blocks of a page."""
    for block in re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            between = groupby(lexer, key=lambda word: word in ("&&", "|", ";"))
            for call in (list(words) for separator, words in between if not separator):
                if call[0] == program:
                    yield call[1:]


def test_the_readme_is_short() -> None:
    assert len(" ".join(line for line in README.splitlines() if not line.startswith("|")).split()) < 1000


def test_the_table_of_presets() -> None:
    told = rows(TRAIN, "| preset | what it is |")
    assert told == [[f"`{name}`", text] for name, text in PRESET_HELP.items()]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8"))
    broken = [link for link in links if "://" not in link and not (page.parent / link.partition("#")[0]).exists()]
    assert not broken


COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
CALLS = [(page.name, call) for page in PAGES for call in commands(page.read_text("utf-8"), "newtfix")]


@pytest.mark.parametrize("call", [call for _, call in CALLS], ids=" ".join)
def test_every_command_parses(call: list[str]) -> None:
    name, *arguments = call
    context = COMMANDS[name].make_context(name, list(arguments))
    given = context.params.get("ids") or ([context.params["name"]] if "name" in context.params else [])
    known = {*PATCHES, "noise-scale"}  # the example of docs/patches.md
    assert set(given) <= known
    settings = {argument.partition("=")[0] for argument in context.params.get("arguments") or () if "=" in argument}
    own = {"num_demos"} if name == "demos" else set()
    assert settings <= {field.name for field in dataclasses.fields(tree(PATCHES).config.Config)} | own


def test_the_page_has_commands_for_everything() -> None:
    assert {call[0] for _, call in CALLS} == set(COMMANDS)


@pytest.mark.parametrize("call", list(commands(README, "make")), ids=" ".join)
def test_every_make_target_exists(call: list[str]) -> None:
    assert re.search(rf"^{call[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_settings_that_the_page_on_training_names_exist() -> None:
    fields = {field.name for field in dataclasses.fields(Config)}
    named = set(re.findall(r"`(\w+)=[\w.]+`", TRAIN))
    assert {"device", "compile", "save_buffer", "resume"} <= named <= fields


def test_the_picture_shows_the_diff_of_today() -> None:
    picture = (ROOT / "docs/diff.svg").read_text("utf-8")
    lines: dict[str, str] = {}
    for y, text in re.findall(r'<text class="newtfix-r\d+"[^>]* y="([\d.]+)"[^>]*>(.*?)</text>', picture):
        lines[y] = lines.get(y, "") + html.unescape(text).replace("\xa0", " ")
    shown = {line.rstrip() for line in lines.values()}
    before, after = (text["trainer.py"].splitlines() for text in (sources(), patched(frozenset(["mu-std"]))))
    changed = {f"-{line}" for line in before if line not in after} | {
        f"+{line}" for line in after if line not in before
    }
    assert changed and changed <= shown, "draw it again: newtfix diff mu-std --svg docs/diff.svg"
    assert "http" not in picture.replace("http://www.w3.org/2000/svg", "").replace("https://www.textualize.io", "")


# --- docs/patches.md --------------------------------------------------------------------------------------------------


@pytest.fixture
def example(tmp_path: Path) -> Patch:
    (tmp_path / "noise_scale.py").write_text(EXAMPLE)
    return load_patches([tmp_path])["noise-scale"]


def test_the_example_applies_and_is_recognised(example: Patch) -> None:
    patches = {**PATCHES, example.id: example}
    result = plan(sources(), [example.id], patches)
    assert set(result.after) == {"config.py", "tdmpc2.py"}
    assert "self.cfg.noise_scale * std * torch.randn_like(std)" in result.after["tdmpc2.py"]
    assert inspect({**sources(), **result.after}, patches)[example.id].state is State.APPLIED
    assert plan(sources(), patches, patches).order


def test_the_example_does_what_it_says(example: Patch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without noise the agent acts with mu; as before, with 1."""
    import importlib

    import torch
    from trees import make_cfg

    for file, text in {**sources(), **plan(sources(), [example.id], {example.id: example}).after}.items():
        path = tmp_path / "noisy_tree" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    modules = tree()
    tdmpc2, world_model = (importlib.import_module(f"noisy_tree.{name}") for name in ("tdmpc2", "common.world_model"))
    for scale, quiet in ((0.0, True), (1.0, False)):
        cfg = make_cfg(modules, 16, [8], noise_scale=scale)
        agent = tdmpc2.TDMPC2(world_model.WorldModel(cfg), cfg)
        action, mu, _ = agent.plan(torch.zeros(16, 3), torch.ones(16, dtype=torch.bool), task=torch.zeros(16).int())
        assert bool((action == mu.clamp(-1, 1)).all()) is quiet
    for name in [name for name in sys.modules if name.startswith("noisy_tree")]:
        del sys.modules[name]


def test_the_roles_are_all_there() -> None:
    told = rows(HOW_TO_PATCH, "| role | usual file | recognised by |")
    assert [(role, usual) for role, usual, _ in told] == [(f"`{n}`", f"`{r.usual}`") for n, r in ROLES.items()]
    for (_, _, words), role in zip(told, ROLES.values(), strict=True):
        assert set(re.findall(r"`(\w+)`", words)) == role.members


def test_the_fields_are_all_there() -> None:
    for kind in (Patch, Edit, Shape, Where, Add, Fact):
        for field in dataclasses.fields(kind):
            if kind is Patch and field.name in ("id", "doc", "origin", "probes", "probes_in"):
                continue
            assert re.search(rf"`[^`\n]*\b{field.name}\b[^`\n]*`", HOW_TO_PATCH), (kind.__name__, field.name)
    for face in (Numbers, Running, Quantity):
        for name in vars(face):
            if not name.startswith("_") and name not in ("key", "label"):
                assert re.search(rf"`(numbers\.|tree\.)?{name}\b", HOW_TO_PATCH), (face.__name__, name)
    assert {state for state, _ in rows(HOW_TO_PATCH, "| state | the tree has |")} == {f"`{s.value}`" for s in State}


def test_the_relations_are_all_there() -> None:
    for name in RELATIONS:
        assert f"`{name}`" in HOW_TO_PATCH, name
