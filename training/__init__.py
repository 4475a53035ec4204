"""Builds, evaluates and exports the models that the pipeline runs; the only part that imports TensorFlow."""
