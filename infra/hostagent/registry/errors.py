"""What can be wrong with an image before or while it is pulled: a code and words for the user."""

from chalicelib.contract.causes import Code


class ImageFault(Exception):
    """The image cannot be had; `words` are for the user, with `{image}` where its name belongs."""

    def __init__(self, code: Code, words: str) -> None:
        super().__init__(words)
        self.code = code
        self.words = words


class NotFound(ImageFault):
    """The registry does not know it."""

    def __init__(self) -> None:
        super().__init__(Code.IMAGE_NOT_FOUND, "image {image} was not found: check its name and tag")


class Denied(ImageFault):
    """The registry wants other credentials than this deployment has."""

    def __init__(self) -> None:
        words = "the registry refused image {image}: it is private or does not exist"
        super().__init__(Code.IMAGE_DENIED, words)


class Unanswered(ImageFault):
    """The registry did not answer, or not sensibly."""

    def __init__(self) -> None:
        words = "the registry of image {image} did not answer in time: try again, or use another registry"
        super().__init__(Code.IMAGE_TIMEOUT, words)


class TooLarge(ImageFault):
    """More layers or bytes than an image may have."""

    def __init__(self, limit: str) -> None:
        super().__init__(Code.IMAGE_TOO_LARGE, f"image {{image}} is too large: {limit}")


class Unsupported(ImageFault):
    """Nothing that a container could be made from here."""

    def __init__(self, what: str) -> None:
        super().__init__(Code.IMAGE_NOT_FOUND, f"image {{image}} cannot be used: {what}")


class Forbidden(ImageFault):
    """The registry led to where an image may not come from."""

    def __init__(self) -> None:
        words = "image {image} was refused: its registry leads to an address that images may not come from"
        super().__init__(Code.IMAGE_DENIED, words)


class DiskFull(ImageFault):
    """The host has no room for it."""

    def __init__(self) -> None:
        super().__init__(Code.DISK_FULL, "the host's disk is full: create the container again")
