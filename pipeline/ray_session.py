"""Ray's own processes: started on this machine alone, or joined at an address; watched, and left."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
import ray._private.ray_constants
import ray._private.worker
import ray.exceptions

from pipeline.errors import EngineError
from pipeline.redaction import redacted

CONTINUE = "The same command goes on from what is done."

# As a path: a module would do, but not in a job that `ray job submit` has started.
_PACKAGE = str(Path(__file__).parent)
_OBJECT_STORE_BYTES = 256 * 1024 * 1024
_OPEN_FILES, _OPEN_FILES_PER_WORKER = 256, 16
_OPEN_FILES_ON_CLUSTER = 65_536
_VITAL_PROCESSES = ("raylet", "gcs_server")
# On one machine there is no other node to go on with: a busy one must not be declared dead for answering late.
_PATIENCE = {"health_check_timeout_ms": 60_000, "health_check_failure_threshold": 20}
# What Ray starts too, and nobody asks on one machine: the dashboard (`include_dashboard` leaves out its page only),
# what sends logs to the driver although `log_to_driver` is off, and the monitor of an autoscaler.
_UNASKED = ("start_api_server", "start_log_monitor", "start_monitor")
_TOKEN = (
    "The cluster asks for a token. Set RAY_AUTH_MODE=token, and give the token of its head node in RAY_AUTH_TOKEN or "
    "in the file ~/.ray/auth_token."
)


def start(address: str | None, n_workers: int, cpus_per_worker: int = 1) -> None:
    """Start Ray on this machine with room for so many workers, or join the cluster at `address`.

    Without an address everything listens on loopback alone, also where another cluster runs on this machine. A
    cluster gets the code of this package for its workers: nodes need not have it, or may have another version.

    Raises:
        EngineError: it cannot be started or reached.
    """
    if address is not None and address.startswith("ray://"):
        raise EngineError(
            f"{address} is an address for Ray's client, which this program does not use",
            remedy="Run the command on a machine that has joined the cluster; --address auto finds it.",
        )
    _allow_open_files(n_workers, on_cluster=address is not None)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    try:
        with _own_signal_handlers():
            # What Ray does by default on desktops: without a cluster everything listens on loopback alone.
            os.environ[ray._private.ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0" if address is None else "1"
            ray._private.ray_constants.ENABLE_RAY_CLUSTER = address is not None
            if address is not None:
                ray.init(address=address, runtime_env={"py_modules": [_PACKAGE]}, **quiet)
                return
            _start_here(n_workers * cpus_per_worker, quiet)
    except Exception as error:  # that is what Ray raises where a machine is too busy to start it in time
        raise _unreachable(address, error) from error


def _start_here(n_cpus: int, quiet: dict[str, Any]) -> None:
    """Ray waits half a minute for a first sign of its own processes; a busy machine or a slow disk takes longer.

    What a try has left behind ends with this process. The last one leaves nothing out.
    """
    for is_last in (False, False, True):
        try:
            with contextlib.nullcontext() if is_last else _few_processes():
                ray.init(
                    address="local",
                    num_cpus=n_cpus,
                    include_dashboard=False,
                    object_store_memory=_OBJECT_STORE_BYTES,
                    _system_config=_PATIENCE,
                    **quiet,
                )
            return
        except Exception as error:
            # Other errors are of a kind of their own.
            if is_last or type(error) is not Exception:
                raise
            ray.shutdown()


def stop() -> None:
    """End what was started here, or leave the cluster; workers end either way."""
    ray.shutdown()


def check() -> None:
    """Raise EngineError if Ray's own processes on this machine have died: workers would be waited for in vain."""
    node = ray._private.worker._global_node
    dead: list[tuple[str, Any]] = node.dead_processes() if node is not None else []
    for kind, _ in dead:
        if kind in _VITAL_PROCESSES:
            raise EngineError(f"Ray has broken down (its process {kind} has died)", remedy=CONTINUE)


def reason(error: BaseException) -> str:
    """The first line of what an error says, which is the cause; what Ray adds are traces and hints for operators.

    It is shown and recorded, so secrets in addresses are left out.
    """
    if isinstance(error, ray.exceptions.RayTaskError):
        return f"{type(error.cause).__name__}: {reason(error.cause)}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return redacted(lines[0]) if lines else type(error).__name__


def _unreachable(address: str | None, error: BaseException) -> EngineError:
    if address is None:
        remedy = "See whether memory, /tmp or the limits of files and processes (ulimit -a) are used up."
        return EngineError(f"Ray cannot be reached on this machine ({reason(error)})", remedy=remedy)
    remedy = (
        "The command must run on a machine that has joined the cluster (`ray start --address ...`), with the same "
        "versions of Ray and Python. Without --address it runs on this machine alone."
    )
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ray.exceptions.AuthenticationError):
            return EngineError(f"Ray cannot be reached at {address} (it refuses the token)", remedy=_TOKEN)
        cause = cause.__cause__
    # What differs between the versions is said in several lines.
    lines = redacted(" ".join(line.strip() for line in str(error).splitlines() if line.strip()))
    return EngineError(f"Ray cannot be reached at {address} ({lines or type(error).__name__})", remedy=remedy)


def _allow_open_files(n_workers: int, *, on_cluster: bool) -> None:
    """Raise the soft limit of open files as far as it is needed; Ray hangs and times out where it is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # How many workers a cluster will have, nobody knows yet: as many files as may be.
    needed = _OPEN_FILES_ON_CLUSTER if on_cluster else _OPEN_FILES + n_workers * _OPEN_FILES_PER_WORKER
    if resource.RLIM_INFINITY in (soft, hard) or soft >= needed:
        return
    if hard < needed and not on_cluster:
        raise EngineError(
            f"this process may open {hard} files; {n_workers} workers need {needed}",
            remedy=f"Raise the limit (ulimit -n {needed}), or give fewer --workers.",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, hard), hard))


@contextlib.contextmanager
def _few_processes() -> Iterator[None]:
    """Within, Ray starts none of `_UNASKED`, which is a third of what starting takes and most of what ending does.

    There is no setting for it. A release of Ray that names them otherwise starts everything.
    """
    module: Any = getattr(ray._private, "node", None)
    node = getattr(module, "Node", None)
    if node is None:
        yield
        return
    module.Node = type("NodeOfFewProcesses", (node,), {name: lambda *args, **kwargs: None for name in _UNASKED})
    try:
        yield
    finally:
        module.Node = node


@contextlib.contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Keep what this process does on signals: Ray puts a handler in place that ends it with a stack trace."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None:
                signal.signal(number, handler)
