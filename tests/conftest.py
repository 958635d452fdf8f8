"""No generated case fails for being slow, which depends on what else a machine does."""

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
