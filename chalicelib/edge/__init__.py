"""Between AWS's shapes and ours: requests, records and socket events come in, answers in the contract's words go out."""
