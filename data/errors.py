"""The errors Ladder raises on purpose: each says what is wrong, where, and how to mend it."""


class LadderError(Exception):
    """Base of every error that Ladder raises on purpose."""


class ValidationError(LadderError, ValueError):
    """An input is wrong: the message names the input, the place in it and the mend."""


class FetchError(LadderError):
    """A download stopped; what had arrived is stored, and the next run resumes from there."""
