"""Between AWS's shapes and ours: events come in, answers in the contract's words go out."""
