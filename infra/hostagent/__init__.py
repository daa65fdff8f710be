"""The Docker host agent: signed calls come in, real containers and numbered, signed events go out."""
