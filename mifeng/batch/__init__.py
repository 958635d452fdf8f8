"""Nightly batch: many stored documents through one model, resumable, each with its receipt."""
