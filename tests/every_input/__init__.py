"""What tests/test_every_input.py consists of: valid calls of all public functions, changes of their arguments, and verdicts."""
