"""Sealed inference: ask a model something without showing it to whoever runs the model."""
