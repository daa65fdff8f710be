"""The fleet of hosts: its template, and what a host of it runs besides the agent."""
