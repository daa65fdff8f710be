"""Sizes of containers' disks, in the two ways there are to hold them."""
