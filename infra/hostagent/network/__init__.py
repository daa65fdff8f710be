"""Networks, packet rules and names: whom a container may reach."""
