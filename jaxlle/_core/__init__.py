"""What every stage relies on and no user sees."""
