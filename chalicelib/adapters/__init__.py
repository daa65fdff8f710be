"""One typed door per outside system: our words come in, the SDK's words go out, and its errors come back as ours."""
