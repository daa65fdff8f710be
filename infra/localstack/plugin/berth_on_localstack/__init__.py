"""Loaded by LocalStack in its own environment: requests and functions come in, moto and child processes answer."""
