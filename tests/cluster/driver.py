"""The command line as the driver of a cluster, in a process of its own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.cluster.machines import Cluster
from tests.faults.harness import PATIENCE_S, RunningAudit, end

# The command line, with less patience where waiting would be all that a test does.
IMPATIENT = """
from pipeline import attempts, workforce
workforce.CENSUS_S, workforce.IDLE_S, attempts.NEWCOMERS_S = 0.5, 1.0, 3.0
attempts.LOST_NODES = {lost_nodes}
from cli.main import main
main()
"""
# What `ray job submit` gives to the command that it starts: settings of the job, into which ours must fit.
SUBMITTED = {"RAY_JOB_CONFIG_JSON_ENV_VAR": '{"runtime_env": {"env_vars": {"SUBMITTED": "1"}}}'}


@contextlib.contextmanager
def audit_on(
    cluster: Cluster,
    inputs: list[str],
    folder: Path | str,
    *flags: str,
    cwd: Path,
    lost_nodes: int = 3,
    environment: Mapping[str, str] | None = None,
) -> Iterator[RunningAudit]:
    """`facemask-batch run --address`, in a folder where no node is; `environment` is the driver's alone."""
    command = [sys.executable, "-c", IMPATIENT.format(lost_nodes=lost_nodes), "run", *inputs]
    process = subprocess.Popen(
        [*command, "--out", str(folder), "--address", cluster.address, *flags],
        env={**cluster.environment, **SUBMITTED, **(environment or {})},
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    audit = RunningAudit(process, Path(folder))
    try:
        yield audit
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
        end(audit.ray_processes)


def run_on(cluster: Cluster, inputs: list[str], folder: Path, *flags: str, cwd: Path) -> tuple[int, str]:
    """An audit from start to end: exit code and output."""
    with audit_on(cluster, inputs, folder, *flags, cwd=cwd) as audit:
        return audit.wait(PATIENCE_S)
