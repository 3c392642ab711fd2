"""One file with everything in it, and the way back from it."""
