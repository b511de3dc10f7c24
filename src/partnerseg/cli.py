"""The command `partnerseg`: what a user types, and what it answers."""

import argparse
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path

DONE, FAILED, WRONG, INTERRUPTED, BUSY = 0, 1, 2, 130, 75


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Args:
        argv: The words after `partnerseg`; None takes them from the shell.

    Returns:
        0 done, 1 some page failed, 2 wrong use or input, 75 somebody else runs it, 130 interrupted.
    """
    arguments = _make_parser().parse_args(argv)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *rest, **more: _tell(f"note: {message}")
            return arguments.command(arguments)
    except KeyboardInterrupt:
        _tell("stopped; the same command goes on where it stopped")
        return INTERRUPTED
    except (ValueError, OSError, RuntimeError) as error:
        if not _is_for_user(error):
            raise
        _tell(f"partnerseg: {error}")
        return BUSY if type(error).__name__ == "EditionBusy" else WRONG


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="partnerseg", description="Reports about partners, from parameters and data.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="make an edition: every notebook for every region, and its index")
    _add_params(run)
    run.add_argument("--regions", metavar="A,B", help="only these regions (`all` is the whole programme)")
    run.add_argument("--as-of", metavar="DATE", default="", help="date YYYY-MM-DD in place of programme.as_of")
    run.add_argument("--jobs", metavar="N", type=int, help="notebooks run at the same time, in place of batch.jobs")
    run.add_argument("--out", metavar="DIR", help="folder of the editions, in place of batch.reports_dir")
    run.set_defaults(command=_run)

    check = commands.add_parser("check", help="read the tables and show what became of every row, nothing else")
    _add_params(check)
    check.set_defaults(command=_check)

    over = commands.add_parser("hand-over", help="hand the plan's steps over to a CRM: what changed, who consents")
    _add_params(over)
    over.add_argument("--form", metavar="FORM", default="jsonl", help="hubspot, salesforce, postgresql or jsonl (this)")
    over.add_argument("--to", metavar="PLACE", required=True, help="folder; for postgresql a variable with its address")
    over.add_argument("--as-of", metavar="DATE", default="", help="date YYYY-MM-DD in place of programme.as_of")
    over.set_defaults(command=_hand_over)

    simulate = commands.add_parser("simulate", help="write the raw files of a sample programme")
    simulate.add_argument("directory", metavar="DIR", type=Path, help="folder for the files")
    simulate.add_argument("--partners", metavar="N", type=int, default=2_000, help="number of partners (2000)")
    simulate.add_argument("--seed", metavar="N", type=int, default=0, help="random seed (0)")
    simulate.set_defaults(command=_simulate)
    return parser


def _add_params(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--params", metavar="DIR", required=True, help="folder with programme.yaml")


def _run(arguments: argparse.Namespace) -> int:
    from partnerseg.batch import run

    result = run(
        arguments.params,
        regions=arguments.regions.split(",") if arguments.regions is not None else None,
        as_of=arguments.as_of,
        jobs=arguments.jobs,
        out=arguments.out,
    )
    for page in result.failures:
        _tell(f"failed: {page.task}: {page.failure['cell']}: {page.failure['error']}")
    if not result.made and not result.failures:
        _say("Nothing changed since the edition was published.")
    _say(f"The edition: {result.index}")
    if result.failures:
        _say(f"Pages that failed: {len(result.failures)}. The index says why; the same command tries only them again.")
        return FAILED
    _say("Next: open that file in a browser.")
    _say(f"Your own data: add a mapping to {Path(arguments.params) / 'sources'} and see what is read by")
    _say(f"`partnerseg check --params {arguments.params}`; the README tells how.")
    _say("To look closer: `make lab` opens the notebooks in JupyterLab; edit, then run this command again.")
    return DONE


def _check(arguments: argparse.Namespace) -> int:
    from partnerseg.params import load_params
    from partnerseg.programme.sources import open_programme

    programme = open_programme(load_params(arguments.params))
    _say(programme.ledger.to_string(index=False))
    for message in programme.notices["message"]:
        _say(message)
    return DONE


def _hand_over(arguments: argparse.Namespace) -> int:
    from partnerseg.hand_over import TABLE, check_place, hand_over, list_steps
    from partnerseg.programme_pass import open_models

    check_place(arguments.form, arguments.to)
    models = open_models(arguments.params, as_of=arguments.as_of, progress=_tell)
    receipt = hand_over(
        list_steps(models),
        models.programme.frame("consents"),
        as_of=models.params.programme.as_of,
        form=arguments.form,
        to=arguments.to,
        purpose=models.params.hand_over.purpose,
    )
    _say(f"Planned {receipt.planned}, changed {receipt.changed}, withdrawn {receipt.withdrawn}.")
    _say(f"Unchanged since the last time: {receipt.unchanged}.")
    for reason, count in receipt.left_out.items():
        _say(f"Left out, {reason.replace('_', ' ')}: {count}.")
    if arguments.form == "postgresql":
        _say(f"No file was written. The table {TABLE} holds the plan.")
    else:
        _say(f"The file: {Path(arguments.to) / receipt.file}" if receipt.file else "No file was written.")
    return DONE


def _simulate(arguments: argparse.Namespace) -> int:
    from partnerseg.programme.simulate import simulate_programme, write_sample

    sample = simulate_programme(arguments.partners, random_state=arguments.seed)
    write_sample(sample, arguments.directory)
    _say(f"A sample programme of {arguments.partners} partners is in {arguments.directory}")
    return DONE


def _is_for_user(error: Exception) -> bool:
    """Tell whether this package raised the error itself: then its sentence says all, without a traceback."""
    if isinstance(error, OSError):
        return True
    frames = list(traceback.walk_tb(error.__traceback__))
    return frames[-1][0].f_globals.get("__name__", "").partition(".")[0] == "partnerseg"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _tell(text: str) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
