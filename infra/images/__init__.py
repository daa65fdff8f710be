"""What the supported distributions have in common and what not, for everything that prepares images."""
