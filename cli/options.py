"""Command-line options that follow from the settings dataclass."""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from pipeline.report_settings import IncidentSettings, ReportSettings
from pipeline.settings import Settings
from pipeline.storage import checked_url, is_url, local_path, refuse_mistyped

_WAYS_TO_SAMPLE = {"fps", "every", "keyframes"}
_KINDS = (Settings, IncidentSettings, ReportSettings)
SEED = click.IntRange(0, 2**32 - 1)  # what NumPy, scikit-learn and Keras all take
Function = TypeVar("Function", bound=Callable[..., Any])


class DurationType(click.ParamType):  # not ParamType[float]: only newer versions of click know that
    """Seconds, or HH:MM:SS.mmm (hours may be left out); with a minus sign before it where that makes sense."""

    name = "time"
    _FORM = re.compile(r"(?P<sign>-?)(?:(?:(?P<hours>\d+):)?(?P<minutes>\d{1,2}):)?(?P<seconds>\d+(?:\.\d*)?)")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, (int, float)):
            return float(value)
        found = self._FORM.fullmatch(value.strip())
        if found is None:
            self.fail(f"{value!r} is neither seconds nor HH:MM:SS.mmm", param, ctx)
        seconds = float(found["seconds"])
        if found["minutes"] is not None and (seconds >= 60 or (found["hours"] and int(found["minutes"]) >= 60)):
            self.fail(f"{value!r} has more than 59 minutes or seconds", param, ctx)
        total_s = round(int(found["hours"] or 0) * 3600 + int(found["minutes"] or 0) * 60 + seconds, 6)
        return -total_s if found["sign"] else total_s


class NumberType(click.FloatRange):
    """A number within bounds. Python also reads `nan` and `inf`, which are none to work with."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is no finite number.", param, ctx)
        return number


class AuditType(click.ParamType):
    """An audit folder: a local one, or the URL of one in a store."""

    name = "folder|url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path | str:
        if is_url(value):
            return checked_url(str(value))
        path = local_path(str(value))
        refuse_mistyped(path)
        folder: Path = click.Path(file_okay=False, path_type=Path).convert(path, param, ctx)
        return folder


class LocalPathType(click.Path):
    """A path on this machine; an address in a store would only look like one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if is_url(value):
            self.fail("it is an address in a store; give a local path.", param, ctx)
        path = local_path(str(value))
        refuse_mistyped(path)
        return super().convert(path, param, ctx)


class SectionedCommand(click.Command):
    """A command whose help lists the settings under their group's heading."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups = {item.name: item.metadata["group"] for kind in _KINDS for item in dataclasses.fields(kind)}
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                sections.setdefault(groups.get(parameter.name or "", "Options"), []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def settings_options(function: Function) -> Function:
    """Add one option for every setting; `settings_from` turns their values into Settings."""
    return _add_options(Settings, function)


def incident_options(function: Function) -> Function:
    """Add one option for every setting of persons and incidents."""
    return _add_options(IncidentSettings, function)


def settings_from(values: dict[str, Any]) -> Settings:
    """Settings from the values of the options; raises ConfigError."""
    return Settings(**{name: values[name] for name in _flags(Settings)})


def report_options(function: Function) -> Function:
    """Add one option for every setting of the report."""
    return _add_options(ReportSettings, function)


def incident_settings_from(values: dict[str, Any]) -> IncidentSettings:
    """Settings of persons and incidents from the values of the options; raises ConfigError."""
    return IncidentSettings(**{name: values[name] for name in _flags(IncidentSettings)})


def under_flags(context: click.Context, values: dict[str, Any], *sections: dict[str, Any]) -> dict[str, Any]:
    """The options' values, and those of a configuration file for options that were not given."""
    given = {name for name in values if context.get_parameter_source(name) is not ParameterSource.DEFAULT}
    if given & _WAYS_TO_SAMPLE:  # one way to choose frames replaces another
        given |= _WAYS_TO_SAMPLE
    merged = dict(values)
    for section in sections:
        merged.update({name: value for name, value in section.items() if name not in given})
    return merged


def report_settings_from(values: dict[str, Any]) -> ReportSettings:
    """Settings of the report from the values of the options; raises ConfigError."""
    return ReportSettings(**{name: values[name] for name in _flags(ReportSettings)})


def _add_options(kind: type[Any], function: Function) -> Function:
    hints = typing.get_type_hints(kind)
    # Decorators apply from the bottom up; help is to show the options as the dataclass lists them.
    for name, item in reversed(_flags(kind).items()):
        function = _option(item, hints[name])(function)
    return function


def _flags(kind: type[Any]) -> dict[str, dataclasses.Field[Any]]:
    """The settings that have an option each; the others come from a configuration file."""
    return {item.name: item for item in dataclasses.fields(kind) if item.metadata["has_flag"]}


def flag_name(setting: str) -> str:
    """The flag of a setting; times lose their unit, since a flag takes HH:MM:SS too."""
    return "--" + setting.removesuffix("_s").replace("_", "-")


def _option(item: dataclasses.Field[Any], hint: Any) -> Callable[[Function], Function]:
    text = item.metadata["help"]
    if hint is bool:
        return click.option(flag_name(item.name), item.name, is_flag=True, default=item.default, help=text)
    return click.option(
        flag_name(item.name),
        item.name,
        type=_click_type(item, hint),
        default=item.default,
        show_default=item.default is not None,
        help=text,
    )


def _click_type(item: dataclasses.Field[Any], hint: Any) -> click.ParamType[Any]:
    kinds = set(typing.get_args(hint)) - {types.NoneType} or {hint}
    minimum, maximum = item.metadata["minimum"], item.metadata["maximum"]
    if item.metadata["choices"] is not None:
        return click.Choice(item.metadata["choices"])
    if item.name.endswith("_s"):
        return DurationType()
    if kinds == {int}:
        return click.IntRange(minimum, maximum)
    if kinds == {float}:
        return NumberType(minimum, maximum)
    return click.STRING
