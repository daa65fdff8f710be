"""The Docker engine behind the ports: the only package of the agent that knows its API."""
