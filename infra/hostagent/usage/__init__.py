"""What containers use, by the kernel's own counters."""
