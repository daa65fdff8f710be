"""Documents of the API, written by `make apidocs` and served as they are."""
