"""The relays of terminals: their template, and what a machine of theirs runs besides the relay."""
