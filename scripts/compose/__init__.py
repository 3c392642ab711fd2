"""The programs that compose.yaml's service setup runs."""
