"""The root process and its jobs: apply, observe, heal, panic. Its command line."""
