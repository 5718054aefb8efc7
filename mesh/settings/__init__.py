"""Settings: read once, frozen, checked; one file a process."""
