"""The variants of LLE: each makes an alignment, and everything else is shared."""
