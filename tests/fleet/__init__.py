"""The fleet's own scripts and units on a whole Debian machine, under software emulation: `make test-fleet`."""
