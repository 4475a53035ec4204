"""Trains, exports and measures the single-shot face detector."""
