"""The Compose install, built from the Dockerfile and run on a real Docker host in a network namespace."""
