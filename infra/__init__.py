"""All that is not Lambda: the host agent, the local cloud, what a bare machine lacks, and AWS resources."""
