"""A Ray cluster of several machines on one: nodes with folders, interpreters and file systems of their own."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID

from tests.faults.harness import PATIENCE_S, named

# A node that has been killed is to be missed within seconds; one that is merely slow is not.
_HEALTH_CHECKS = json.dumps(
    {"health_check_initial_delay_ms": 500, "health_check_period_ms": 500, "health_check_failure_threshold": 3}
)
# Hides each path behind an empty folder, then becomes the command after `--`.
_HIDE = 'while [ "$1" != -- ]; do mount --bind "$EMPTY" "$1" || exit 1; shift; done; shift; exec "$@"'


@cache
def can_hide() -> bool:
    """Whether this user may give a process a view of the file system of its own."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


def interpreter_without_package(folder: Path) -> Path:
    """A Python that has all libraries of this one, but not this project, as on a machine that never saw it."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    (site_packages_of(folder) / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def site_packages_of(folder: Path) -> Path:
    """Where a virtual environment keeps its packages."""
    return folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


@dataclass
class Machine:
    """A node: `ray start --block` and everything below it."""

    process: subprocess.Popen[bytes]

    @property
    def processes(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    @property
    def workers(self) -> list[psutil.Process]:
        """The processes that decode and judge."""
        return named(self.processes, "ray::Worker")

    def kill(self) -> None:
        """kill -9 of everything at once, as when the power goes."""
        doomed = self.processes
        for process in named(doomed, "raylet") + doomed:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.kill()
        self.process.wait()
        psutil.wait_procs(doomed, timeout=30)


def free_port() -> int:
    """A port on which nobody listens at present."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


@dataclass
class Cluster:
    """A head without CPUs, which the driver joins, and machines beside it.

    With `n_on_demand`, Ray's own autoscaler runs on the head and starts and ends so many machines of one CPU, which
    are processes below it (Ray's provider for tests of the autoscaler).
    """

    python: Path
    n_on_demand: int = 0
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="ray-")))
    machines: list[Machine] = field(default_factory=list)
    address: str = ""

    def __post_init__(self) -> None:
        self.environment = {
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",
            "EMPTY": str(self.folder / "empty"),
        }
        (self.folder / "empty").mkdir()
        port = free_port()
        about = ["--port", str(port), "--include-dashboard=false", "--system-config", _HEALTH_CHECKS]
        if self.n_on_demand:
            self.environment |= {
                "RAY_FAKE_CLUSTER": "1",
                "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD_NODE_ID,
                "RAY_enable_autoscaler_v2": "0",
                "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            }
            demand = self.folder / "autoscaler.json"
            demand.write_text(json.dumps(self._autoscaling(f"{ray.util.get_node_ip_address()}:{port}")))
            about.append(f"--autoscaling-config={demand}")
        self.head = self._start("--head", *about)
        # Ray writes there how others find it.
        self.address = self._wait_for(self.folder / "0" / "ray_current_cluster").strip()

    @property
    def n_machines(self) -> int:
        """How many there are below the head's process, itself included."""
        return len(named(self.head.processes, "raylet"))

    def add(
        self,
        n_cpus: int = 1,
        *,
        hidden: tuple[Path, ...] = (),
        python: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Machine:
        """A further machine; `hidden` folders are empty for it, `environment` is its own alone."""
        return self._start(
            "--address", self.address, n_cpus=n_cpus, hidden=hidden, python=python, environment=environment
        )

    def kill_machines(self) -> None:
        """Leave the head alone."""
        for machine in self.machines[1:]:
            machine.kill()

    def close(self) -> None:
        """Kill all that is left."""
        self.kill_machines()
        self.head.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(
        self,
        *arguments: str,
        n_cpus: int = 0,
        hidden: tuple[Path, ...] = (),
        python: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Machine:
        # Sockets have short paths, so the folders have short names.
        folder = self.folder / str(len(self.machines))
        folder.mkdir()
        command = [str(python or self.python), "-m", "ray.scripts.scripts", "start", "--block", *arguments]
        command += ["--temp-dir", str(folder), "--num-cpus", str(n_cpus), "--object-store-memory", str(100 << 20)]
        if hidden:
            command = ["unshare", "-m", "sh", "-c", _HIDE, "sh", *map(str, hidden), "--", *command]
        own = {**self.environment, **(environment or {})}
        with (folder / "output.txt").open("wb") as output:
            process = subprocess.Popen(command, env=own, cwd=folder, stdout=output, stderr=output)
        self.machines.append(Machine(process))
        return self.machines[-1]

    def _autoscaling(self, address: str) -> dict[str, Any]:
        provider = {"type": "fake_multinode", "gcs_address": address, "use_node_id_as_ip": True}
        lists = "initialization_commands setup_commands head_setup_commands worker_setup_commands rsync_exclude"
        more = "head_start_ray_commands worker_start_ray_commands cluster_synced_files"
        kinds = {"ray.head.default": (0, 0), "machine": (1, self.n_on_demand)}
        return {
            "cluster_name": "on_demand",
            "max_workers": self.n_on_demand,
            "upscaling_speed": 10.0,
            "idle_timeout_minutes": 0.05,
            "provider": {**provider, "disable_node_updaters": True, "disable_launch_config_check": True},
            "head_node_type": "ray.head.default",
            "available_node_types": {
                kind: {
                    "resources": {"CPU": n_cpus},
                    "node_config": {},
                    "min_workers": 0,
                    "max_workers": n_most,
                }
                for kind, (n_cpus, n_most) in kinds.items()
            },
            **{name: [] for name in f"{lists} {more}".split()},
            **{name: {} for name in ("auth", "docker", "file_mounts")},
        }

    def _wait_for(self, path: Path) -> str:
        deadline = time.monotonic() + PATIENCE_S
        while not path.exists() or not path.read_text().strip():
            assert self.head.process.poll() is None, (self.folder / "0" / "output.txt").read_text()
            assert time.monotonic() < deadline, "the head of the cluster does not start"
            time.sleep(0.1)
        return path.read_text()
