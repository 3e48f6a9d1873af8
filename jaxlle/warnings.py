"""The warnings of jaxlle: one category per cause, so that each can be silenced or turned into an error."""


class JaxlleWarning(UserWarning):
    """Base class of all warnings of jaxlle."""


class DisconnectedGraphWarning(JaxlleWarning):
    """The neighborhood graph is disconnected, so that the bottom vectors only separate its components."""


class GapWarning(JaxlleWarning):
    """The gap of the spectrum behind the embedding is too small for the precision of the dtype."""


class ConvergenceWarning(JaxlleWarning):
    """A solver stopped before it reached its tolerance; the best result so far is returned."""


class PrecisionWarning(JaxlleWarning):
    """The input has more precision or range than the dtype of the computation."""


class DuplicateWarning(JaxlleWarning):
    """A point has at least k exact copies, so that its neighborhood contains no other point."""


class RankWarning(JaxlleWarning):
    """A neighborhood spans fewer dimensions than the method needs, so that a part of its local map is arbitrary."""


class RecallWarning(JaxlleWarning):
    """An approximate search missed many of the exact neighbors."""


class DataWarning(JaxlleWarning):
    """A column of a file is left out, because it looks like an identifier or a row number."""
