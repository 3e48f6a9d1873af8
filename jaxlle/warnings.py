"""What jaxlle warns about: one category a cause, so that each can be silenced or made an error."""


class JaxlleWarning(UserWarning):
    """Base class of every warning that jaxlle issues."""


class DisconnectedGraphWarning(JaxlleWarning):
    """The neighbourhood graph falls apart, so the bottom vectors tell its parts from each other."""


class GapWarning(JaxlleWarning):
    """The spectrum's gap at the cut is too small for the dtype to fix the embedding."""


class ConvergenceWarning(JaxlleWarning):
    """A solver stopped before its tolerance; the best result so far is returned."""


class PrecisionWarning(JaxlleWarning):
    """The input carries more precision or range than the computation keeps."""


class DuplicateWarning(JaxlleWarning):
    """A point has at least k exact copies, so its neighbourhood holds nothing but itself."""


class RankWarning(JaxlleWarning):
    """A neighbourhood spans fewer dimensions than the method needs, so part of its local map is arbitrary."""
