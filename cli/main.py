"""The entry point: a group whose commands are imported only when they are used.

`facemask-batch --help` must answer at once, so importing this module imports click and nothing heavier;
each command's module may import what it likes inside its function.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
import traceback
from types import TracebackType
from typing import Any

import click

from cli.text import echo
from pipeline.errors import ConfigError, FacemaskBatchError
from pipeline.redaction import redacted

# command -> (module, attribute, one-line help); the help stands here so that --help imports no command.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "run": ("cli.run", "run", "Audit recordings and image folders."),
    "dataset": ("cli.dataset", "dataset", "Fetch, check and divide labelled face pictures."),
    "train": ("cli.train", "train", "Train a mask classifier on labelled faces."),
    "evaluate": ("cli.evaluate", "evaluate", "Measure a classifier on labelled faces."),
    "export": ("cli.export", "export", "Write results of an audit, or models of a training run, for other programs."),
    "classify": ("cli.classify", "classify", "Judge the faces of pictures."),
    "incidents": ("cli.incidents", "incidents", "Find persons and incidents anew, without decoding."),
    "evidence": ("cli.evidence", "evidence", "Make the pictures of incidents."),
    "init-config": ("cli.init_config", "init_config", "Write a commented configuration file."),
    "zones": ("cli.zones", "zones", "Draw the zones of a camera onto a frame."),
    "annotate": ("cli.annotate", "annotate", "Draw into a recording what the audit saw."),
    "sample": ("cli.sample", "sample", "Draw faces for a person to judge, and score the answers."),
    "report": ("cli.report", "report", "Write the report of an audit."),
    "verify": ("cli.verify", "verify", "Check an audit's inputs, models and tables against its ledger."),
    "inspect": ("cli.inspect", "inspect", "Show what the probe knows about recordings."),
    "train-detector": (
        "cli.train_detector",
        "train_detector",
        "Train the face detector on photographs with face boxes.",
    ),
    "evaluate-detector": (
        "cli.evaluate_detector",
        "evaluate_detector",
        "Measure a face detector on annotated photographs.",
    ),
}

_GOES_ON = "The same command goes on where this one stopped."
_AFTER_INTERRUPTION = {"run": _GOES_ON, "train-detector": _GOES_ON, "train": "With --resume it goes on."}
_OWN_PACKAGES = ("cli", "pipeline", "training")
EXIT_RUN_FAILED = 1
EXIT_WRONG_USAGE = 2
EXIT_INTERRUPTED = 130


class LazyGroup(click.Group):
    """A click group that imports a command's module when the command is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry[2]) for name, entry in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="facemask-batch")
def group() -> None:
    """Audit recorded video and image folders for mask compliance."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors are printed as cause, empty line, remedy, and end with exit code 1."""
    debug = os.environ.get("FACEMASK_BATCH_DEBUG") == "1"
    sys.excepthook = _show_unforeseen
    try:
        outcome: Any = group.main(args=arguments, standalone_mode=False)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.Abort:
        name = next(iter(sys.argv[1:] if arguments is None else arguments), "")
        echo(f"Interrupted. {_AFTER_INTERRUPTION.get(name, '')}".rstrip(), err=True)
        sys.exit(EXIT_INTERRUPTED)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        echo(*redacted(shown.getvalue()).rstrip("\n").split("\n"), err=True)  # it repeats what was typed
        sys.exit(error.exit_code)
    except FacemaskBatchError as error:
        if debug:
            raise
        _explain(str(error), error.remedy)
        sys.exit(EXIT_WRONG_USAGE if isinstance(error, ConfigError) else EXIT_RUN_FAILED)
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        if debug or package in _OWN_PACKAGES:
            raise
        _explain(
            f"the Python package {package!r}, which this command needs, is not installed",
            "pip install 'facemask-batch[train]' installs what training and measuring need.",
        )
        sys.exit(EXIT_RUN_FAILED)
    sys.exit(outcome if isinstance(outcome, int) else 0)


def _explain(cause: str, remedy: str | None) -> None:
    echo(f"Error: {cause}", *(("", remedy) if remedy else ()), err=True)


def _show_unforeseen(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The stack trace, as Python would show it, but what it says of addresses may hold secrets."""
    lines = "".join(traceback.format_exception(kind, error, trace)).splitlines()
    echo(*map(redacted, lines), err=True)


if __name__ == "__main__":
    main()
