"""The kernel's log of refused packets: read by a process without rights, bounded, and handed to Redis."""
