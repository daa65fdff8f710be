"""Catalogues as data: JSON files that a deployment may change without touching code; `domain.catalogue` reads them."""
