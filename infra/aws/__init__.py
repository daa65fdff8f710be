"""AWS resources and the operator's commands: settings come in, stacks, hosts and first users go out."""
