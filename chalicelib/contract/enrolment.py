"""What a new host says of itself: a queue body comes in, its public key goes out; who says it, the queue knows."""

from chalicelib.contract.model import Message


class Enrolment(Message):
    """A host asks to be known."""

    public_key: str
    """PEM, of the key that it signs its events with."""
