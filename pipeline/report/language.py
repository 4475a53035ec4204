"""Texts and numbers in the language of a report."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

from pipeline.errors import ConfigError
from pipeline.percent import rounded_percent
from pipeline.report_settings import LANGUAGES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_NOTHING = "\N{EN DASH}"


@dataclass(frozen=True)
class Language:
    """What a template needs to speak a language.

    Attributes:
        code: `en` or `id`.
        texts: all texts by their key.
    """

    code: str
    texts: dict[str, Any]

    @classmethod
    def load(cls, code: str) -> Language:
        """The language of that code; raises ConfigError where there is none."""
        if code not in LANGUAGES:
            raise ConfigError(f"there is no report in {code!r}", remedy=f"Choose one of {', '.join(LANGUAGES)}.")
        text = files("pipeline.report").joinpath("texts", f"{code}.toml").read_text(encoding="utf-8")
        return cls(code, tomllib.loads(text))

    def text(self, key: str, **values: Any) -> str:
        """A text with its values filled in."""
        return str(self.texts[key]).format(**values)

    def number(self, value: float, decimals: int = 0) -> str:
        """A number with separators as the language has them."""
        written = f"{value:,.{decimals}f}"
        if self.code == "id":
            written = written.translate(str.maketrans(",.", ".,"))
        return written

    def percent(self, share: float | None) -> str:
        """A share as a percentage, or a dash where there is none; never rounded up to 100 nor down to 0."""
        if share is None:
            return _NOTHING
        return f"{self.number(rounded_percent(share), 1)}{self.texts['percent_sign']}"

    def duration(self, seconds: float) -> str:
        """A length of time in the unit that suits it."""
        if seconds < 100:
            return f"{self.number(seconds, 1)} {self.texts['seconds_unit']}"
        if seconds < 5_400:
            return f"{self.number(seconds / 60, 1)} {self.texts['minutes_unit']}"
        hours = seconds / 3_600
        return f"{self.number(hours, 1 if hours < 1_000 else 0)} {self.texts['hours_unit']}"

    def written_moment(self, text: str | None) -> str:
        """A point in time as run.json has it, in UTC."""
        return _NOTHING if not text else f"{self.moment(datetime.fromisoformat(text), 'UTC')} UTC"

    def moment(self, moment: datetime | None, time_zone: str) -> str:
        """A point in time on a local clock, to the second."""
        if moment is None:
            return self.text("time_unknown")
        return moment.astimezone(ZoneInfo(time_zone)).strftime("%Y-%m-%d %H:%M:%S")
