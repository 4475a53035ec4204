"""Everything of a training run on one self-contained page."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Training report: {{ name }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 }
td, th { border: 1px solid #ccc; padding: 3px 9px; text-align: left }
img { max-width: 100%; margin: 6px 6px 6px 0; vertical-align: top }
pre { background: #f5f5f5; padding: 1em; overflow: auto }
</style></head><body>
<h1>Training report: {{ name }}</h1>
<p>{{ duration }}. All figures are of the validation split; no picture of it was trained on.</p>
<h2>Models</h2>
<table><tr><th>file</th><th>KiB</th><th>all classes</th><th>with or without</th><th>calibration error</th>
<th>temperature</th><th>indeterminate below</th><th>labels equal to Keras</th></tr>
{% for m in models %}<tr><td>{{ m.file }}</td><td>{{ m.kib }}</td>
<td>{{ percent(m.card.metrics.accuracy_all_classes) }}</td>
<td>{{ percent(m.card.metrics.with_without.accuracy) }}</td>
<td>{{ percent(m.card.metrics.expected_calibration_error) }}</td>
<td>{{ m.card.temperature }}</td><td>{{ m.card.min_confidence }}, {{ m.card.min_face_px }} px</td>
<td>{{ percent(m.card.verification.agreement) }}</td></tr>{% endfor %}</table>
<h2>By class</h2><pre>{{ text }}</pre>
<h2>Curves</h2>{% for image in images %}<img alt="{{ image.name }}" src="data:image/png;base64,{{ image.data }}">
{% endfor %}
<h2>Settings</h2><pre>{{ config }}</pre>
<h2>Card</h2><pre>{{ card }}</pre>
</body></html>
"""


def write_report(
    run_folder: Path, cards: Mapping[str, Mapping[str, Any]], text: str, duration: str, images: list[str]
) -> Path:
    """Write `training_report.html` into a run's folder.

    Args:
        run_folder: holds config.json, the models and the PNGs.
        cards: the card of each model, by file name.
        text: the classification report.
        duration: how long it took, as a sentence without a full stop.
        images: names of the PNGs, in the order in which they are shown.
    """
    models = [
        {"file": name, "kib": round((run_folder / name).stat().st_size / 1024), "card": card}
        for name, card in cards.items()
    ]
    encoded = [
        {"name": name, "data": base64.b64encode((run_folder / name).read_bytes()).decode("ascii")} for name in images
    ]
    page = jinja2.Environment(autoescape=True).from_string(_PAGE)
    out = run_folder / "training_report.html"
    out.write_text(
        page.render(
            name=run_folder.name,
            duration=duration,
            models=models,
            images=encoded,
            text=text,
            percent=lambda share: "-" if share is None else f"{share:.2%}",
            config=(run_folder / "config.json").read_text(encoding="utf-8"),
            card=json.dumps(next(iter(cards.values())), indent=2),
        ),
        encoding="utf-8",
    )
    return out
