"""One verb per use: ports come in through the constructor, requests and messages through the verbs."""
