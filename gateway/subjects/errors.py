"""What can be wrong with the store of persons' keys."""


class SubjectsError(Exception):
    """A person's key could not be had, made or destroyed."""

    code = "subjects"


class SubjectsRefusedError(SubjectsError):
    """The store cannot be opened. An operator must look; nothing was changed."""

    code = "subjects.refused"


class SubjectUnknownError(SubjectsError):
    """There is no such person, or not any more."""

    code = "subject.unknown"
