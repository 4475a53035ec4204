"""Builds, evaluates and exports the models that the pipeline runs; the only part that imports TensorFlow."""

from __future__ import annotations

import os

# Albumentations would ask its server for a newer version at every import; a training machine may have no network.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
# TensorFlow tells of its processor features at every start; only warnings are wanted.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
