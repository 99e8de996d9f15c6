"""The command line: names, options and help; the work is in `newtfix.commands`."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Optional

import typer
from typer.core import TyperGroup

from newtfix import __version__, report
from newtfix.ablate import cli as ablate
from newtfix.errors import NewtfixError, UsageError, unforeseen


class _Commands(TyperGroup):
    """The commands; what is wrong with a command line is said as JSON where that is asked for."""

    def main(self, args: Sequence[str] | None = None, *others: Any, **named: Any) -> Any:
        words = list(sys.argv[1:] if args is None else args)
        asked = words[: words.index("--")] if "--" in words else words
        if "--json" not in asked:
            return super().main(words, *others, **named)
        try:
            code = super().main(words, *others, **{**named, "standalone_mode": False})
        except Exception as problem:
            if not hasattr(problem, "format_message"):  # typer brings the class along, under changing names
                raise
            command = getattr(getattr(problem, "ctx", None), "command_path", "newtfix")
            wrong = UsageError(problem.format_message(), hint=f"See `{command} --help`.")
            report.error(wrong, as_json=True)
            code = wrong.exit_code
        sys.exit(code if isinstance(code, int) else 0)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list of commands, none of its sentences cut off."""
        told = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        with formatter.section("Commands"):
            formatter.write_dl([(name, " ".join((one.help or "").split())) for name, one in told.items() if one])


app = typer.Typer(
    cls=_Commands,
    name="newtfix",
    help="Find and fix known discrepancies in newt-style training code, reversibly.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Ids = Annotated[Optional[list[str]], typer.Argument(metavar="ID", help="Patches, as `newtfix list` names them.")]
Tree = Annotated[
    Optional[Path], typer.Option("--tree", metavar="DIR", help="The tree; else ./newt_patched, else newt_base.")
]
TreeToPatch = Annotated[
    Optional[Path], typer.Option("--tree", metavar="DIR", help="The tree; else ./newt_patched, copied from newt_base.")
]
TreeWithPatches = Annotated[
    Optional[Path], typer.Option("--tree", metavar="DIR", help="The tree; else ./newt_patched.")
]
Patches = Annotated[
    Optional[list[Path]], typer.Option("--patches", metavar="DIR", help="More patches: Python files, run as code.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
All = Annotated[bool, typer.Option("--all", help="All patches.")]
Fitting = Annotated[bool, typer.Option("--fitting", help="Take the patches that fit; say why others don't.")]
Complete = Annotated[bool, typer.Option("--complete", hidden=True, help="Nothing: what is partly there is completed.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="With a refusal, print the code that the patch looks for.")]
Dirty = Annotated[bool, typer.Option("--allow-dirty", help="Also change files with uncommitted edits.")]


class _Ended(KeyboardInterrupt):
    """A request to end (SIGTERM), which is taken as Ctrl-C is."""


def main() -> None:
    """The entry point of the command `newtfix`."""
    _open_what_is_closed()
    signal.signal(signal.SIGTERM, _end)
    gc.disable()  # a command is over soon, and syntax trees are many objects: looking for garbage took a fifth of it
    try:
        app(prog_name="newtfix")
    except OSError as problem:  # as help into a full disk
        report.error(report.no_output(problem), as_json=False)
        sys.exit(4)
    finally:
        gc.freeze()  # at its end, too: a tenth
        _flush()


def _open_what_is_closed() -> None:
    """A file that is opened later must not become standard output by chance."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free


def _flush() -> None:
    """Find out now whether all was printed, and not when nobody can say so any more."""
    if sys.stdout is not None:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            report.no_output(BrokenPipeError())
        except (OSError, ValueError) as problem:
            report.error(report.no_output(problem), as_json=False)
            sys.exit(4)


def _end(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # cleaning up may take a moment, and comes first
    raise _Ended


def _run(command: str, as_json: bool, *arguments: Any, verbose: bool = False) -> None:
    """Run a command, imported only now; the one place where errors become words and exit codes."""
    report.say_with_error(())
    report.show_details(wanted=verbose)
    try:
        work: Callable[..., int] = import_module(f"newtfix.commands.{command}").run
        code = work(*arguments)
    except NewtfixError as problem:
        report.error(problem, as_json)
        code = problem.exit_code
    except BrokenPipeError:
        report.no_output(BrokenPipeError())
        code = 0
    except KeyboardInterrupt as request:
        report.say("newtfix: stopped")
        code = 143 if isinstance(request, _Ended) else 130
    except Exception as problem:
        if os.environ.get("NEWTFIX_TRACEBACK"):
            raise
        wrong = unforeseen(problem)
        report.error(wrong, as_json)
        code = wrong.exit_code
    raise typer.Exit(code)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"newtfix {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if ctx.invoked_subcommand is None:
        _run("next", False)


@app.command("list")
def list_(tree: Tree = None, patches: Patches = None, as_json: Json = False) -> None:
    """List the patches at hand."""
    _run("list", as_json, tree, patches or [], as_json)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="ID", help="The patch.")],
    tree: Tree = None,
    patches: Patches = None,
    as_json: Json = False,
) -> None:
    """Print the page of one patch: the claim, the code before and after, the effect, and when to leave it off."""
    _run("show", as_json, name, tree, patches or [], as_json)


@app.command()
def diff(
    ids: Ids = None,
    everything: All = False,
    stat: Annotated[bool, typer.Option("--stat", help="List how much changes in each file.")] = False,
    svg: Annotated[
        Optional[Path], typer.Option("--svg", metavar="FILE", help="Draw the diff as an SVG picture too.")
    ] = None,
    fitting: Fitting = False,
    complete: Complete = False,
    tree: Tree = None,
    patches: Patches = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Show what `apply` would change, or, without names, what is applied now."""
    options = (as_json, stat, svg, fitting)
    _run("diff", as_json, ids or [], everything, tree, patches or [], *options, verbose=verbose)


@app.command()
def apply(
    ids: Ids = None,
    everything: All = False,
    commit: Annotated[bool, typer.Option("--commit", help="One git commit per patch, with its reasons.")] = False,
    fitting: Fitting = False,
    complete: Complete = False,
    allow_dirty: Dirty = False,
    verify: Annotated[bool, typer.Option("--verify", help="Then run the tree, and check that they work.")] = False,
    tree: TreeToPatch = None,
    patches: Patches = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Apply patches and what they require: all of them, or none. Your own edits stay."""
    wish = (commit, fitting, allow_dirty, verify)
    _run("apply", as_json, ids or [], everything, tree, patches or [], as_json, *wish, verbose=verbose)


@app.command()
def revert(
    ids: Ids = None,
    everything: All = False,
    allow_dirty: Dirty = False,
    tree: TreeWithPatches = None,
    patches: Patches = None,
    as_json: Json = False,
) -> None:
    """Take patches out again. After the last one, every byte is as before, except your own edits."""
    _run("revert", as_json, ids or [], everything, tree, patches or [], as_json, allow_dirty)


@app.command()
def update(
    allow_dirty: Dirty = False, tree: TreeWithPatches = None, patches: Patches = None, as_json: Json = False
) -> None:
    """Rewrite the applied patches as this version of newtfix has them. Your own edits stay."""
    _run("update", as_json, tree, patches or [], as_json, allow_dirty)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder, or an empty one.")],
    ids: Ids = None,
    everything: All = False,
    relative_to: Annotated[
        Optional[str],
        typer.Option("--relative-to", metavar="tree|repo", help="Where paths start; else the repository."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a series that is there.")] = False,
    fitting: Fitting = False,
    complete: Complete = False,
    tree: Tree = None,
    patches: Patches = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Write a series of patch files, one per patch, that `git am`, quilt and `patch -p1` take."""
    others = (relative_to, force, tree, patches or [], as_json, fitting)
    _run("export", as_json, folder, ids or [], everything, *others, verbose=verbose)


@app.command()
def status(tree: Tree = None, patches: Patches = None, as_json: Json = False) -> None:
    """Show the state of every patch in the tree, and where it is seen."""
    _run("status", as_json, tree, patches or [], as_json)


@app.command()
def scan(
    arguments: Annotated[
        Optional[list[str]], typer.Argument(metavar="KEY=VALUE", help="Settings that the numbers are made from.")
    ] = None,
    tree: Tree = None,
    patches: Patches = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="A document to paste into an issue.")] = False,
    as_json: Json = False,
    sarif: Annotated[bool, typer.Option("--sarif", help="SARIF 2.1.0, for code review tools.")] = False,
    more: Annotated[Optional[list[str]], typer.Option("--set", metavar="KEY=VALUE", help="The same.")] = None,
) -> None:
    """Report every discrepancy of a tree, with evidence and numbers, from its text alone; the tree is not run."""
    _run("scan", as_json, [*(more or []), *(arguments or [])], tree, patches or [], as_json, markdown, sarif)


@app.command()
def check(
    ids: Ids = None, everything: All = False, tree: Tree = None, patches: Patches = None, as_json: Json = False
) -> None:
    """Exit with 1 unless the named patches, or all, are whole in the tree, edits included, or have nothing to fix."""
    _run("check", as_json, ids or [], everything, tree, patches or [], as_json)


@app.command()
def trust(
    folders: Annotated[Optional[list[Path]], typer.Argument(metavar="DIR", help="Folders of patches.")] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Take the permission back.")] = False,
    as_json: Json = False,
) -> None:
    """Let newtfix run folders of patches that a tree names, as they are now; without names, list them."""
    _run("trust", as_json, folders or [], forget, as_json)


@app.command()
def verify(
    ids: Ids = None, everything: All = False, tree: Tree = None, patches: Patches = None, as_json: Json = False
) -> None:
    """Run the tree's own classes with fakes around them; exit with 1 unless they do what the patches promise."""
    _run("verify", as_json, ids or [], everything, tree, patches or [], as_json)


@app.command()
def parity(
    fixture: Annotated[Path, typer.Argument(metavar="FIXTURE", help="Recorded numbers: an npz file.")],
    tree: Tree = None,
    patches: Patches = None,
    tol: Annotated[float, typer.Option("--tol", help="The largest relative error that counts as equal.")] = 1e-4,
    as_json: Json = False,
) -> None:
    """Run the tree's world model and losses, and compare with recorded numbers; exit with 1 unless they agree."""
    _run("parity", as_json, fixture, tree, patches or [], tol, as_json)


@app.command(context_settings={"ignore_unknown_options": True})
def train(
    arguments: Annotated[Optional[list[str]], typer.Argument(metavar="KEY=VALUE", help="Passed on as it is.")] = None,
    tree: Tree = None,
) -> None:
    """Run the tree's trainer. Everything after `--` is passed on: `newtfix train -- --help`."""
    _run("train", False, arguments or [], tree)


@app.command(context_settings={"ignore_unknown_options": True})
def evaluate(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="An agent: a file checkpoints/*.pt.")],
    arguments: Annotated[Optional[list[str]], typer.Argument(metavar="KEY=VALUE", help="Passed on as it is.")] = None,
    policy: Annotated[bool, typer.Option("--policy", help="The policy alone, without planner.")] = False,
    episodes: Annotated[int, typer.Option("--episodes", min=1, help="Episodes of each task and seed.")] = 10,
    seeds: Annotated[str, typer.Option("--seeds", metavar="1,2,3", help="Seeds, with commas between.")] = "1",
    video: Annotated[
        Optional[Path], typer.Option("--video", metavar="FILE", help="The first episode, as .gif or .mp4.")
    ] = None,
    tree: Tree = None,
    as_json: Json = False,
) -> None:
    """Measure an agent: return per task, mean, interquartile mean and interval. Runs the tree's code."""
    _run("evaluate", as_json, checkpoint, arguments or [], policy, episodes, seeds, video, tree, as_json)


@app.command(context_settings={"ignore_unknown_options": True})
def demos(
    arguments: Annotated[Optional[list[str]], typer.Argument(metavar="KEY=VALUE", help="Passed on as it is.")] = None,
    tree: Tree = None,
) -> None:
    """Record demonstrations with an agent from a checkpoint, to pretrain others on: `newtfix demos -- --help`."""
    _run("demos", False, arguments or [], tree)


ablate.add(app, _run)
