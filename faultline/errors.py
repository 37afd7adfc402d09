"""The errors that cross a port. Each one knows whether waiting can help."""


class FaultlineError(Exception):
    """Base of all our errors.

    Attributes
    ----------
    retriable
        True when the same call may work later (a broker that is down): the caller waits.
        False when it never will (a malformed reading): the caller reports and goes on.
    """

    retriable = False


class Unavailable(FaultlineError):
    """A dependency (broker, database, registry) does not answer now."""

    retriable = True


class Overloaded(Unavailable):
    """Too much is in flight already; the caller should slow down and try again."""


class InvalidReading(FaultlineError):
    """A reading or message that breaks the wire format.

    The text names the field, its value and the limit that it breaks.
    """


class InvalidBundle(FaultlineError):
    """A model bundle that is incomplete, altered, or of a schema this version does not know."""


class UntrainableHistory(FaultlineError):
    """History that no detector can be fitted to; the text says what it lacks."""


class NotFound(FaultlineError):
    """What was asked for does not exist."""


class Conflict(FaultlineError):
    """The request contradicts the present state (someone else was faster, a gate refused)."""


class KeyReused(FaultlineError):
    """An idempotency key came again, with another request than the first time."""


class StaleOffsets(FaultlineError):
    """Another consumer has stored this partition further on: this one must let it go."""
