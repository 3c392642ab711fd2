"""The locked queue worker: its loop, what it accepts, the forked job."""
