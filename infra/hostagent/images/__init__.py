"""Images: pulled, prepared for roles and shells, and removed when the disk is full."""
