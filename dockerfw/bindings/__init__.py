"""What names stand for: the bound sets, and the process that fills them with what the host shows."""
