"""Values and rules, no I/O: values and the time come in, new values or an error of `errors` go out."""
