"""The published description of the API: the edge's own models and a table of operations come in, documents go out."""
