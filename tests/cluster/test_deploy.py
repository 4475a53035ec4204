"""What lies in deploy/ is of the form that its readers want, and agrees with itself and with the project.

Ray's wheel holds the schema of the launcher's file. That of a RayJob is only to be had from a Kubernetes cluster, so
rayjob_schema.json states the fields that we use, written down from KubeRay's reference of its API.
"""

from __future__ import annotations

import copy
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from cli.run import run

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
# What /etc/profile of Debian 12 sets for users other than root, whatever was set before.
PATH_OF_LOGIN_SHELLS = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"
EXTRAS_OF_THE_IMAGE = ("cluster", "s3", "gcs", "azure")


@pytest.fixture
def rayjob() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "rayjob.yaml").read_text())


@pytest.fixture
def launcher() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "cluster.yaml").read_text())


def rayjob_schema() -> dict[str, Any]:
    return json.loads(Path(__file__).with_name("rayjob_schema.json").read_text())


def pinned() -> dict[str, Version]:
    """Versions by distribution, as deploy/constraints.txt has them."""
    lines = [line for line in (DEPLOY / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    pairs = (line.split("==") for line in lines)
    return {normal(name): Version(version) for name, version in pairs}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def dockerfile() -> list[list[str]]:
    """The instructions, each as its words."""
    text = re.sub(r"\\\n", " ", (DEPLOY / "Dockerfile").read_text())
    return [line.split() for line in text.splitlines() if line and line[0] != "#"]


def last_stage() -> list[list[str]]:
    """The instructions that make the image itself."""
    steps = dockerfile()
    return steps[max(place for place, words in enumerate(steps) if words[0] == "FROM") :]


def test_rayjob_is_of_the_form_that_kuberay_wants(rayjob: dict[str, Any]) -> None:
    schema = rayjob_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(rayjob, schema, cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "entryPoint"), "misspelt"),
        (("spec", "rayClusterSpec", "headGroupSpec", "rayStartParams", "num-cpus"), 0),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "maxReplicas"), "8"),
        (("spec", "shutdownAfterJobFinishes"), False),
        (("spec", "rayClusterSpec", "rayVersion"), "2.60"),
    ],
)
def test_schema_of_the_rayjob_finds_mistakes(rayjob: dict[str, Any], path: tuple[Any, ...], value: Any) -> None:
    wrong: Any = copy.deepcopy(rayjob)
    place = wrong
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, rayjob_schema(), cls=jsonschema.Draft202012Validator)


def test_rayjob_agrees_with_itself(rayjob: dict[str, Any]) -> None:
    cluster = rayjob["spec"]["rayClusterSpec"]
    (group,) = cluster["workerGroupSpecs"]
    (worker,) = group["template"]["spec"]["containers"]
    (head,) = cluster["headGroupSpec"]["template"]["spec"]["containers"]
    words = shlex.split(shlex.split(rayjob["spec"]["entrypoint"])[2])
    assert words[:2] == ["facemask-batch", "run"]
    flags = {option for parameter in run.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= flags
    n_cpus, memory_mib = (
        int(worker["resources"]["limits"]["cpu"]),
        1024 * int(worker["resources"]["limits"]["memory"][:-2]),
    )
    assert int(words[words.index("--workers") + 1]) == group["maxReplicas"] * n_cpus
    # Not all of it: Ray's own processes and its object store need their part.
    assert int(words[words.index("--memory-per-worker") + 1]) * n_cpus < 0.7 * memory_mib
    mounts = {mount["mountPath"]: mount for mount in worker["volumeMounts"]}
    assert mounts["/recordings"]["readOnly"]
    assert {mount["mountPath"] for mount in head["volumeMounts"]} == {"/recordings", "/audits"}
    assert head["image"] == worker["image"]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert Version(cluster["rayVersion"]) == pinned()["ray"]


def test_launcher_file_is_of_the_form_that_ray_wants(launcher: dict[str, Any], rayjob: dict[str, Any]) -> None:
    schema = json.loads((Path(ray.__file__).parent / "autoscaler/ray-schema.json").read_text())
    jsonschema.validate(launcher, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**launcher, "max_worker": 8}, schema)
    types = launcher["available_node_types"]
    assert types[launcher["head_node_type"]]["resources"] == {"CPU": 0}
    assert types["workers"]["max_workers"] == launcher["max_workers"]
    head = rayjob["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    assert launcher["docker"]["image"] == head["image"]


def test_image_is_made_of_what_is_there() -> None:
    steps = dockerfile()
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [words[1:-1] for words in steps if words[0] == "COPY" and not words[1].startswith("--from")]
    for source in (source for sources in copied for source in sources):
        assert (ROOT / source).exists(), source
        assert source in allowed, source
    assert {source for sources in copied for source in sources} == set(allowed)
    assert all((ROOT / name).exists() for name in allowed)


def test_image_does_not_run_as_root_and_starts_the_program() -> None:
    steps = last_stage()
    assert ["USER", "1000"] in steps
    assert ["ENTRYPOINT", '["facemask-batch"]'] in steps
    assert not any("pip" in word for words in steps for word in words)


def test_login_shells_in_the_image_find_its_programs(launcher: dict[str, Any], tmp_path: Path) -> None:
    """Ray's launcher runs its commands by `bash --login`, where the image's ENV PATH is lost."""
    commands = launcher["head_start_ray_commands"] + launcher["worker_start_ray_commands"]
    programs = {shlex.split(command)[0] for command in commands} | {"facemask-batch", "python"}
    for folder in ("opt/facemask-batch/bin", "usr/local/bin", "etc/profile.d"):
        (tmp_path / folder).mkdir(parents=True)
    for name in programs:
        (tmp_path / "opt/facemask-batch/bin" / name).touch(mode=0o755)
    parts = [part for words in last_stage() if words[0] == "RUN" for part in " ".join(words[1:]).split("&&")]
    for part in (part for part in parts if "/etc/profile.d" in part or "/usr/local" in part):
        elsewhere = re.sub(r"(?<!\w)/(?=(?:opt|usr/local|etc)/)", f"{tmp_path}/", part)
        subprocess.run(["sh", "-e", "-c", elsewhere], check=True)
    login = f"""
        PATH={PATH_OF_LOGIN_SHELLS.replace("/usr/local", f"{tmp_path}/usr/local")}
        for part in {tmp_path}/etc/profile.d/*.sh; do if [ -r "$part" ]; then . "$part"; fi; done
        command -v "$0"
    """
    for name in programs:
        done = subprocess.run(["bash", "-c", login, name], capture_output=True, text=True, check=False)
        assert done.stdout == f"{tmp_path}/opt/facemask-batch/bin/{name}\n", done.stderr


def test_image_has_what_the_head_needs_to_start_other_machines(launcher: dict[str, Any]) -> None:
    """The head runs Ray's launcher for the workers: by ssh and rsync, and by the library of the cloud."""
    assert launcher["provider"]["type"] == "aws"
    assert "boto3" in pinned()
    installed = {word.partition("=")[0] for words in last_stage() if words[0] == "RUN" for word in words}
    assert {"openssh-client", "rsync"} <= installed


def test_dockerfile_is_as_hadolint_wants_it() -> None:
    program = shutil.which("hadolint", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    assert program is not None, "hadolint is part of the extra dev"
    done = subprocess.run([program, "--no-color", DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_constraints_pin_what_the_image_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + [
        text for extra in EXTRAS_OF_THE_IMAGE for text in project["optional-dependencies"][extra]
    ]
    versions = pinned()
    for requirement in map(Requirement, wanted):
        if requirement.marker is None or requirement.marker.evaluate({"python_version": "3.11"}):
            assert versions[normal(requirement.name)] in requirement.specifier, requirement
    extras = ",".join(EXTRAS_OF_THE_IMAGE)
    assert f"'.[{extras}]'" in (DEPLOY / "Dockerfile").read_text()
