"""How a host gets images: every byte comes through the agent, which looks at names, addresses and sizes first."""
