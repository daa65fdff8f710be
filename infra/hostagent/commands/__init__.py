"""Commands and files inside a running container."""
