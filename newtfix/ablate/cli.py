"""The command line of ablations: names, options and help, as in `newtfix.cli`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

_STUDY = "study"
Jobs = Annotated[int | None, typer.Option("--jobs", metavar="N", help="Runs at once; else as many as fit.")]
PerGpu = Annotated[int, typer.Option("--runs-per-gpu", metavar="N", help="Runs that share a CUDA device.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
Study = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the study.")]


class _OwnFirst(TyperGroup):
    """`newtfix ablate task=...` plans and runs; `run`, `submit` and `status` are commands beside that."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args if args and args[0] in self.commands else [_STUDY, *args])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return "" if name == _STUDY else name, command, rest


def add(app: typer.Typer, run: Callable[..., None]) -> None:
    """Put the commands into the application; `run` imports and runs one."""
    ablate = typer.Typer(cls=_OwnFirst, add_completion=False, rich_markup_mode=None)
    app.add_typer(ablate, name="ablate", help="Plan and run an experiment that says which patches matter.")

    @ablate.command(_STUDY, hidden=True)
    def study(
        settings: Annotated[
            list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Settings that all runs share.")
        ] = None,
        folder: Annotated[Path, typer.Option("--dir", metavar="DIR", help="The folder of the study.")] = Path(
            "ablation"
        ),
        budget: Annotated[
            int | None, typer.Option("--budget", metavar="RUNS", help="Runs that it may take; else the fewest.")
        ] = None,
        hours: Annotated[
            float | None, typer.Option("--hours", metavar="H", help="Or the hours that it may take here.")
        ] = None,
        design: Annotated[
            str,
            typer.Option(
                "--design", help="screen, one-at-a-time, full, pairs (base and all), or both: screen, then confirm."
            ),
        ] = "both",
        factors: Annotated[
            str | None, typer.Option("--factors", metavar="ID,ID", help="Only these patches; else all that fit.")
        ] = None,
        hold: Annotated[
            list[str] | None,
            typer.Option("--hold", metavar="ID=on|off|free", help="Hold a patch on in the screen, or off everywhere."),
        ] = None,
        outcome: Annotated[
            str, typer.Option("--outcome", help="training (area under the curve), evaluation or final.")
        ] = "training",
        delta: Annotated[
            float, typer.Option("--delta", help="The smallest difference that matters, as a part of the mean return.")
        ] = 0.1,
        spread: Annotated[
            float, typer.Option("--spread", help="The deviation of a run that power is computed with, as such a part.")
        ] = 0.1,
        seed: Annotated[int, typer.Option("--seed", help="The first seed.")] = 1,
        plan_only: Annotated[
            bool,
            typer.Option(
                "--plan-only",
                help="Plan and make the short runs; the others later.",
            ),
        ] = False,
        no_inertness: Annotated[
            bool, typer.Option("--no-inertness", help="Leave out the short runs that find patches without effect.")
        ] = False,
        jobs: Jobs = None,
        runs_per_gpu: PerGpu = 1,
        tree: Annotated[Path | None, typer.Option("--tree", metavar="DIR", help="A tree; else newt_base.")] = None,
        patches: Annotated[
            list[Path] | None, typer.Option("--patches", metavar="DIR", help="More patches: loaded as code.")
        ] = None,
        as_json: Json = False,
    ) -> None:
        """Plan an experiment that says which patches matter, and run it here. Run the same again to go on.

        Commands beside that: `newtfix ablate run DIR`, `newtfix ablate submit DIR` (a cluster), `newtfix ablate status
        DIR`; each has its --help. `newtfix report DIR` says what the runs show.
        """
        options = {
            "tree": str(tree) if tree else "",
            "patches": tuple(map(str, patches or [])),
            "design": design,
            "budget": budget,
            "hours": hours,
            "factors": tuple(one for one in (factors or "").split(",") if one),
            "hold": tuple(hold or []),
            "outcome": outcome,
            "delta": delta,
            "spread": spread,
            "seed": seed,
            "inert": not no_inertness,
        }
        run("ablate", as_json, settings or [], options, folder, plan_only, jobs, runs_per_gpu, as_json)

    @ablate.command("run")
    def run_(
        folder: Study,
        jobs: Jobs = None,
        index: Annotated[int | None, typer.Option("--index", metavar="I", help="Only the run of this number.")] = None,
        runs_per_gpu: PerGpu = 1,
    ) -> None:
        """Make the runs of a study that are not made yet. Any number of these commands may work on one study.

        It runs code: of the tree that the study's plan.json names, and of the module of a task gym:MODULE:ID. Read
        plan.json before you run a study of somebody else's.
        """
        run("ablate_run", False, folder, jobs, index, runs_per_gpu)

    @ablate.command()
    def submit(
        folder: Study,
        engine: Annotated[str, typer.Option("--engine", help="slurm, local or debug: submitit's.")] = "slurm",
        runs_per_job: Annotated[
            int, typer.Option("--runs-per-job", metavar="K", help="Runs that a job makes at once.")
        ] = 1,
        partition: Annotated[str, typer.Option("--partition", metavar="NAME", help="Of the cluster.")] = "",
        minutes: Annotated[int, typer.Option("--time", metavar="MINUTES", help="Limit of a job.")] = 1440,
        gpus: Annotated[int, typer.Option("--gpus", metavar="N", help="Of a job.")] = 0,
        memory: Annotated[int, typer.Option("--memory", metavar="GB", help="Of a job.")] = 0,
        more: Annotated[
            list[str] | None, typer.Option("--slurm", metavar="KEY=VALUE", help="Other options of SLURM.")
        ] = None,
        script: Annotated[bool, typer.Option("--print", help="Print an sbatch script instead.")] = False,
        wait: Annotated[bool, typer.Option("--wait", help="Wait for the jobs.")] = False,
    ) -> None:
        """Hand the runs of a study that are known and not made yet to a cluster, as one array."""
        resources = {"partition": partition, "minutes": minutes, "gpus": gpus, "memory": memory}
        run("ablate_submit", False, folder, engine, runs_per_job, resources, more or [], script, wait)

    @ablate.command()
    def status(folder: Study, as_json: Json = False) -> None:
        """Show the runs of a study: done, under way, waiting."""
        run("ablate_status", as_json, folder, as_json)

    @app.command()
    def report(
        folder: Study,
        html: Annotated[
            Path | None, typer.Option("--html", metavar="FILE", help="Write the report as a page of its own.")
        ] = None,
        pictures: Annotated[
            Path | None, typer.Option("--pictures", metavar="DIR", help="Write the curves and the forest plot as PNG.")
        ] = None,
        markdown: Annotated[bool, typer.Option("--markdown", help="Print the report as Markdown.")] = False,
        as_json: Json = False,
    ) -> None:
        """Say what the runs of an ablation show, also while it is running."""
        run("report", as_json, folder, html, pictures, markdown, as_json)
