"""The audit: recordings in, rows out. `pipeline.audit(inputs, out, settings)` is the whole of it."""
