"""The relay of terminals: clients' WebSockets come in, lines to the agents of their containers' hosts go out."""
