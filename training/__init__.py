"""Builds, evaluates and exports the models that the pipeline runs; the only part that imports TensorFlow."""

from __future__ import annotations

import os

# Albumentations would ask its server for a newer version at every import; a training machine may have no network.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
