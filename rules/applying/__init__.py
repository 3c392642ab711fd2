"""Review, apply, keep, roll back, history, drift, and the jobs of the clerk."""
